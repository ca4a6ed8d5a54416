"""What training makes of the reader's batches, compared with numpy, scikit-learn and Keras' own `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from components.task.train_config import Train
from components.training.batches import Splits, class_weights, count_passes, prepare_batches
from data.errors import UsageError
from data.spec import Labels, Number
from tests.components.training.keras_fit import (
    BATCH,
    CLASSES,
    STEPS,
    assert_same_training,
    counts,
    fit_in_two_parts,
    fit_keras,
    fit_ours,
    read_batches,
    rows,
    task_with,
)


def compiled() -> dict[str, Any]:
    return {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": "sparse_categorical_crossentropy",
        "metrics": [keras.metrics.SparseCategoricalAccuracy("accuracy")],
    }


def splits(task: Any) -> Splits:
    return Splits(read_batches(task), read_batches(task), CLASSES, counts(task))


# Class weights


@pytest.mark.parametrize(
    ("wanted", "of_class"),
    [({"ash": 3.0, "cedar": 0.5}, {0: 3.0, 1: 1.0, 2: 0.5}), ("balanced", None)],
)
def test_weighed_classes_train_as_with_keras(wanted: Any, of_class: dict[int, float] | None, tmp_path: Path) -> None:
    task = task_with(epochs=2, class_weight=wanted)
    of_class = of_class or dict(enumerate(balanced(rows(task)[1])))
    ours = fit_ours(task, tmp_path / "whole")
    assert_same_training(ours, fit_keras(task, compiled, class_weight=of_class))
    if wanted != "balanced":
        assert_same_training(fit_in_two_parts(task, 7, tmp_path / "killed"), ours)


def balanced(labels: np.ndarray) -> list[float]:
    return compute_class_weight("balanced", classes=np.arange(len(CLASSES)), y=labels).tolist()


def test_a_mixture_of_classes_has_the_mixture_of_their_weights() -> None:
    def halves(step: tf.Tensor, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return features, (labels + labels[::-1]) / 2

    halves.mixes_labels = True  # type: ignore[attr-defined]
    task = task_with(class_weight={"ash": 3.0, "cedar": 0.5})
    train, evaluation = prepare_batches(splits(task), task, len(CLASSES), halves)  # type: ignore[arg-type]
    plain = list(read_batches(task).one_pass().as_numpy_iterator())
    of_class = np.array([3.0, 1.0, 0.5])
    for (_, labels, weights), (_, before) in zip(train.one_pass().as_numpy_iterator(), plain, strict=True):
        np.testing.assert_allclose(labels, (np.eye(3)[before] + np.eye(3)[before[::-1]]) / 2)
        np.testing.assert_allclose(weights, (of_class[before] + of_class[before[::-1]]) / 2)
    for (_, labels), (_, before) in zip(evaluation.one_pass().as_numpy_iterator(), plain, strict=True):
        np.testing.assert_array_equal(labels, np.eye(3)[before])


def test_a_class_without_training_examples_has_a_weight() -> None:
    assert class_weights(Train(class_weight="balanced"), CLASSES, {"ash": 4, "cedar": 2}) == [0.5, 2.0, 1.0]


def test_a_name_that_is_no_class_is_refused() -> None:
    with pytest.raises(UsageError, match="no class for train.class_weight 'oak'") as caught:
        prepare_batches(splits(task_with()), task_with(class_weight={"oak": 2.0}), len(CLASSES))
    assert caught.value.hint == "Legal: ash, beech, cedar"


@pytest.mark.parametrize(("label", "kind"), [(Number(), "a number"), (Labels(), "several labels")])
def test_other_labels_have_no_class_weights(label: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=f"train.class_weight does not apply to {kind}") as caught:
        task_with(label=label, class_weight="balanced")
    assert "train.loss" in caught.value.hint


# Epochs of any length


@pytest.mark.parametrize("steps", [2, STEPS, 7, 11])
def test_epochs_of_any_length_read_on_across_passes(steps: int) -> None:
    task = task_with(steps_per_epoch=steps)
    train, evaluation = prepare_batches(splits(task), task, len(CLASSES))
    expected = [labels for _, labels in read_batches(task).passes().take(3 * steps).as_numpy_iterator()]
    assert (train.steps, evaluation.steps) == (steps, STEPS)
    for epoch, batch in ((0, 0), (1, 0), (2, 1)):
        at = epoch * steps + batch
        found = train.passes(epoch, batch).take(3 * steps - at).as_numpy_iterator()
        for (_, labels), other in zip(found, expected[at:], strict=True):
            np.testing.assert_array_equal(labels, other)


@pytest.mark.parametrize(("steps", "epochs", "passes"), [(None, 3, 3), (2, 3, 2), (2, 5, 2), (2, 6, 3), (15, 1, 3)])
def test_the_passes_that_a_training_reads(steps: int | None, epochs: int, passes: int) -> None:
    assert count_passes(Train(steps_per_epoch=steps), epochs, STEPS) == passes


def test_epochs_of_7_steps_train_as_with_keras(tmp_path: Path) -> None:
    """Killed in the third epoch, in the middle of the third pass."""
    task = task_with(epochs=3, steps_per_epoch=7)
    ours = fit_ours(task, tmp_path / "whole")
    assert_same_training(ours, fit_keras(task, compiled, steps_per_epoch=7))
    resumed = fit_in_two_parts(task, 16, tmp_path / "killed")
    assert resumed.report["resumed_at"] == "epoch 3, step 3"
    assert_same_training(resumed, ours)


# Augmentation


def test_the_augmentation_gets_the_number_of_the_step_and_training_only() -> None:
    def number(step: tf.Tensor, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        assert step.dtype == tf.int64
        return tf.zeros_like(features) + tf.cast(step, tf.float32), labels

    number.mixes_labels = False  # type: ignore[attr-defined]
    task = task_with(steps_per_epoch=3)
    train, evaluation = prepare_batches(splits(task), task, len(CLASSES), number)  # type: ignore[arg-type]
    found = [features for features, _ in train.passes(2, 1).take(5).as_numpy_iterator()]
    assert [float(one.max()) for one in found] == [float(one.min()) for one in found] == [7, 8, 9, 10, 11]
    for (features, _), (other, _) in zip(evaluation.one_pass(), read_batches(task).one_pass(), strict=True):
        np.testing.assert_array_equal(features, other)


def test_without_a_setting_the_batches_are_those_of_the_reader() -> None:
    task = task_with()
    read = splits(task)
    train, evaluation = prepare_batches(read, task, len(CLASSES))
    assert evaluation is read.evaluation and train.in_memory and train.steps == STEPS
    assert len(next(iter(train.passes()))) == 2 and len(next(iter(train.passes()))[1]) == BATCH
