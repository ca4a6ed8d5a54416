"""Optimizers, losses and metrics of every kind, beside Keras' own `compile` and `fit`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest

from components.task.task import Task
from components.task.train_config import FineTune
from data.spec import Labels, Number
from tests.components.training.keras_fit import (
    assert_same_training,
    fit_in_two_parts,
    fit_keras,
    fit_ours,
    network,
    task_with,
)

pytestmark = pytest.mark.slow
ACCURACY = keras.metrics.SparseCategoricalAccuracy
DENSE_ACCURACY = keras.metrics.CategoricalAccuracy
DECAY = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)


def certainty(labels: Any, outputs: Any) -> Any:
    """Return a user's metric: the largest score of each example."""
    return keras.ops.max(outputs, axis=-1)


def focal(labels: Any, outputs: Any) -> Any:
    """Return a user's loss of class numbers."""
    rows = keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(labels, "int32"), (-1,)), outputs.shape[-1])
    right = keras.ops.sum(rows * outputs, axis=-1)
    return -keras.ops.square(1 - right) * keras.ops.log(right)


class Focal(keras.losses.Loss):
    """The same as a class, with a setting."""

    def __init__(self, gamma: float = 2.0, name: str = "focal") -> None:
        super().__init__(name=name)
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        rows = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), y_pred.shape[-1])
        right = keras.ops.sum(rows * y_pred, axis=-1)
        return -((1 - right) ** self.gamma) * keras.ops.log(right)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


class Signs(keras.optimizers.Optimizer):
    """A user's optimizer, which follows the signs of the gradients."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, learning_rate * keras.ops.sign(gradient))


class Rounded(keras.metrics.Mean):
    """A user's metric with a setting, which it returns in its config."""

    def __init__(self, digits: int = 1, name: str = "rounded", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.digits = digits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(keras.ops.round(y_pred, self.digits))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "digits": self.digits}


def _both(task: Task, folder: Path, one_hot: bool = False, **compiled: Callable[[], Any]) -> None:
    usual = {
        "optimizer": lambda: keras.optimizers.Adam(0.01),
        "loss": lambda: (
            keras.losses.CategoricalCrossentropy() if one_hot else keras.losses.SparseCategoricalCrossentropy()
        ),
        "metrics": lambda: [(DENSE_ACCURACY if one_hot else ACCURACY)("accuracy")],
    }
    expected = fit_keras(task, lambda: {name: one() for name, one in (usual | compiled).items()}, one_hot=one_hot)
    assert_same_training(fit_ours(task, folder), expected)


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (
            {"optimizer": "adamw(weight_decay=0.2, clipnorm=0.05)"},
            lambda: keras.optimizers.AdamW(0.01, weight_decay=0.2, clipnorm=0.05),
        ),
        (
            {"optimizer": keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), "learning_rate": None},
            lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        ),
        (
            {"optimizer": lambda: keras.optimizers.Lion(global_clipnorm=0.5), "learning_rate": 0.02},
            lambda: keras.optimizers.Lion(0.02, global_clipnorm=0.5),
        ),
        ({"optimizer": keras.optimizers.Adam(DECAY), "learning_rate": None}, lambda: keras.optimizers.Adam(DECAY)),
        ({"optimizer": Signs(0.5)}, lambda: Signs(0.01)),
    ],
    ids=["text", "object", "function", "schedule", "own class"],
)
def test_the_optimizer(train: dict[str, Any], expected: Callable[[], Any], tmp_path: Path) -> None:
    _both(task_with(epochs=2, **train), tmp_path, optimizer=expected)


