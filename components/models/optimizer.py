"""The optimizer of a task: a new one for each phase of the training."""

from __future__ import annotations

from typing import Any

import keras

from components.task import keras_text
from components.task.keras_config import copy_of
from components.task.keras_fields import has_schedule, two_rates
from components.task.train_config import Train
from data.errors import UsageError

DEFAULT_RATE = 1e-3  # of an optimizer that has only a name, whichever it is


def optimizer_of(train: Train, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
    """Return a new optimizer with the settings of a task, without a state.

    Args:
      train: The settings.
      learning_rate: At the beginning of the phase; None: that of `initial_rate`.

    Raises:
      UsageError: If the settings do not give an optimizer.
    """
    if isinstance(train.optimizer, str):
        rate = learning_rate or train.learning_rate or DEFAULT_RATE
        return keras_text.make_object(train.optimizer, "train.optimizer", keras_text.optimizers(), learning_rate=rate)
    own, own_rate = own_optimizer(train), learning_rate or train.learning_rate
    return _with_rate(own, own_rate) if own_rate else copy_of(own, "train.optimizer")


def initial_rate(train: Train) -> float | None:
    """Return the learning rate at the beginning of the training; None if the optimizer has others of its own.

    Raises:
      UsageError: If it has one, and the settings have another one.
    """
    if isinstance(train.optimizer, str):
        return train.learning_rate or DEFAULT_RATE
    own = own_optimizer(train)
    if not has_schedule(own):
        return train.learning_rate or float(own.learning_rate)
    if train.learning_rate or train.schedule:
        raise two_rates(train.learning_rate)
    return None


def own_optimizer(train: Train) -> keras.optimizers.Optimizer:
    """Return the task's optimizer object, or the result of its function.

    Raises:
      UsageError: If the function returns something else.
    """
    found: Any = train.optimizer
    found = found if isinstance(found, keras.optimizers.Optimizer) else found()
    if not isinstance(found, keras.optimizers.Optimizer):
        raise UsageError(f"train.optimizer must return a Keras optimizer, got a {type(found).__name__}")
    return found


def _with_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> keras.optimizers.Optimizer:
    """Return a copy of the optimizer with another learning rate, in place of a schedule, too."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        inner = _with_rate(optimizer.inner_optimizer, rate)
        settings = optimizer.initial_scale, optimizer.dynamic_growth_steps, optimizer.name
        return keras.optimizers.LossScaleOptimizer(inner, *settings)
    return copy_of(optimizer, "train.optimizer", learning_rate=rate)
