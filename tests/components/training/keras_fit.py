"""A training of ours beside Keras' own `fit`, with the same seed, rows and settings; and a training that is killed."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.augmentation import augmenter_of
from components.models.build import build_for_training
from components.task.task import Task
from components.task.train_config import Train
from components.training.batches import Splits, prepare_batches
from components.training.checkpoints import Checkpoints
from components.training.fit import fit_task
from components.training.replicas import Replicas
from data.input.reader import Batches
from data.sources import Arrays, Csv
from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector
from tests.tasks.tiny import TASK

ROWS, SIZE, BATCH = 23, 4, 5
STEPS = 5  # 23 rows in batches of 5, the last one of 3
CLASSES = ("ash", "beech", "cedar")
SEED = 1


def network(feature: Feature, classes: int, activation: str = "softmax") -> keras.Model:
    """Return a model with dropout, whose seeds a checkpoint must hold, and statistics."""
    inputs = keras.Input(feature.shape, dtype="uint8" if isinstance(feature, Image) else "float32")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)) if isinstance(feature, Image) else inputs
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(6, "relu")(hidden))
    return keras.Model(
        inputs, keras.layers.Dense(classes or 1, activation, name="head")(keras.layers.Dropout(0.4)(hidden))
    )


def task_with(
    model: Any = network, label: Label | None = None, feature: Feature | None = None, augment: Any = None, **train: Any
) -> Task:
    """Return a task on random rows; `train` are settings of `Train`."""
    label = label or Classes()
    changes: dict[str, Any] = {
        "source": Arrays() if isinstance(label, Labels) else Csv(),
        "label": label,
        "feature": feature or Vector(SIZE),
        "model": model,
        "train": Train(**{"batch_size": BATCH, "learning_rate": 0.01, "checkpoint_seconds": None, **train}),
    }
    if isinstance(feature, Image):
        changes["source"] = TASK.source
    if augment is not None:
        changes["augment"] = augment
    return dataclasses.replace(TASK, **changes)


def rows(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of the task's kinds, lopsided for classes; the same in each call."""
    rng = np.random.default_rng(0)
    if isinstance(task.feature, Image):
        features = rng.integers(0, 256, (ROWS, *task.feature.shape)).astype("uint8")
    else:
        features = rng.normal(size=(ROWS, *task.feature.shape)).astype("float32")
    if isinstance(task.label, Labels):
        return features, (rng.uniform(size=(ROWS, len(CLASSES))) < 0.4).astype("float32")
    if isinstance(task.label, Number):
        return features, rng.normal(size=ROWS).astype("float32")
    return features, rng.choice(len(CLASSES), ROWS, p=(0.2, 0.3, 0.5))


def read_batches(task: Task, after: Callable[[int], None] | None = None) -> Batches:
    """Return batches of the task's rows, as `batches_of` does."""
    return batches_of(*rows(task), after)


def batches_of(features: np.ndarray, labels: np.ndarray, after: Callable[[int], None] | None = None) -> Batches:
    """Return batches of another order each pass; `after(n)` is called before the n-th batch of them is given out."""
    given = itertools.count()

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        def generate() -> Any:
            for now in itertools.count(epoch):
                order = np.random.default_rng(now).permutation(ROWS)
                for step in range(batch if now == epoch else 0, STEPS):
                    if after:
                        after(next(given))
                    some = order[step * BATCH : (step + 1) * BATCH]
                    yield features[some], labels[some]

        signature = tuple(tf.TensorSpec((None, *one.shape[1:]), one.dtype) for one in (features, labels))
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    return Batches(passes, STEPS, in_memory=True)


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
      model: With the weights after it.
      report: Of `fit_task`; of Keras' `fit` only `history`.
    """

    model: keras.Model
    report: dict[str, Any]

    @property
    def history(self) -> dict[str, list[float]]:
        return {name: values for name, values in self.report["history"].items() if name != "learning_rate"}


def fit_ours(
    task: Task, folder: Path, after: Callable[[int], None] | None = None, replicas: Replicas | None = None
) -> Training:
    """Train as the Trainer does; again in the same folder, it continues from the checkpoint there."""
    replicas = replicas or Replicas()
    keras.utils.set_random_seed(SEED)
    with replicas.scope():
        model = build_for_training(task, 0 if isinstance(task.label, Number) else len(CLASSES))
    names = () if isinstance(task.label, Number) else CLASSES
    splits = Splits(read_batches(task, after), read_batches(task), names, counts(task))
    train, evaluation = prepare_batches(splits, task, model.output_shape[-1], augmenter_of(task))
    checkpoints = Checkpoints(str(folder / "checkpoints"))
    report = fit_task(model, task, train, evaluation, checkpoints, str(folder / "logs"), replicas)
    assert json.loads(json.dumps(report)) == report
    return Training(model, report)


def counts(task: Task) -> dict[str, int]:
    """Return the number of rows of each class; of a task with other labels none."""
    if not task.is_classification:
        return {}
    return dict(zip(CLASSES, np.bincount(rows(task)[1], minlength=len(CLASSES)).tolist(), strict=True))


def fit_keras(
    task: Task,
    compiled: Callable[[], dict[str, Any]],
    *,
    one_hot: bool = False,
    model: Callable[[], keras.Model] | None = None,
    **arguments: Any,
) -> Training:
    """Train with Keras' own `compile` and `fit` on the same batches.

    Args:
      task: Its model, rows and number of epochs; no other setting of it counts.
      compiled: Returns the arguments of `compile`: a new optimizer for each call.
      one_hot: Whether the labels are one-hot, in training and evaluation.
      model: Returns another model than the task's; with another dtype policy, for example.
      **arguments: Of `fit`.
    """
    keras.utils.set_random_seed(SEED)
    width = 0 if isinstance(task.label, Number) else len(CLASSES)
    trained = model() if model else task.model(task.feature, width)
    trained.compile(**compiled())

    def given(batches: tf.data.Dataset) -> tf.data.Dataset:
        if not one_hot:
            return batches
        return batches.map(lambda features, labels: (features, keras.ops.one_hot(labels, width)))

    read = read_batches(task)
    settings = {"steps_per_epoch": STEPS, "epochs": task.train.epochs, "shuffle": False, "verbose": 0, **arguments}
    fitted = trained.fit(given(read.passes()), validation_data=given(read.one_pass()), **settings)
    return Training(trained, {"history": fitted.history})


def assert_same_training(found: Training, expected: Training, tolerance: float = 1e-5) -> None:
    """Compare the loss and metrics of each epoch, and the weights at the end."""
    assert found.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert found.history[name] == pytest.approx(values, rel=tolerance, abs=tolerance / 10), name
    for one, other in zip(found.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance / 10)


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours runs after it."""


def killed(task: Task, at: int) -> Task:
    """Return the task with a training that ends before its step number `at` of all phases, from 0."""
    begun = itertools.count()

    class Kill(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if next(begun) == at:
                raise Killed

    return dataclasses.replace(task, train=dataclasses.replace(task.train, callbacks=(Kill,)))


def fit_in_two_parts(task: Task, at: int, folder: Path, replicas: Replicas | None = None) -> Training:
    """Train until the step number `at` of all phases, from 0, as if the process were killed there; and continue.

    What comes out must be the same as in one go: `assert_same_training(fit_in_two_parts(...), fit_ours(...))`.
    """
    saving = dataclasses.replace(task, train=dataclasses.replace(task.train, checkpoint_seconds=0))
    with pytest.raises(Killed):
        fit_ours(killed(saving, at), folder, replicas=replicas)
    return fit_ours(saving, folder, replicas=replicas)
