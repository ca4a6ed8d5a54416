"""Fits a compiled model, phase by phase, from wherever a killed run left off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from components.models.build import compile_model, unfreeze
from components.progress import report
from components.task.task import Task
from components.task.train_config import Train
from components.training import distributed_fit
from components.training.callbacks import Judge, scheduler, tensorboard
from components.training.checkpoints import Checkpoints, Progress, Restore, Save
from components.training.input_meter import InputMeter
from components.training.replicas import Replicas
from data.input import reader


@dataclass(frozen=True)
class Phase:
    """A part of the training with an optimizer of its own."""

    name: str
    epochs: int
    learning_rate: float


def phases(train: Train) -> list[Phase]:
    """One, or two where the task fine-tunes."""
    found = [Phase("training", train.epochs, train.learning_rate)]
    if train.fine_tune.epochs:
        found.append(Phase("fine-tuning", train.fine_tune.epochs, train.fine_tune.learning_rate))
    return found


def fit(
    model: keras.Model,
    task: Task,
    train: reader.Batches,
    evaluation: reader.Batches,
    checkpoints: Checkpoints,
    logs: str,
    replicas: Replicas,
) -> dict[str, Any]:
    """Trains the model, leaving it with the weights that `train.keep` asks for.

    Args:
      model: compiled by `components.models.build.build_for_training`, in the scope of the replicas.
      task: its settings.
      train, evaluation: the batches of the two splits; every example of the latter is seen once after each epoch.
      checkpoints: where to go on from, and to save to.
      logs: folder of TensorBoard's logs.
      replicas: of the model.

    Returns:
      The report: `history` by metric, `epochs` (finished), `best_epoch` (from 1; the one whose weights the model has),
      `phases`, `stopped` (why, if early), `resumed_at` (where a killed training went on), `images_per_second`,
      `waiting_share` (of the time, for input), `in_memory`.

    Raises:
      UsageError: there is nothing to fine-tune.
      QualityError: the loss is no number any more.
    """
    settings, progress = task.train, checkpoints.progress()
    resumed_at = _place(progress, train.steps) if progress.phases else ""
    if resumed_at:
        report(f"going on at {resumed_at}, from a checkpoint")
    meter = InputMeter(train.load_seconds)
    epochs = sum(phase.epochs for phase in phases(settings))
    for number, phase in enumerate(phases(settings)):
        if number < progress.phase:
            continue
        if number > progress.phase and _is_over(progress, settings):
            break
        if number:
            report(f"{phase.name}: {unfreeze(model, settings.fine_tune.from_layer)} layers thawed")
            with replicas.scope():
                compile_model(model, task, phase.learning_rate)
        resumed = len(progress.phases) > number
        if not resumed:
            progress.phase, progress.stopped = number, ""
            progress.phases.append({"name": phase.name, "epoch": progress.epoch + 1})
        first = progress.phases[number]["epoch"] - 1
        if progress.stopped or progress.epoch == first + phase.epochs:
            checkpoints.restore(model)
            continue
        batches = meter.timed(train.passes(progress.epoch, progress.batch))
        average = replicas.averaging(model)
        callbacks = [
            *([Restore(checkpoints)] if resumed else []),
            scheduler(settings, first, phase.learning_rate),
            meter,
            Judge(settings, epochs, progress, checkpoints),
            Save(checkpoints, progress, train.steps, settings.checkpoint_seconds, replicas, average),
            *(tensorboard(settings, logs) if replicas.is_chief else []),
            *(make() for make in settings.callbacks),
        ]
        if replicas.strategy:
            distributed_fit.fit(
                model,
                replicas,
                batches,
                evaluation,
                average,
                steps=train.steps,
                start=(progress.epoch, progress.batch),
                epochs=first + phase.epochs,
                callbacks=callbacks,
            )
            continue
        if progress.batch:
            meter.skip = progress.batch
            _skip(model, progress.batch)
        model.fit(
            batches,
            steps_per_epoch=train.steps,
            validation_data=evaluation.one_pass(),
            initial_epoch=progress.epoch,
            epochs=first + phase.epochs,
            callbacks=callbacks,
            verbose=0,
        )
    if settings.keep == "best":
        replicas.wait()  # until the chief has written them
        checkpoints.restore_best(model, progress.best_epoch)
    return {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch if settings.keep == "best" else progress.epoch,
        "phases": progress.phases,
        "stopped": progress.stopped,
        "resumed_at": resumed_at,
        "images_per_second": round(meter.images_per_second * replicas.shard.count, 1),
        "waiting_share": round(meter.waiting_share, 4),
        "in_memory": train.in_memory,
        "history": progress.history,
    }


def _place(progress: Progress, steps: int) -> str:
    within = f"step {progress.batch + 1}" if progress.batch < steps else "evaluation"
    return f"epoch {progress.epoch + 1}, {within}"


def _is_over(progress: Progress, train: Train) -> bool:
    """Whether `stop_when` ended it all; patience only ends a phase."""
    condition = train.stop_condition
    return bool(condition and progress.history and condition.holds(progress.history[condition.metric][-1]))


def _skip(model: keras.Model, steps: int) -> None:
    """Lets the first steps of `fit` pass without training or reading: they were done before the restart."""
    model.make_train_function()
    step, left = model.train_function, steps

    def skipping(iterator: Iterator[Any]) -> Any:
        nonlocal left
        if left:
            left -= 1
            return model.get_metrics_result()  # as restored: what the epoch ends with if all its steps are skipped
        return step(iterator)

    model.train_function = skipping
