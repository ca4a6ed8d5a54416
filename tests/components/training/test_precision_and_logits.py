"""Models that end in logits, and mixed precision, beside Keras' own `fit`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components.models.precision import in_float32
from data.spec import Label, Labels
from tests.components.training.keras_fit import (
    CLASSES,
    STEPS,
    assert_same_training,
    fit_in_two_parts,
    fit_keras,
    fit_ours,
    network,
    task_with,
)

Losses, Metrics = keras.losses, keras.metrics


def _compiled(loss: Callable[..., Any], *metrics: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": loss(from_logits=True),
        "metrics": [make() for make in metrics],
    }


_binary = functools.partial(Metrics.BinaryAccuracy, "binary_accuracy", threshold=0.0)  # p > 0.5 if the logit is > 0
_areas = [
    functools.partial(Metrics.AUC, multi_label=True, num_labels=3, from_logits=True, name="auc"),
    functools.partial(Metrics.AUC, curve="PR", multi_label=True, num_labels=3, from_logits=True, name="pr_auc"),
]


@pytest.mark.parametrize(
    ("label", "settings", "compiled", "one_hot"),
    [
        (
            None,
            {},
            _compiled(
                Losses.SparseCategoricalCrossentropy,
                functools.partial(Metrics.SparseCategoricalAccuracy, "accuracy"),
            ),
            False,
        ),
        (
            None,
            {"label_smoothing": 0.2},
            _compiled(
                functools.partial(Losses.CategoricalCrossentropy, label_smoothing=0.2),
                functools.partial(Metrics.CategoricalAccuracy, "accuracy"),
            ),
            True,
        ),
        (Labels(), {}, _compiled(Losses.BinaryCrossentropy, _binary, *_areas), False),
    ],
    ids=["classes", "smoothed", "labels"],
)
def test_logits_train_as_with_keras_and_killed_go_on(
    label: Label | None,
    settings: dict[str, Any],
    compiled: Callable[[], dict[str, Any]],
    one_hot: bool,
    tmp_path: Path,
) -> None:
    task = task_with(functools.partial(network, activation="linear"), label, epochs=2, **settings)
    ours = fit_ours(task, tmp_path / "whole")
    assert_same_training(ours, fit_keras(task, compiled, one_hot=one_hot))
    if not (label or settings):
        assert_same_training(fit_in_two_parts(task, STEPS + 2, tmp_path / "killed"), ours)


def _as_the_guide_says(precision: str) -> keras.Model:
    """Return the network under a global policy, with a last layer in float32."""
    keras.config.set_dtype_policy(f"mixed_{precision}")
    try:
        inputs = keras.Input((4,), dtype="float32")
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(6, "relu")(inputs))
        last = keras.layers.Dense(len(CLASSES), "softmax", dtype="float32")
        return keras.Model(inputs, last(keras.layers.Dropout(0.4)(hidden)))
    finally:
        keras.config.set_dtype_policy("float32")


def _steep(truth: Any, scores: Any) -> Any:
    """Return a loss whose gradients overflow with Keras' first loss scale: then no weight changes."""
    return 30 * keras.losses.sparse_categorical_crossentropy(truth, scores)


@pytest.mark.parametrize(
    ("precision", "loss"), [("float16", _steep), ("bfloat16", keras.losses.SparseCategoricalCrossentropy())]
)
def test_mixed_precision_trains_as_with_keras_and_killed_goes_on(precision: str, loss: Any, tmp_path: Path) -> None:
    task = task_with(epochs=2, mixed_precision=precision, loss=loss)
    ours = fit_ours(task, tmp_path / "whole")

    def compiled() -> dict[str, Any]:
        accuracy = Metrics.SparseCategoricalAccuracy("accuracy")
        return {"optimizer": keras.optimizers.Adam(0.01), "loss": loss, "metrics": [accuracy]}

    expected = fit_keras(task, compiled, model=lambda: _as_the_guide_says(precision))
    assert_same_training(ours, expected)
    exported = in_float32(ours.model, task, len(CLASSES))
    for one, other in zip(exported.weights, ours.model.weights, strict=True):
        assert one.dtype == "float32" and (np.asarray(one) == np.asarray(other)).all()
    if precision == "float16":
        resumed = fit_in_two_parts(task, 3, tmp_path / "killed")
        assert_same_training(resumed, ours)
        scales = [float(one.model.optimizer.dynamic_scale) for one in (resumed, ours, expected)]
        assert scales[0] == scales[1] == scales[2] < 2**15
