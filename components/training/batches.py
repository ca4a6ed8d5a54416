"""What training makes of the reader's batches: epochs of any length, one-hot labels, augmentation and class weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from components.task.task import Task
from components.task.train_config import Train
from data.errors import UsageError, unknown
from data.input.reader import Batches


class Augmenter(Protocol):
    """Random changes to a batch, the same for the same step."""

    def __call__(self, step: tf.Tensor, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return changed features, uint8 [B, h, w, c], and labels.

        Args:
          step: Number of the batch since the start of the training, int64 [].
          features: uint8 [B, h, w, c].
          labels: As the loss gets them.
        """


def training_batches(
    read: Batches,
    task: Task,
    classes: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    *,
    one_hot: bool = False,
    augmenter: Augmenter | None = None,
) -> Batches:
    """Return the batches of training, in epochs of `train.steps_per_epoch` steps.

    Args:
      read: Batches of the training split, as the reader gives them.
      task: With the settings of training.
      classes: Names of the classes, in the order of the model's outputs.
      counts: Number of training examples by class.
      one_hot: Whether the loss needs labels [B, C] instead of class numbers [B].
      augmenter: Changes each batch.

    Returns:
      Batches (features, labels), or (features, labels, weights [B]) with `train.class_weight`.

    Raises:
      UsageError: If `train.class_weight` does not fit the label.
    """
    weights, steps = class_weights(task, classes, counts or {}), task.train.steps_per_epoch or read.steps

    def passes(epoch: int, batch: int) -> tf.data.Dataset:
        first = epoch * steps + batch
        found = read.passes(*divmod(first, read.steps))
        if one_hot:
            found = _one_hot(found, len(classes))
        if augmenter:
            found = _augmented(found, augmenter, first)
        if weights:
            found = _weighed(found, weights)
        return found.prefetch(tf.data.AUTOTUNE) if one_hot or augmenter or weights else found

    return Batches(passes, steps, read.in_memory, read.load_seconds)


def evaluation_batches(read: Batches, classes: Sequence[str] = (), *, one_hot: bool = False) -> Batches:
    """Return the batches of the evaluation after each epoch: neither weighed nor augmented.

    Args:
      read: Batches of the evaluation split, as the reader gives them.
      classes: Names of the classes, in the order of the model's outputs.
      one_hot: Whether the loss needs labels [B, C] instead of class numbers [B].
    """
    if not one_hot:
        return read
    return Batches(
        lambda epoch, batch: _one_hot(read.passes(epoch, batch), len(classes)),
        read.steps,
        read.in_memory,
        read.load_seconds,
    )


def count_passes(train: Train, epochs: int, steps: int) -> int:
    """Return the number of passes over the training split that a training reads, the last one maybe in part.

    Args:
      train: The settings.
      epochs: Number of epochs of all phases.
      steps: Steps of one pass.
    """
    return -(-epochs * (train.steps_per_epoch or steps) // steps)


def class_weights(task: Task, classes: Sequence[str], counts: Mapping[str, int]) -> list[float]:
    """Return the weight of each class in the loss of training; empty if all examples weigh the same.

    "balanced" is n / (number of classes * examples of the class), as in scikit-learn.

    Args:
      task: With `train.class_weight`.
      classes: Names of the classes, in the order of the model's outputs.
      counts: Number of training examples by class.

    Raises:
      UsageError: If the label is not one of several classes, or if a name in `train.class_weight` is no class.
    """
    wanted = task.train.class_weight
    if not wanted:
        return []
    if not task.is_classification:
        kind = "several labels" if task.is_multi_label else "a number"
        raise UsageError(
            f"train.class_weight does not apply to {kind}: it weighs the examples of each class",
            hint="Remove it, or weigh the examples in a loss of your own: train.loss.",
        )
    if isinstance(wanted, str):
        total = sum(counts[name] for name in classes)
        return [total / (len(classes) * max(1, counts[name])) for name in classes]
    for name in wanted:
        if name not in classes:
            raise unknown("class for train.class_weight", name, classes)
    return [float(wanted.get(name, 1.0)) for name in classes]


# AutoGraph has nothing to convert in these functions.
_as_is = tf.autograph.experimental.do_not_convert


def _one_hot(batches: tf.data.Dataset, classes: int) -> tf.data.Dataset:
    return batches.map(
        _as_is(lambda features, labels: (features, tf.one_hot(labels, classes))), num_parallel_calls=tf.data.AUTOTUNE
    )


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
        return features, labels, tf.gather(of_class, labels)

    return batches.map(_as_is(weigh), num_parallel_calls=tf.data.AUTOTUNE)
