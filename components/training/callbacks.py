"""Keras callbacks for a task's training settings: what happens after each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from components.progress import report
from components.task.train_config import Train
from components.training.checkpoints import Checkpoints, Progress
from components.training.ema import averaged
from data.errors import QualityError, UsageError


class EpochEnd(keras.callbacks.Callback):
    """At the end of an epoch: record its metrics, keep the best weights, stop if the settings say so."""

    def __init__(self, train: Train, epochs: int, progress: Progress, checkpoints: Checkpoints) -> None:
        """Create the callback.

        Args:
          train: The settings.
          epochs: Number of epochs of all phases, for the line of progress.
          progress: Progress to update.
          checkpoints: Where to keep the best weights.
        """
        super().__init__()
        self._train, self._epochs, self._progress, self._checkpoints = train, epochs, progress, checkpoints

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Find out before the first step whether a higher `monitor` is better.

        Raises:
          UsageError: If that is not known.
        """
        if self._compares:
            higher_is_better(self.model, self._train.monitor)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record the metrics of the epoch.

        Raises:
          QualityError: If the loss is not finite.
        """
        values, progress = logs or {}, self._progress
        for name, value in values.items():
            progress.history.setdefault(name, []).append(float(value))
        progress.epoch, progress.batch = epoch + 1, 0
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        report(f"epoch {epoch + 1}/{self._epochs}  {shown}")
        if not math.isfinite(values["loss"]):
            raise QualityError(
                f"the training diverged: the loss is {values['loss']} after epoch {epoch + 1}",
                hint="Lower the learning rate, for example --set train.learning_rate="
                f"{float(self.model.optimizer.learning_rate) / 10:.2g}",
            )
        self._keep_or_stop(epoch + 1, values)

    def _keep_or_stop(self, epoch: int, values: dict[str, float]) -> None:
        train, progress = self._train, self._progress
        if self._compares and self._is_best(float(values[train.monitor])):
            progress.best, progress.best_epoch = float(values[train.monitor]), epoch
            if train.keep == "best":
                with averaged(self.model):  # they were evaluated
                    self._checkpoints.save_best(self.model, epoch)
        condition = train.stop_condition
        if condition and condition.holds(values[condition.metric]):
            self._stop(f"{train.stop_when} after epoch {epoch}")
        elif train.patience and epoch - max(progress.best_epoch, progress.phases[-1]["epoch"] - 1) >= train.patience:
            self._stop(f"{train.monitor} has not improved since epoch {progress.best_epoch}")

    @property
    def _compares(self) -> bool:
        return self._train.keep == "best" or self._train.patience is not None

    def _is_best(self, value: float) -> bool:
        if not self._progress.best_epoch:
            return True
        best = self._progress.best
        return value > best if higher_is_better(self.model, self._train.monitor) else value < best

    def _stop(self, why: str) -> None:
        self._progress.stopped = why
        self.model.stop_training = True
        report(f"stopped: {why}")


def higher_is_better(model: keras.Model, monitor: str) -> bool:
    """Return whether a higher value of a metric is better, as Keras' EarlyStopping and ModelCheckpoint find out.

    Args:
      model: Compiled; its metrics have their direction.
      monitor: Name of one of them, or "loss"; with "val_" in front: of the evaluation.

    Raises:
      UsageError: If the metric does not have a direction: one of a function, or of the user's own class.
    """
    name = monitor.removeprefix("val_")
    if name == "loss":
        return False
    directions = {one.name: getattr(one, "_direction", "") for one in _metrics(model)}
    if directions.get(name):
        return directions[name] == "up"
    if any(word in name for word in ("accuracy", "auc")):
        return True
    raise UsageError(
        f"train.monitor={monitor}: it is not known whether a higher value of this metric is better",
        hint='Set the attribute _direction of the metric to "up" or "down", or monitor another metric: val_loss.',
    )


def _metrics(model: keras.Model) -> Iterator[keras.metrics.Metric]:
    for one in model.metrics:
        yield from getattr(one, "metrics", [one])  # Keras puts the metrics of `compile` into one


class RecordRate(keras.callbacks.Callback):
    """Put the learning rate at the end of each epoch into its metrics, as Keras' LearningRateScheduler does."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add it."""
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def scheduler(train: Train, first: int, rate: float | None) -> keras.callbacks.Callback:
    """Return the callback that sets the learning rate of each epoch, or only records it.

    Args:
      train: The settings with the schedule.
      first: First epoch of the phase, from 0; earlier steps of the schedule belong to another phase.
      rate: Learning rate at the start of the phase; None if the optimizer has a schedule of its own.
    """
    if rate is None:
        return RecordRate()
    if callable(train.schedule):
        return keras.callbacks.LearningRateScheduler(train.schedule)
    steps = [(after, lower) for after, lower in train.schedule if after >= first]

    def at(epoch: int, _: float) -> float:
        return next((lower for after, lower in reversed(steps) if epoch >= after), rate)

    return keras.callbacks.LearningRateScheduler(at)


class CountingTensorBoard(keras.callbacks.TensorBoard):
    """TensorBoard's callback, which counts the steps of all phases, and those before a restart."""

    def __init__(self, folder: str, steps_before: int, **kwargs: Any) -> None:
        """Create the callback.

        Args:
          folder: Folder of the logs.
          steps_before: Number of steps before the first one that the callback sees.
          **kwargs: Of Keras' callback.
        """
        super().__init__(folder, **kwargs)
        self._steps_before = steps_before

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin to count."""
        super().on_train_begin(logs)
        self._global_train_batch = self._steps_before


def tensorboard(train: Train, folder: str, steps_before: int) -> list[keras.callbacks.Callback]:
    """Return TensorBoard's callback, if the settings enable one of its logs.

    Args:
      train: The settings.
      folder: Folder of the logs.
      steps_before: Number of steps before the first one that the callback sees, in earlier phases or processes.
    """
    if not (train.tensorboard or train.histogram_epochs or train.profile_steps):
        return []
    return [
        CountingTensorBoard(
            folder,
            steps_before,
            histogram_freq=train.histogram_epochs,
            profile_batch=train.profile_steps or 0,
            write_graph=False,
        )
    ]
