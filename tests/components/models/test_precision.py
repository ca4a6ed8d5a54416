"""The model in mixed precision, and the one in float32 that is exported."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from components.models.build import build_for_training, compile_model, unfreeze, without_augmentation
from components.models.precision import build_as_trained, in_float32
from components.task.task import Task, Train
from data.augmentation.config import Augmentation
from data.spec import Feature
from tests.tasks.tiny import TASK


def _network(feature: Feature, classes: int) -> keras.Model:
    inputs = keras.Input(feature.shape, dtype="uint8")
    hidden = keras.layers.Conv2D(4, 3, activation="relu", trainable=False)(keras.layers.Rescaling(1 / 255)(inputs))
    hidden = keras.layers.Flatten()(keras.layers.BatchNormalization()(hidden))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(6, "relu")(hidden))
    return keras.Model(inputs, keras.layers.Activation("linear")(keras.layers.Dense(classes, "softmax")(hidden)))


def _task(precision: str, augment: Augmentation | None = None) -> Task:
    train = Train(mixed_precision=precision)  # type: ignore[arg-type]
    return dataclasses.replace(TASK, model=_network, train=train, augment=augment or Augmentation())


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_all_layers_but_the_last_compute_in_fewer_bits_with_float32_weights(precision: str) -> None:
    model = build_as_trained(_task(precision), 3)
    kinds = [(layer.compute_dtype, layer.variable_dtype) for layer in model.layers[1:]]
    assert kinds == [(precision, "float32")] * 6 + [("float32", "float32")] * 2
    assert {one.dtype for one in model.weights} == {"float32"}
    rows = np.zeros((2, *TASK.feature.shape), "uint8")
    assert keras.backend.standardize_dtype(model(rows).dtype) == "float32"
    assert keras.config.dtype_policy().name == "float32"  # of all other models


def test_without_mixed_precision_the_model_is_the_task_s() -> None:
    model = build_as_trained(_task(""), 3)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert in_float32(model, _task(""), 3) is model


@pytest.mark.parametrize("precision", ["", "float16", "bfloat16"])
def test_keras_scales_the_loss_for_float16_alone_in_both_phases(precision: str) -> None:
    task = _task(precision, Augmentation(horizontal_flip=True))
    model = build_for_training(task, 3)
    scaled = precision == "float16"
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scaled
    unfreeze(model, "")
    compile_model(model, task, 1e-4)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scaled
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)


def test_the_exported_model_computes_the_trained_weights_in_float32() -> None:
    task = _task("bfloat16")
    trained = without_augmentation(build_for_training(task, 3))
    generator = np.random.default_rng(0)
    trained.set_weights([generator.uniform(0.01, 0.1, one.shape) for one in trained.get_weights()])
    unfreeze(trained, "")
    found, plain = in_float32(trained, task, 3), _network(TASK.feature, 3)
    assert {layer.compute_dtype for layer in found.layers} == {"float32"}
    assert [layer.trainable for layer in found.layers] == [layer.trainable for layer in trained.layers]
    plain.set_weights(trained.get_weights())
    pixels = generator.integers(0, 256, (4, *TASK.feature.shape)).astype("uint8")
    np.testing.assert_array_equal(found(pixels), plain(pixels))
    assert (np.asarray(trained(pixels)) != np.asarray(found(pixels))).any()
