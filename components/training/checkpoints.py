"""Checkpoints: a training that was killed, within an epoch, too, goes on with the data order it had.

Keras' BackupAndRestore begins the epoch anew and forgets the best epoch, the metrics so far and the order of the data.
Here a checkpoint holds every variable (weights, optimizer, metrics, seeds) and, in one text beside them, the rest.
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
    """Where a training stands.

    Attributes:
      phase: 0, or 1 in the second phase.
      epoch, batch: what comes next; both from 0.
      history: by metric, a value for each finished epoch.
      phases: {"name", "epoch" (its first one, from 1)} of each phase begun.
      best: value of the monitored metric in `best_epoch` (from 1; 0: none yet).
      stopped: why it ended before its last epoch; empty: it did not.
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

    def __init__(self, folder: str, writes_to: str = "") -> None:
        """Args:
        folder: of this training alone: the same data, model and settings.
        writes_to: another folder, of a process that takes part in saving what only the chief keeps.
        """
        self._folder, self._writes_to = folder, writes_to or folder
        self._latest = tf.train.latest_checkpoint(folder)

    def progress(self) -> Progress:
        """Where the latest checkpoint stands; the beginning where there is none."""
        if self._latest is None:
            return Progress()
        text = tf.train.load_checkpoint(self._latest).get_tensor(_STATE)
        return Progress(**json.loads(text))

    def restore(self, model: keras.Model) -> None:
        """Sets the variables of the model, compiled by `components.models.build`, to those of the latest checkpoint."""
        if self._latest is not None:
            tf.train.Checkpoint(**_variables(model)).restore(self._latest).expect_partial()

    def save(self, model: keras.Model, progress: Progress, steps: int) -> None:
        """Writes a checkpoint; the one before is deleted when this one is whole.

        Args:
          model: compiled and built.
          progress: goes with it.
          steps: of an epoch.
        """
        state = tf.Variable(json.dumps(dataclasses.asdict(progress)))
        checkpoint = tf.train.Checkpoint(**_variables(model), state=state)
        number = progress.phase + progress.epoch * (steps + 1) + progress.batch
        self._latest = tf.train.CheckpointManager(checkpoint, self._writes_to, 1).save(number)

    def save_best(self, model: keras.Model, epoch: int) -> None:
        """Keeps the weights as those of the best epoch so far. The ones before stay beside them: a training that is
        killed before its next checkpoint goes on from one that still names them."""
        checkpoint = tf.train.Checkpoint(weights=_weights(model))
        tf.train.CheckpointManager(checkpoint, posixpath.join(self._writes_to, "best"), 2).save(epoch)

    def restore_best(self, model: keras.Model, epoch: int) -> None:
        """Sets the weights to those of an epoch that was kept."""
        checkpoint = tf.train.Checkpoint(weights=_weights(model))
        checkpoint.restore(posixpath.join(self._folder, "best", f"ckpt-{epoch}")).expect_partial()

    def clear(self) -> None:
        """Deletes them: the training is finished."""
        if tf.io.gfile.isdir(self._folder):
            tf.io.gfile.rmtree(self._folder)


def _weights(model: keras.Model) -> list[tf.Variable]:
    return [one.value for one in model.weights]


def _variables(model: keras.Model) -> dict[str, Any]:
    """Weights, seeds, the optimizer's and the metrics' variables, in an order that the code decides; and the model,
    for TensorFlow's own variables in its layers, such as the augmentation's step."""

    def others() -> Iterator[keras.Variable]:
        yield from model.variables
        yield from model.optimizer.variables
        for metric in model.metrics:
            yield from metric.variables

    return {"variables": list({id(one): one.value for one in others()}.values()), "model": model}


class Restore(keras.callbacks.Callback):
    """Restores at the beginning of the first epoch: just before, Keras sets the metrics to zero."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self._checkpoints: Checkpoints | None = checkpoints

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Once."""
        if self._checkpoints is not None:
            self._checkpoints.restore(self.model)
            self._checkpoints = None


class Save(keras.callbacks.Callback):
    """Saves after a step or an epoch when it is time to."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        steps: int,
        seconds: float | None,
        replicas: Replicas,
        average: Callable[[], None],
    ) -> None:
        """Args:
        checkpoints: where to.
        progress: kept up to date here within an epoch; whoever ends the epoch does it there.
        steps: of an epoch.
        seconds: between two checkpoints; None: never.
        replicas: of the model; all their processes save when the chief's clock says so, as all of them are read.
        average: of `Replicas.averaging`.
        """
        super().__init__()
        self._replicas, self._average = replicas, average
        self._checkpoints, self._progress, self._steps, self._seconds = checkpoints, progress, steps, seconds
        self._last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Batches that were skipped, because they were trained on before the restart, are behind `progress`."""
        if batch >= self._progress.batch:
            self._progress.batch = batch + 1
            self._save_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """The progress tells the next epoch already."""
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._seconds is not None and self._replicas.agree(time.monotonic() - self._last >= self._seconds):
            self._average()
            self._checkpoints.save(self.model, self._progress, self._steps)
            self._last = time.monotonic()
