"""The features that the last layer with weights gets."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from components.review.last_features import feature_model

layers = keras.layers


def _sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(5, activation="relu"), layers.Dense(3)]
    )


def _softmax_apart() -> keras.Model:
    hidden = layers.Dense(5, activation="relu")(layers.Flatten()(inputs := keras.Input((8, 8, 3))))
    return keras.Model(inputs, layers.Softmax()(layers.Dropout(0.5)(layers.Dense(3)(hidden))))


def _nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(5, "relu"), layers.Dense(3)])
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Softmax()(inner(layers.Rescaling(1 / 255)(inputs))))


def _convolutional() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(inputs))
    hidden = layers.Multiply()([layers.Conv2D(4, 3)(inputs), layers.Reshape((1, 1, 4))(gate)])
    return keras.Model(inputs, layers.Softmax()(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(hidden))))


@pytest.mark.parametrize("build", [_sequential, _softmax_apart, _nested, _convolutional])
def test_the_last_layer_makes_the_answer_of_the_features(build: Callable[[], keras.Model]) -> None:
    trained = build()
    found = feature_model(trained)
    assert found is not None
    pictures = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    kernel, bias = (np.asarray(one) for one in trained.weights[-2:])
    logits = np.asarray(found(pictures)) @ kernel + bias
    logits = logits.mean(axis=(1, 2)) if logits.ndim == 4 else logits.reshape(4, 3)
    expected = logits if build is _sequential else np.asarray(keras.ops.softmax(logits))
    np.testing.assert_allclose(expected, np.asarray(trained(pictures)), rtol=1e-4, atol=1e-5)


class _OwnCall(keras.Model):
    """Not a graph of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return self.dense(inputs)


def _linear() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), layers.Dense(3)])


@pytest.mark.parametrize("build", [_OwnCall, _linear])
def test_a_model_without_features(build: Callable[[], keras.Model]) -> None:
    assert feature_model(build()) is None
