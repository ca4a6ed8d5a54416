"""Checks of the settings that are Keras objects, texts for them, or functions."""

from __future__ import annotations

from typing import Any

from components.task import keras_text
from data.errors import UsageError


def check_keras(value: Any, setting: str, module: str, base: str) -> None:
    """Check a setting.

    Args:
      value: The setting's.
      setting: Name of the setting.
      module: Of Keras, and of the catalog in `keras_text`: "optimizers".
      base: Base class in the module: "Optimizer".

    Raises:
      UsageError: If Keras does not know the text, or if the value is neither a text, nor a Keras object of this kind,
        nor a function.
    """
    if isinstance(value, str):
        keras_text.check_text(value, setting, getattr(keras_text, module)())
        return
    import keras

    if not callable(value) and not isinstance(value, getattr(getattr(keras, module), base)):
        raise UsageError(f"{setting} must be a text, a Keras {base.lower()} or a function, got {value!r}")


def has_schedule(optimizer: Any) -> bool:
    """Return whether a Keras optimizer has not one learning rate, but a schedule, a function or several optimizers."""
    inside = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    return not isinstance(inside.get_config().get("learning_rate"), (int, float))


def two_rates(learning_rate: float | None) -> UsageError:
    """Return the error for an optimizer with a schedule of its own and a setting that contradicts it.

    Args:
      learning_rate: The setting `train.learning_rate`.
    """
    setting = "learning_rate" if learning_rate else "schedule"
    return UsageError(
        f"train.{setting} cannot be used with train.optimizer: the optimizer has learning rates of its own",
        hint=f"Remove train.{setting}, or give the optimizer one learning rate.",
    )
