"""The model that is built again with the weights that the Trainer kept."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from components.training.trained_model import WEIGHTS, keep_weights, restore_model
from data.errors import DataError
from data.spec import Feature, Image
from tests.tasks.tiny import TASK


def _build(feature: Feature, classes: int) -> keras.Model:
    inputs = keras.Input(feature.shape, dtype="uint8")
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(inputs)))


SMALL = dataclasses.replace(TASK, feature=Image(4, 4), model=_build)


def test_its_answers_are_those_of_the_kept_weights(tmp_path: Path) -> None:
    kernel = np.arange(4 * 4 * 3 * 3, dtype=np.float32).reshape(48, 3) / 1e4
    model = _build(SMALL.feature, 3)
    model.set_weights([kernel, np.zeros(3)])
    keep_weights(model, str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (70, 4, 4, 3), np.uint8)
    logits = pixels.reshape(70, 48) @ kernel
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = restore_model(SMALL, ("a", "b", "c"), str(tmp_path)).score(pixels)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)


def test_it_is_built_once_and_anew_after_another_training(tmp_path: Path) -> None:
    def restored(task: object = SMALL, names: tuple[str, ...] = ("a", "b")) -> object:
        return restore_model(task, names, str(tmp_path))  # type: ignore[arg-type]

    keep_weights(_build(SMALL.feature, 2), str(tmp_path))
    first = restored()
    assert restored() is first
    assert restored(dataclasses.replace(SMALL, gate=dataclasses.replace(SMALL.gate, pictures=1))) is first
    assert restored(names=("b", "a")) is not first
    first = restored()
    other = dataclasses.replace(SMALL, train=dataclasses.replace(SMALL.train, mixed_precision="bfloat16"))
    assert restored(other) is not first
    first = restored()
    os.utime(tmp_path / WEIGHTS, ns=(0, 0))
    assert restored() is not first
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(DataError, match="no weights at"):
        restored()
