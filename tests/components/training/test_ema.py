"""Averages of the weights, and gradients of several steps, beside Keras' own `fit` and callbacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components.task.train_config import FineTune
from tests.components.training.keras_fit import (
    STEPS,
    Training,
    assert_same_training,
    fit_in_two_parts,
    fit_keras,
    fit_ours,
    network,
    task_with,
)


def compiled(**optimizer: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "optimizer": keras.optimizers.Adam(0.01, **optimizer),
        "loss": "sparse_categorical_crossentropy",
        "metrics": [keras.metrics.SparseCategoricalAccuracy("accuracy")],
    }


def as_text(settings: dict[str, Any]) -> str:
    return f"adam({', '.join(f'{name}={value}' for name, value in settings.items())})"


@pytest.mark.parametrize(
    "settings",
    [
        {"use_ema": True, "ema_momentum": 0.8},
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 3, "global_clipnorm": 0.5},
    ],
)
def test_it_trains_as_with_keras_and_killed_goes_on(settings: dict[str, Any], tmp_path: Path) -> None:
    task = task_with(epochs=2, optimizer=as_text(settings))
    ours = fit_ours(task, tmp_path / "whole")
    assert_same_training(ours, fit_keras(task, compiled(**settings)))
    assert_same_training(fit_in_two_parts(task, STEPS + 2, tmp_path / "killed"), ours)


def test_the_best_epoch_is_that_of_the_averages(tmp_path: Path) -> None:
    """As with Keras' callbacks for it: evaluated, compared and kept; with a rate that soon makes the loss grow."""
    settings = {"use_ema": True, "ema_momentum": 0.5}
    schedule = ((2, 0.5), (3, 2.0))
    task = task_with(epochs=5, optimizer=as_text(settings), keep="best", schedule=schedule)
    best = str(tmp_path / "best.weights.h5")
    rates = (0.01, 0.01, 0.5, 2.0, 2.0)
    keras_own = fit_keras(
        task,
        compiled(**settings),
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch, _: rates[epoch]),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
        ],
    )
    keras_own.model.load_weights(best)
    ours = fit_ours(task, tmp_path / "whole")
    losses = ours.report["history"]["val_loss"]
    assert ours.report["best_epoch"] == int(np.argmin(losses)) + 1 < 5
    # Keras swaps by adding and subtracting, which rounds.
    assert_same_training(ours, Training(keras_own.model, keras_own.report), 1e-4)
    resumed = fit_in_two_parts(task, 2 * STEPS + 1, tmp_path / "killed")
    assert_same_training(resumed, ours)


def test_the_second_phase_begins_with_the_averages_of_the_first(tmp_path: Path) -> None:
    """As with two calls of `fit`; and a training that is killed between the phases, or after them, does the same."""
    settings = {"use_ema": True, "ema_momentum": 0.8}

    def frozen(feature: Any, classes: int) -> keras.Model:
        model = network(feature, classes)
        model.layers[1].trainable = False
        return model

    task = task_with(frozen, epochs=1, optimizer=as_text(settings), checkpoint_seconds=0)
    second = dataclasses.replace(task, train=dataclasses.replace(task.train, fine_tune=FineTune(1, 0.002)))
    ours = fit_ours(second, tmp_path / "whole")
    again = fit_ours(second, tmp_path / "whole")  # from the checkpoint of its last epoch
    first_only = fit_ours(task, tmp_path / "first")
    plain = fit_keras(task, compiled(**settings))
    assert_same_training(first_only, plain)
    resumed = fit_ours(second, tmp_path / "first")  # from the checkpoint of the last epoch of its first phase
    for other in (again, resumed):
        assert_same_training(other, ours)
