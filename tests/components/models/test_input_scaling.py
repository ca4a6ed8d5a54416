"""Scalings, compared with what the layers are documented to compute."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from components.models.input_scaling import scaling_of, with_float_input


def ending(first: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    inputs = keras.Input((6, 5, 3), dtype="uint8")
    hidden = keras.layers.Conv2D(2, 3, activation="relu")(first(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(hidden)))


def normalized(inputs: keras.KerasTensor) -> keras.KerasTensor:
    unit = keras.layers.Rescaling(1 / 255)(inputs)
    return keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.09, 0.16])(unit)


def inception(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return keras.applications.inception_v3.preprocess_input(keras.ops.cast(inputs, "float32"))


@pytest.mark.parametrize(
    ("first", "scale", "offset"),
    [
        (keras.layers.Rescaling(1 / 255), 1 / 255, 0.0),
        (inception, 1 / 127.5, -1.0),
        (normalized, np.array([5, 10 / 3, 2.5]) / 255, np.array([-2, -5 / 3, -1.5])),
        (lambda inputs: keras.layers.Dropout(0.5)(keras.layers.Rescaling(2.0, -3.0)(inputs)), 2.0, -3.0),
    ],
)
def test_the_scaling_is_that_of_the_layers(first, scale, offset) -> None:
    found = scaling_of(ending(first))
    assert found is not None
    np.testing.assert_allclose(found.scale, np.broadcast_to(scale, 3), rtol=1e-5)
    np.testing.assert_allclose(found.offset, np.broadcast_to(offset, 3), rtol=1e-5, atol=1e-6)


def test_operations_that_mix_channels_or_are_not_linear_are_no_scaling() -> None:
    assert scaling_of(ending(lambda inputs: keras.ops.cast(inputs, "float32")[..., ::-1])) is not None  # the cast is
    bent = scaling_of(ending(lambda inputs: keras.ops.square(keras.layers.Rescaling(0.5)(inputs))))
    assert bent is not None and bent.scale == pytest.approx(0.5)
    assert scaling_of(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])) is None


@pytest.mark.parametrize("first", [keras.layers.Rescaling(1 / 255), inception, normalized])
def test_with_float_input_gives_the_same_model_without_truncation(first) -> None:
    model = ending(first)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 6, 5, 3))
    floats = with_float_input(model)
    np.testing.assert_allclose(floats(pixels.astype("float32")), model(pixels.astype("uint8")), rtol=1e-6, atol=1e-6)
    halves = np.asarray(floats((pixels + 0.5).astype("float32")))
    assert np.abs(halves - np.asarray(model(pixels.astype("uint8")))).max() > 0
    assert all(one is other for one, other in zip(floats.weights, model.weights, strict=True))
