from __future__ import annotations

import keras
import numpy as np
import pytest

from components.models.conv_net import ConvNet
from data.errors import UsageError
from data.spec import Image


def test_it_is_the_notebooks_network() -> None:
    """Compare with the network of the notebook, with the same weights."""
    theirs = keras.Sequential(
        [
            keras.Input((300, 300, 3)),
            keras.layers.Conv2D(16, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D(2, 2),
            keras.layers.Conv2D(32, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D(2, 2),
            keras.layers.Conv2D(64, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D(2, 2),
            keras.layers.Conv2D(64, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D(2, 2),
            keras.layers.Conv2D(64, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D(2, 2),
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    ours = ConvNet()(Image(300, 300), 2)
    theirs.set_weights(ours.get_weights())
    assert ours.count_params() == theirs.count_params() == 1_704_097
    pixels = np.random.default_rng(0).integers(0, 256, (2, 300, 300, 3), np.uint8)
    np.testing.assert_allclose(ours(pixels), theirs(pixels / np.float32(255)), rtol=1e-4)


def test_several_classes_get_a_softmax_and_dropout() -> None:
    model = ConvNet((8, 8), 16, 0.5)(Image(32, 32, 1), 3)
    assert model.output_shape == (None, 3) and any(isinstance(one, keras.layers.Dropout) for one in model.layers)
    np.testing.assert_allclose(np.sum(model(np.zeros((2, 32, 32, 1), np.uint8)), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_several_labels_get_a_sigmoid_each(labels: int) -> None:
    model = ConvNet((4,), 4, activation="sigmoid")(Image(8, 8), labels)
    assert model.output_shape == (None, labels) and model.layers[-1].activation is keras.activations.sigmoid


def test_a_network_with_batch_normalization_and_average_pooling() -> None:
    """Compare with the layers, written out, with the same weights."""
    theirs = keras.Sequential(
        [
            keras.Input((8, 12, 1)),
            keras.layers.Conv2D(4, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(6, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    ours = ConvNet((4, 6), dense=0, batch_norm=True, pooling="average")(Image(8, 12, 1), 3)
    theirs.set_weights(ours.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 1), np.uint8)
    for training in (False, True):
        np.testing.assert_allclose(
            ours(pixels, training=training), theirs(pixels / np.float32(255), training=training), rtol=1e-4
        )
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):  # the averages moved as far
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_wrong_settings_and_too_small_pictures_are_rejected() -> None:
    with pytest.raises(UsageError, match="28x28 are too small for 5 blocks"):
        ConvNet()(Image(28, 28), 2)
    with pytest.raises(UsageError, match="8x8 are too small for 4 blocks"):
        ConvNet((4, 4, 4, 4), batch_norm=True)(Image(8, 8), 2)
    for wrong in ({"filters": ()}, {"filters": (0,)}, {"dense": -1}, {"dropout": 1.0}, {"activation": "relu"}):
        with pytest.raises(UsageError):
            ConvNet(**wrong)
