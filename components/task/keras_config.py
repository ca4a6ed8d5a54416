"""Configs of Keras objects: copies made from them, and texts that the cache compares."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from components.task.keras_text import snake_case
from data.errors import UsageError, first_line

_GUIDE = "Return all arguments of __init__ from get_config, as Keras' guide to custom objects describes."


def has_config(value: Any) -> bool:
    """Return whether a value is a Keras object with a config: an optimizer, a loss, a metric, a layer ..."""
    return hasattr(value, "get_config") and not inspect.isclass(value)


def config_of(value: Any) -> dict[str, Any]:
    """Return all arguments of a Keras object: its config, and what Keras leaves out of it, such as Huber's delta."""
    passed = getattr(value, "_fn_kwargs", {})
    legal = inspect.signature(type(value)).parameters
    return {name: one for name, one in passed.items() if name in legal} | dict(value.get_config())


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
        if cls is keras.metrics.MeanMetricWrapper:  # its config has the name of a function, which may be anywhere
            return cls(value._fn, **{"name": value.name, "dtype": value.dtype, **value._fn_kwargs, **changes})
        named = {getattr(one, "__name__", type(one).__name__): one for one in parts_inside(value)}
        classes = {name: one if isinstance(one, FunctionType) else type(one) for name, one in named.items()}
        with keras.saving.custom_object_scope(classes):
            return cls.from_config({**config_of(value), **changes})
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise UsageError(
            f"{setting}: a {cls.__name__} cannot be created from its config: {first_line(error)}", hint=_GUIDE
        ) from error


def config_text(value: Any, is_own: bool) -> str:
    """Return the config of a Keras object as JSON, the same in every process.

    Names that Keras numbers have no number. Of a layer, seeds are left out, because training draws from its own, and
    the shapes of the inputs, which it only has after its first call.

    Args:
      value: An optimizer, loss, metric or layer.
      is_own: Whether its class is the user's; then its config must have all arguments of `__init__`.

    Raises:
      UsageError: If it has no config, or one without some of its arguments.
    """
    import keras

    cls = type(value)
    try:
        config = config_of(value)
    except NotImplementedError:
        raise UsageError(f"{cls.__name__} has no get_config, which the cache compares", hint=_GUIDE) from None
    missing = [name for name in _own_arguments(cls) if name not in config] if is_own else []
    if missing:
        raise UsageError(
            f"get_config of {cls.__name__} has no {', '.join(missing)}, which the cache compares", hint=_GUIDE
        )
    skipped = ("seed", "build_config", "build_input_shape") if isinstance(value, keras.layers.Layer) else ()
    return json.dumps(_plain({"class_name": cls.__name__, "config": config}, skipped), sort_keys=True, default=repr)


def parts_inside(value: Any) -> Iterator[Any]:
    """Yield the functions and the Keras objects among an object's attributes, and inside those."""
    seen = {id(value)}
    waiting = [*vars(value).values()]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, FunctionType):
            yield one
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif has_config(one):
            yield one
            waiting += vars(one).values()


def _own_arguments(cls: type) -> list[str]:
    """Return the names of the arguments of a user's class, except those that every Keras object has."""
    owner = next(one for one in cls.__mro__ if "__init__" in vars(one))
    if owner.__module__.startswith("keras."):
        return []
    parameters = [*inspect.signature(cls).parameters.values()]
    named = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return [name for name in named if name not in ("name", "dtype")]


def _plain(value: Any, skipped: tuple[str, ...]) -> Any:
    """Return a config without what differs between two processes."""
    if isinstance(value, (list, tuple)):
        return [_plain(one, skipped) for one in value]
    if not isinstance(value, Mapping):
        return value.tolist() if hasattr(value, "tolist") else value
    found = {str(name): _plain(one, skipped) for name, one in value.items() if name not in skipped}
    if found.get("class_name") == "__lambda__":  # its bytecode, which names its file; see `code_hash`
        return found["class_name"]
    inner = found.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        inner["name"] = without_number(inner["name"], str(found["class_name"]))
    return found


def without_number(name: str, class_name: str) -> str:
    """Return the name of an object of a class without the number that Keras appends if it has no name of its own.

    The first AUC of a process is "auc", the next one "auc_1".
    """
    usual = snake_case(class_name)
    return usual if re.fullmatch(rf"{re.escape(usual)}(_\d+)?", name) else name