@pytest.mark.parametrize(
    ("loss", "expected", "one_hot"),
    [
        (
            "categorical_focal_crossentropy(gamma=1.5)",
            lambda: keras.losses.CategoricalFocalCrossentropy(gamma=1.5),
            True,
        ),
        (keras.losses.KLDivergence(reduction="sum"), lambda: keras.losses.KLDivergence(reduction="sum"), True),
        (keras.losses.categorical_hinge, keras.losses.CategoricalHinge, True),
        (focal, lambda: focal, False),
        (Focal(gamma=1.0), lambda: Focal(gamma=1.0), False),
    ],
    ids=["text", "object", "function of Keras", "own function", "own class"],
)
def test_the_loss(loss: Any, expected: Callable[[], Any], one_hot: bool, tmp_path: Path) -> None:
    _both(task_with(epochs=2, loss=loss), tmp_path, one_hot, loss=expected)


def test_metrics_of_class_numbers(tmp_path: Path) -> None:
    own = ("sparse_top_k_categorical_accuracy(k=2, name='best_2')", certainty, Rounded(digits=0))
    expected = [keras.metrics.SparseTopKCategoricalAccuracy(2, name="best_2"), certainty, Rounded(digits=0)]
    _both(task_with(epochs=2, metrics=own), tmp_path, metrics=lambda: [ACCURACY("accuracy"), *expected])


def test_metrics_of_one_hot_labels(tmp_path: Path) -> None:
    own = ("auc(curve='PR')", keras.metrics.F1Score(average="macro"), keras.metrics.Precision, "mse", certainty)
    expected: list[Any] = [keras.metrics.AUC(curve="PR", name="auc"), keras.metrics.F1Score(average="macro")]
    expected += [keras.metrics.Precision(name="precision"), keras.metrics.MeanSquaredError("mse"), certainty]
    metrics = lambda: [DENSE_ACCURACY("accuracy"), *expected]  # noqa: E731
    _both(task_with(epochs=2, metrics=own), tmp_path, True, metrics=metrics)


def test_label_smoothing(tmp_path: Path) -> None:
    loss = lambda: keras.losses.CategoricalCrossentropy(label_smoothing=0.2)  # noqa: E731
    _both(task_with(epochs=2, label_smoothing=0.2), tmp_path, True, loss=loss)


def test_a_number_and_several_labels(tmp_path: Path) -> None:
    linear, sigmoids = (partial(network, activation=last) for last in ("linear", "sigmoid"))
    mae = lambda: [keras.metrics.MeanAbsoluteError("mae"), keras.metrics.MeanSquaredError("mse")]  # noqa: E731
    number = task_with(linear, Number(), epochs=2, loss="huber(delta=0.5)", metrics=("mae", "mse"))
    _both(number, tmp_path / "number", loss=lambda: keras.losses.Huber(0.5), metrics=mae)
    several = task_with(sigmoids, Labels(), epochs=2, label_smoothing=0.2, metrics=("recall(thresholds=0.3)",))
    metrics = lambda: [  # noqa: E731
        keras.metrics.BinaryAccuracy("binary_accuracy"),
        keras.metrics.AUC(multi_label=True, num_labels=3, name="auc"),
        keras.metrics.AUC(curve="PR", multi_label=True, num_labels=3, name="pr_auc"),
        keras.metrics.Recall(thresholds=0.3, name="recall"),
    ]
    loss = lambda: keras.losses.BinaryCrossentropy(label_smoothing=0.2)  # noqa: E731
    _both(several, tmp_path / "several", loss=loss, metrics=metrics)


def test_it_goes_on_after_a_kill_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Also the state of the metrics within the epoch, and the second phase with a new copy of the optimizer."""
    task = task_with(
        _half_frozen,
        epochs=1,
        fine_tune=FineTune(1, 1e-3),
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        learning_rate=None,
        loss=keras.losses.CategoricalFocalCrossentropy(),
        metrics=(keras.metrics.F1Score(average="macro"), certainty),
        monitor="val_f1_score",
        keep="best",
    )
    whole = fit_ours(task, tmp_path / "whole")
    assert whole.report["history"]["learning_rate"] == pytest.approx([0.05, 1e-3])
    assert_same_training(fit_in_two_parts(task, 7, tmp_path / "parts"), whole)


def _half_frozen(*given: Any) -> keras.Model:
    model = network(*given)
    model.layers[1].trainable = False
    return model
