"""Fit a compiled model, phase by phase; a killed training continues where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from components.models.build import compile_model, unfreeze
from components.models.optimizer import initial_rate
from components.progress import report
from components.task.task import Task
from components.task.train_config import Train
from components.training.callbacks import EpochEnd, scheduler, tensorboard
from components.training.checkpoints import Checkpoints, Progress, Restore, Save
from components.training.distributed_fit import fit_replicas
from components.training.ema import EvaluateAverages, end_phase, has_averages
from components.training.input_meter import InputMeter
from components.training.replicas import Replicas
from data.input import reader


@dataclass(frozen=True)
class Phase:
    """A part of the training with its own optimizer.

    Attributes:
      name: Name for the report.
      epochs: Number of epochs.
      learning_rate: Learning rate at its start; None if the optimizer has a schedule of its own.
    """

    name: str
    epochs: int
    learning_rate: float | None


def training_phases(train: Train) -> list[Phase]:
    """Return the phases of a training: one, or two if the task fine-tunes."""
    found = [Phase("training", train.epochs, initial_rate(train))]
    if train.fine_tune.epochs:
        found.append(Phase("fine-tuning", train.fine_tune.epochs, train.fine_tune.learning_rate))
    return found


def fit_task(
    model: keras.Model,
    task: Task,
    train: reader.Batches,
    evaluation: reader.Batches,
    checkpoints: Checkpoints,
    logs: str,
    replicas: Replicas,
) -> dict[str, Any]:
    """Train the model; afterwards it has the weights that `train.keep` selects.

    Args:
      model: Compiled by `components.models.build.build_for_training`, in the scope of the replicas.
      task: The task with its settings.
      train: From `components.training.batches.training_batches`.
      evaluation: From `evaluation_batches`; each example is used once after each epoch.
      checkpoints: Where to continue from, and where to save to.
      logs: Folder for TensorBoard's logs.
      replicas: The replicas of the model.

    Returns:
      The report: `history` by metric, `epochs` (finished), `best_epoch` (from 1; the model has its weights), `phases`,
      `stopped` (the reason for an early stop, or ""), `resumed_at` (where a killed training continued, or ""),
      `images_per_second`, `waiting_share` (of the time, for input), `in_memory`.

    Raises:
      UsageError: If there are no layers to fine-tune, or if the loss or `monitor` do not fit the other settings.
      QualityError: If the loss is not finite.
    """
    fitting = _Fitting(model, task.train, train, evaluation, checkpoints, logs, replicas)
    resumed_at = fitting.report_resumption()
    for number, phase in enumerate(training_phases(task.train)):
        if number < fitting.progress.phase:
            continue
        if number > fitting.progress.phase and fitting.is_over():
            break
        if number:
            report(f"{phase.name}: {unfreeze(model, task.train.fine_tune.from_layer)} layers unfrozen")
            with replicas.scope():
                compile_model(model, task, phase.learning_rate)
        fitting.run_phase(number, phase)
    fitting.restore_best()
    return fitting.results() | {"resumed_at": resumed_at}


@dataclass
class _Fitting:
    """The state of a training.

    Attributes:
      progress: What is done, as of the latest checkpoint at first.
      meter: Measures throughput and waiting, over all phases.
      epochs: Number of epochs of all phases.
    """

    model: keras.Model
    settings: Train
    train: reader.Batches
    evaluation: reader.Batches
    checkpoints: Checkpoints
    logs: str
    replicas: Replicas
    progress: Progress = field(init=False)
    meter: InputMeter = field(init=False)
    epochs: int = field(init=False)

    def __post_init__(self) -> None:
        self.progress = self.checkpoints.progress()
        self.meter = InputMeter(self.train.load_seconds)
        self.epochs = sum(phase.epochs for phase in training_phases(self.settings))

    def report_resumption(self) -> str:
        """Report and return where a killed training continues; "" for a new one."""
        progress = self.progress
        if not progress.phases:
            return ""
        within = f"step {progress.batch + 1}" if progress.batch < self.train.steps else "evaluation"
        place = f"epoch {progress.epoch + 1}, {within}"
        report(f"continuing at {place}, from a checkpoint")
        return place

    def is_over(self) -> bool:
        """Return whether `stop_when` ended the whole training; patience only ends a phase."""
        condition, history = self.settings.stop_condition, self.progress.history
        return bool(condition and history and condition.holds(history[condition.metric][-1]))

    def run_phase(self, number: int, phase: Phase) -> None:
        """Train the phase to its end, from its start or from the latest checkpoint."""
        progress = self.progress
        resumed = len(progress.phases) > number
        if not resumed:
            progress.phase, progress.stopped = number, ""
            progress.phases.append({"name": phase.name, "epoch": progress.epoch + 1})
        first = progress.phases[number]["epoch"] - 1
        last = first + phase.epochs
        if progress.stopped or progress.epoch == last:
            self.checkpoints.restore(self.model)
            end_phase(self.model)
            return
        batches = self.meter.timed(self.train.passes(progress.epoch, progress.batch))
        average = self.replicas.averaging(self.model)
        callbacks = [
            *([Restore(self.checkpoints)] if resumed else []),
            scheduler(self.settings, first, phase.learning_rate),
            self.meter,
            EpochEnd(self.settings, self.epochs, progress, self.checkpoints),
            Save(
                self.checkpoints, progress, self.train.steps, self.settings.checkpoint_seconds, self.replicas, average
            ),
            *([EvaluateAverages()] if self.settings.keep == "best" and has_averages(self.model) else []),
            *(tensorboard(self.settings, self.logs, self._steps_before()) if self.replicas.is_chief else []),
            *(make() for make in self.settings.callbacks),
        ]
        if self.replicas.strategy:
            fit_replicas(
                self.model,
                self.replicas,
                batches,
                self.evaluation,
                average,
                steps=self.train.steps,
                start=(progress.epoch, progress.batch),
                epochs=last,
                callbacks=callbacks,
            )
            return
        if progress.batch:
            self.meter.skip = progress.batch
            _skip_steps(self.model, progress.batch)
        self.model.fit(
            batches,
            steps_per_epoch=self.train.steps,
            validation_data=self.evaluation.one_pass(),
            initial_epoch=progress.epoch,
            epochs=last,
            callbacks=callbacks,
            shuffle=False,  # the reader shuffles
            verbose=0,
        )

    def _steps_before(self) -> int:
        """Return the number of steps before those that the callbacks will see."""
        skipped = self.progress.batch if self.replicas.strategy else 0  # Keras' `fit` passes the skipped steps, too
        return self.progress.epoch * self.train.steps + skipped

    def restore_best(self) -> None:
        """Set the weights to those of the best epoch, if `train.keep` selects it."""
        if self.settings.keep == "best":
            self.replicas.wait()  # until the chief has written them
            self.checkpoints.restore_best(self.model, self.progress.best_epoch)

    def results(self) -> dict[str, Any]:
        """Return the report of `fit_task`, without `resumed_at`."""
        progress, meter = self.progress, self.meter
        return {
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch if self.settings.keep == "best" else progress.epoch,
            "phases": progress.phases,
            "stopped": progress.stopped,
            "images_per_second": round(meter.images_per_second * self.replicas.shard.count, 1),
            "waiting_share": round(meter.waiting_share, 4),
            "in_memory": self.train.in_memory,
            "history": progress.history,
        }


def _skip_steps(model: keras.Model, steps: int) -> None:
    """Make the first steps of Keras' `fit` neither train nor read: they were done before the restart."""
    model.make_train_function()
    step, left = model.train_function, steps

    def skipping(iterator: Iterator[Any]) -> Any:
        nonlocal left
        if left:
            left -= 1
            return model.get_metrics_result()  # as restored: the epoch's result if all its steps are skipped
        return step(iterator)

    model.train_function = skipping
