"""Checks of the fields of a dataclass of settings against their types.

Python itself does not check them: a text in place of a tuple of texts would become its letters, and a NaN passes
comparisons such as `not value < 0`.
"""

from __future__ import annotations

import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from data.errors import UsageError

LARGEST = 2**32 - 1  # the largest whole number: that of numpy's and Keras' seeds; no other setting needs a larger one
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}


class _TypeMismatch(Exception):
    pass


def check_fields(settings: Any, section: str) -> None:
    """Check a frozen dataclass; call this first in its `__post_init__`.

    A list becomes a tuple, a mapping a new dictionary, and a numpy number a Python number.

    Args:
      settings: the dataclass.
      section: the prefix of the fields' names in errors, as in `--set`: "train".

    Raises:
      UsageError: If a value has another type, a number is not finite, or a whole number has more than 32 bits.
    """
    for name, hint in types_of(type(settings)).items():
        value = getattr(settings, name)
        try:
            object.__setattr__(settings, name, _convert(value, hint))
        except _TypeMismatch:
            shown = repr(value)
            shown = shown if len(shown) <= 80 else f"{shown[:80]} ..."
            expected = f"{_describe_type(hint)}{_describe_limit(value)}"
            raise UsageError(f"{section}.{name} must be {expected}, got {shown}") from None


def types_of(cls: type) -> dict[str, Any]:
    """Return the resolved type hints of a dataclass's fields by name."""
    hints = typing.get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls)}


def is_finite(value: Any) -> bool:
    """Return whether a number is in the range of a float; a NaN is not."""
    if isinstance(value, Integral):
        return bool(abs(int(value)) <= sys.float_info.max)  # exact, and without an overflow
    return math.isfinite(value)


def _convert(value: Any, hint: Any) -> Any:
    """Return the value converted to the type.

    Raises:
      _TypeMismatch: If it has another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_to_one_of(value, arguments)
    if origin is tuple:
        return _convert_tuple(value, arguments)
    if origin is Mapping:
        return _convert_mapping(value, arguments)
    if _fits(value, origin, arguments, hint):
        return _plain(value, hint)
    raise _TypeMismatch


def _fits(value: Any, origin: Any, arguments: tuple[Any, ...], hint: Any) -> bool:
    if origin is typing.Literal:
        return isinstance(value, str) and value in arguments
    if origin is Callable:
        return callable(value)
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) <= LARGEST
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and is_finite(value)
    if hint is str:
        return isinstance(value, str) and _is_text(value)
    return isinstance(value, origin or hint) if isinstance(origin or hint, type) else True


def _plain(value: Any, hint: Any) -> Any:
    if hint is int:
        return int(value)
    return float(value) if hint is float and not isinstance(value, (int, float)) else value


def _convert_to_one_of(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _convert(value, hint)
        except _TypeMismatch:
            continue
    raise _TypeMismatch


def _convert_tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise _TypeMismatch
    parts = [hints[0]] * len(value) if Ellipsis in hints else list(hints)
    if len(parts) != len(value):
        raise _TypeMismatch
    return tuple(_convert(one, hint) for one, hint in zip(value, parts, strict=True))


def _convert_mapping(value: Any, hints: tuple[Any, ...]) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _TypeMismatch
    of_key, of_value = hints
    return {_convert(name, of_key): _convert(one, of_value) for name, one in value.items()}


def _is_text(value: str) -> bool:
    """Return whether a protocol buffer can hold the text: it is UTF-8, which a file's name may not be."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def describe_choices(choices: Sequence[str]) -> str:
    """Return the values of a Literal for an error message; an empty one comes last."""
    named = [one for one in choices if one]
    found = named[0] if len(named) == 1 else f"one of {', '.join(named)}"
    return found if len(named) == len(choices) else f"{found}, or empty"


def _describe_limit(value: Any) -> str:
    if isinstance(value, int):
        return "" if abs(value) <= LARGEST else f" of at most {LARGEST}"
    return "" if not isinstance(value, Real) or is_finite(value) else " that is finite"


def _describe_type(hint: Any) -> str:
    """Return the type for an error message: "a tuple of texts"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_describe_type, arguments)))
    if origin is typing.Literal:
        return describe_choices(arguments)
    if origin is tuple and Ellipsis in arguments:
        plural = "s" if arguments[0] in _TYPE_NAMES else ""
        return f"a tuple of {_describe_type(arguments[0]).removeprefix('a ')}{plural}"
    if origin is tuple:
        return f"({', '.join(map(_describe_type, arguments))})"
    if origin is Mapping:
        of_key, of_value = (_describe_type(one).removeprefix("a ") for one in arguments)
        return f"a dictionary of {of_key} to {of_value}"
    return "a function" if origin is Callable else _TYPE_NAMES.get(hint) or f"a {getattr(hint, '__name__', hint)}"
