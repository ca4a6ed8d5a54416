"""Checkpoints: a killed training continues within its epoch, with the same order of the data.

Keras' BackupAndRestore repeats the epoch and loses the best epoch, the metrics so far and the order of the data. Here a
checkpoint contains every variable (weights, optimizer, metrics, seeds) and one text with the rest.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from components.training.replicas import Replicas

_STATE = "state/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
      phase: 0, or 1 in the second phase.
      epoch, batch: The next epoch and batch, from 0.
      history: For each metric, one value per finished epoch.
      phases: {"name", "epoch" (the first one, from 1)} of each phase that has begun.
      best: Value of the monitored metric in `best_epoch` (from 1; 0 for none yet).
      stopped: Reason for an early stop; "" for none.
    """

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    best: float = 0.0
    best_epoch: int = 0
    stopped: str = ""


class Checkpoints:
    """The checkpoints of one training, and the weights of its best epoch, in a folder (local or remote)."""

    def __init__(self, folder: str, writes_to: str = "", *, keep_last: bool = False) -> None:
        """Open the latest checkpoint.

        Args:
          folder: Folder of this training: the same data, model and settings.
          writes_to: Folder for the files of a process that must save together with the chief, but is not the chief.
          keep_last: Whether the training saves its state at its end, too, to be continued with more epochs.
        """
        self._folder, self._writes_to = folder, writes_to or folder
        self.keep_last = keep_last
        self._latest = tf.train.latest_checkpoint(folder)

    def progress(self) -> Progress:
        """Return the progress of the latest checkpoint, or that of a new training."""
        if self._latest is None:
            return Progress()
        text = tf.train.load_checkpoint(self._latest).get_tensor(_STATE)
        return Progress(**json.loads(text))

    def restore(self, model: keras.Model) -> None:
        """Set the variables of the model, compiled by `components.models.build`, to those of the latest checkpoint."""
        if self._latest is not None:
            tf.train.Checkpoint(**_variables(model)).restore(self._latest).expect_partial()

    def save(self, model: keras.Model, progress: Progress, steps: int) -> None:
        """Write a checkpoint; the last one is deleted when this one is complete.

        Args:
          model: Compiled and built model.
          progress: Progress to store.
          steps: Steps per epoch.
        """
        state = tf.Variable(json.dumps(dataclasses.asdict(progress)))
        checkpoint = tf.train.Checkpoint(**_variables(model), state=state)
        number = progress.phase + progress.epoch * (steps + 1) + progress.batch
        self._latest = tf.train.CheckpointManager(checkpoint, self._writes_to, 1).save(number)

    def save_best(self, model: keras.Model, epoch: int) -> None:
        """Keep the weights as those of the best epoch so far.

        The previous best weights stay, too: a training that is killed before its next checkpoint continues from one
        that refers to them.
        """
        checkpoint = tf.train.Checkpoint(weights=_weights(model))
        tf.train.CheckpointManager(checkpoint, posixpath.join(self._writes_to, "best"), 2).save(epoch)

    def restore_best(self, model: keras.Model, epoch: int) -> None:
        """Set the weights to those of an epoch that was kept."""
        checkpoint = tf.train.Checkpoint(weights=_weights(model))
        checkpoint.restore(posixpath.join(self._folder, "best", f"ckpt-{epoch}")).expect_partial()

    def clear(self) -> None:
        """Delete all checkpoints, after the training."""
        if tf.io.gfile.isdir(self._folder):
            tf.io.gfile.rmtree(self._folder)


def _weights(model: keras.Model) -> list[tf.Variable]:
    return [one.value for one in model.weights]


def _variables(model: keras.Model) -> dict[str, Any]:
    """Return what a checkpoint saves.

    These are the weights, seeds, and the variables of the optimizer and the metrics, in an order that the code defines;
    and the model, for TensorFlow variables in its layers, such as the augmentation's step.
    """

    def others() -> Iterator[keras.Variable]:
        yield from model.variables
        yield from model.optimizer.variables
        for metric in model.metrics:
            yield from metric.variables

    return {"variables": list({id(one): one.value for one in others()}.values()), "model": model}


class Restore(keras.callbacks.Callback):
    """Restore the checkpoint at the start of the first epoch, after Keras has set the metrics to zero."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._checkpoints: Checkpoints | None = checkpoints

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Restore, the first time."""
        if self._checkpoints is not None:
            self._checkpoints.restore(self.model)
            if not self._checkpoints.progress().batch:  # saved after an evaluation, whose metrics are not this epoch's
                self.model.reset_metrics()
            self._checkpoints = None


class Save(keras.callbacks.Callback):
    """Save a checkpoint after a step or an epoch, at an interval of time."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        steps: int,
        seconds: float | None,
        replicas: Replicas,
        average: Callable[[], None],
    ) -> None:
        """Create the callback.

        Args:
          checkpoints: Where to save.
          progress: Progress to update within an epoch; `EpochEnd` updates it at the end.
          steps: Steps per epoch.
          seconds: Seconds between two checkpoints; None to save none.
          replicas: The replicas of the model; all their processes save when the chief does, because saving reads all.
          average: The function of `Replicas.averaging`.
        """
        super().__init__()
        self._replicas, self._average = replicas, average
        self._checkpoints, self._progress, self._steps, self._seconds = checkpoints, progress, steps, seconds
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the batch, unless it was skipped because it was trained on before the restart."""
        if batch >= self._progress.batch:
            self._progress.batch = batch + 1
            self._save_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save, if it is time; `EpochEnd` has moved the progress to the next epoch.

        A training that will be continued with more epochs saves here, and not at its end: Keras sets the weights to
        their averages there, if the optimizer has some.
        """
        if self._checkpoints.keep_last:
            self._save()
        else:
            self._save_if_due()

    def _save_if_due(self) -> None:
        if self._seconds is not None and self._replicas.agree(time.monotonic() - self._last >= self._seconds):
            self._save()
            self._last = time.monotonic()

    def _save(self) -> None:
        self._average()
        self._checkpoints.save(self.model, self._progress, self._steps)
