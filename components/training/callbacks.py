"""Keras callbacks for a task's training settings: what happens after each epoch."""

from __future__ import annotations

import math

import keras

from components.progress import report
from components.task.train_config import Train
from components.training.checkpoints import Checkpoints, Progress
from data.errors import QualityError


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
        value = float(values[train.monitor])
        if not progress.best_epoch or _is_better(train.monitor, value, progress.best):
            progress.best, progress.best_epoch = value, epoch
            if train.keep == "best":
                self._checkpoints.save_best(self.model, epoch)
        condition = train.stop_condition
        if condition and condition.holds(values[condition.metric]):
            self._stop(f"{train.stop_when} after epoch {epoch}")
        elif train.patience and epoch - max(progress.best_epoch, progress.phases[-1]["epoch"] - 1) >= train.patience:
            self._stop(f"{train.monitor} has not improved since epoch {progress.best_epoch}")

    def _stop(self, why: str) -> None:
        self._progress.stopped = why
        self.model.stop_training = True
        report(f"stopped: {why}")


def _is_better(metric: str, value: float, best: float) -> bool:
    higher = any(word in metric for word in ("accuracy", "auc"))  # "val_binary_accuracy", "pr_auc"
    return value > best if higher else value < best


def scheduler(train: Train, first: int, rate: float) -> keras.callbacks.LearningRateScheduler:
    """Return the callback that sets the learning rate of each epoch.

    Args:
      train: The settings with the schedule.
      first: First epoch of the phase, from 0; earlier steps of the schedule belong to another phase.
      rate: Learning rate at the start of the phase.
    """
    if callable(train.schedule):
        return keras.callbacks.LearningRateScheduler(train.schedule)
    steps = [(after, lower) for after, lower in train.schedule if after >= first]

    def at(epoch: int, _: float) -> float:
        return next((lower for after, lower in reversed(steps) if epoch >= after), rate)

    return keras.callbacks.LearningRateScheduler(at)


def tensorboard(train: Train, folder: str) -> list[keras.callbacks.Callback]:
    """Return TensorBoard's callback, if the settings enable one of its logs."""
    if not (train.tensorboard or train.histogram_epochs or train.profile_steps):
        return []
    return [
        keras.callbacks.TensorBoard(
            folder,
            histogram_freq=train.histogram_epochs,
            profile_batch=train.profile_steps or 0,
            write_graph=False,
        )
    ]
