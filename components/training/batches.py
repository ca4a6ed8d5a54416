"""What training makes of the reader's batches: epochs of any length, one-hot labels, augmentation and class weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from components.models.objective import needs_one_hot
from components.task.task import Task
from components.task.train_config import Train
from data.errors import unknown
from data.input.reader import Batches


class Augmenter(Protocol):
    """Random changes to a batch, the same for the same step.

    Attributes:
      mixes_labels: Whether an example may get parts of the labels of others; labels of classes are one-hot then.
    """

    mixes_labels: bool

    def __call__(self, step: tf.Tensor, features: tf.Tensor, labels: tf.Tensor, /) -> tuple[tf.Tensor, tf.Tensor]:
        """Return changed features, uint8 [B, h, w, c], and labels.

        Args:
          step: Number of the batch since the start of the training, int64 [].
          features: uint8 [B, h, w, c].
          labels: As the loss gets them.
        """


@dataclass(frozen=True)
class Splits:
    """The data of a training, as the reader gives them.

    Attributes:
      train, evaluation: Batches of the two splits.
      classes: Names of the classes or labels, in the order of the model's outputs; empty for a number.
      counts: Number of training examples by name.
    """

    train: Batches
    evaluation: Batches
    classes: Sequence[str]
    counts: Mapping[str, int]


def prepare_batches(
    splits: Splits, task: Task, width: int, augmenter: Augmenter | None = None
) -> tuple[Batches, Batches]:
    """Return the batches of training, and those of the evaluation after each epoch.

    Args:
      splits: As the reader gives them.
      task: With the settings of training.
      width: Width of the model's output.
      augmenter: Changes the batches of training; None: nothing does.

    Raises:
      UsageError: If a name in `train.class_weight` is no class.
    """
    mixes = augmenter is not None and augmenter.mixes_labels
    one_hot = needs_one_hot(task, width, mixes)
    return (
        training_batches(splits, task, one_hot=one_hot, augmenter=augmenter),
        _one_hot(splits.evaluation, len(splits.classes)) if one_hot else splits.evaluation,
    )


def training_batches(splits: Splits, task: Task, *, one_hot: bool, augmenter: Augmenter | None) -> Batches:
    """Return the batches of training, in epochs of `train.steps_per_epoch` steps.

    Args:
      splits: As the reader gives them.
      task: With the settings of training.
      one_hot: Whether the loss needs labels [B, C] instead of class numbers [B].
      augmenter: Changes each batch.

    Returns:
      Batches (features, labels), or (features, labels, weights [B]) with `train.class_weight`.

    Raises:
      UsageError: If a name in `train.class_weight` is no class.
    """
    weights = class_weights(task.train, splits.classes, splits.counts)
    read = _one_hot(splits.train, len(splits.classes)) if one_hot else splits.train
    steps = task.train.steps_per_epoch or read.steps

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        first = epoch * steps + batch
        found = read.passes(*divmod(first, read.steps))
        if augmenter:
            found = _augmented(found, augmenter, first)
        if weights:
            found = _weighed(found, weights)
        return found.prefetch(tf.data.AUTOTUNE) if augmenter or weights else found

    return Batches(passes, steps, read.in_memory, read.load_seconds)


def count_passes(train: Train, epochs: int, steps: int) -> int:
    """Return the number of passes over the training split that a training reads, the last one maybe in part.

    Args:
      train: The settings.
      epochs: Number of epochs of all phases.
      steps: Steps of one pass.
    """
    return -(-epochs * (train.steps_per_epoch or steps) // steps)


def class_weights(train: Train, classes: Sequence[str], counts: Mapping[str, int]) -> list[float]:
    """Return the weight of each class in the loss of training; empty if all examples weigh the same.

    "balanced" is n / (number of classes * examples of the class), as in scikit-learn.

    Args:
      train: With `class_weight`.
      classes: Names of the classes, in the order of the model's outputs.
      counts: Number of training examples by class.

    Raises:
      UsageError: If a name in `class_weight` is no class.
    """
    if not train.class_weight:
        return []
    if isinstance(train.class_weight, str):
        total = sum(counts.get(name, 0) for name in classes)
        return [total / (len(classes) * max(1, counts.get(name, 0))) for name in classes]
    for name in train.class_weight:
        if name not in classes:
            raise unknown("class for train.class_weight", name, classes)
    return [float(train.class_weight.get(name, 1.0)) for name in classes]


_as_is = tf.autograph.experimental.do_not_convert  # AutoGraph has nothing to convert in these functions


def _one_hot(read: Batches, classes: int) -> Batches:
    """Return the batches with labels [B, C], float32, instead of class numbers [B]."""

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        return read.passes(epoch, batch).map(
            _as_is(lambda features, labels: (features, tf.one_hot(labels, classes))),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Batches(passes, read.steps, read.in_memory, read.load_seconds)


def _augmented(batches: tf.data.Dataset, augmenter: Augmenter, first: int) -> tf.data.Dataset:
    """Change each batch; `first` is the number of the first one since the start of the training."""
    return batches.enumerate(first).map(
        _as_is(lambda step, batch: augmenter(step, *batch)), num_parallel_calls=tf.data.AUTOTUNE
    )


def _weighed(batches: tf.data.Dataset, weights: Sequence[float]) -> tf.data.Dataset:
    """Add the weight of each example, float32 [B]; a mixture of classes has the mixture of their weights."""
    of_class = tf.constant(weights, tf.float32)

    def weigh(features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if labels.shape.rank == 2:
            return features, labels, tf.linalg.matvec(tf.cast(labels, tf.float32), of_class)
        if labels.dtype.is_floating:  # the share of the second of two classes
            return features, labels, of_class[0] + labels * (of_class[1] - of_class[0])
        return features, labels, tf.gather(of_class, labels)

    return batches.map(_as_is(weigh), num_parallel_calls=tf.data.AUTOTUNE)
