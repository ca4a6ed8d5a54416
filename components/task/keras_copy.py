"""Copies of Keras objects, from their configs."""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any

from components.task.keras_text import snake_case
from data.errors import UsageError, first_line


def copy_of(value: Any, setting: str, **changes: Any) -> Any:
    """Return a new Keras object with the config of another one, without its state.

    Args:
      value: An optimizer, loss or metric.
      setting: Name of the setting, for errors: "train.optimizer".
      **changes: Arguments with another value.

    Raises:
      UsageError: If the class cannot be created from its config.
    """
    import keras

    cls = type(value)
    try:
        if cls is keras.metrics.MeanMetricWrapper:  # its config has the text of a function, which may be anywhere
            return cls(value._fn, **{"name": value.name, "dtype": value.dtype, **value._fn_kwargs, **changes})
        with keras.saving.custom_object_scope(_functions(value)):
            return cls.from_config({**value.get_config(), **changes})
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise UsageError(
            f"{setting}: a {cls.__name__} cannot be created from its config: {first_line(error)}",
            hint="Return all arguments of __init__ from get_config, as Keras' guide to custom objects describes.",
        ) from error


def own_name(value: Any) -> str:
    """Return the name of a Keras object, without the number that Keras appends.

    Without a name of its own, the first AUC of a process is "auc", the next one "auc_1".
    """
    usual = snake_case(type(value).__name__)
    return usual if re.fullmatch(rf"{re.escape(usual)}(_\d+)?", value.name) else str(value.name)


def _functions(value: Any) -> dict[str, Any]:
    """Return the functions among an object's attributes by name."""
    return {one.__name__: one for one in vars(value).values() if isinstance(one, FunctionType)}
