"""The data of several trainings: read and decoded once, as long as the trials read them the same way."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.models.augmentation import augmenter_of
from components.task.task import Task
from components.training.replicas import Replicas
from components.training.trainer import TrainingInputs, read_inputs

_READING = ("batch_size", "seed", "cache_mb", "shuffle_buffer", "strategy")  # fields of `Train`


class SharedInputs:
    """The data of the latest training."""

    def __init__(self) -> None:
        """Create it without data."""
        self._key: tuple[Any, ...] = ()
        self._inputs: TrainingInputs | None = None

    def read(self, task: Task, fn_args: Any, replicas: Replicas) -> TrainingInputs:
        """Return the data, as `components.training.trainer.read_inputs` does.

        Args:
          task: The task with the settings of this training.
          fn_args: Arguments of the trainings, the same for all.
          replicas: The replicas of the model.
        """
        key = tuple(getattr(task.train, name) for name in _READING)
        if self._inputs is None or key != self._key:
            self._inputs = None  # its memory is free before the next one needs as much
            self._key, self._inputs = key, read_inputs(task, fn_args, replicas, fill=True)
        return dataclasses.replace(self._inputs, augmenter=augmenter_of(task, replicas.shard.index))
