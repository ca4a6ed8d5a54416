"""The fields of a dataclass of settings, compared with their types. Python itself does not: a text where a tuple of
texts is meant would become its letters, and a NaN passes every `<`."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from data.errors import UsageError

LARGEST = 2**32 - 1  # of whole numbers: numpy's and Keras' seeds go up to here, and nothing else needs as much
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}


class _Misfit(Exception):
    pass


def check_fields(settings: Any, section: str) -> None:
    """Checks a frozen dataclass, as the first thing in its `__post_init__`.

    A list becomes the tuple that is meant, a number of numpy one of Python.

    Args:
      settings: the dataclass.
      section: stands before the fields' names, as in `--set`: "train".

    Raises:
      UsageError: a value of another type, a number that is not finite, or a whole number of more than 32 bits.
    """
    for name, hint in types_of(type(settings)).items():
        value = getattr(settings, name)
        try:
            object.__setattr__(settings, name, _fitting(value, hint))
        except _Misfit:
            shown = repr(value)
            shown = shown if len(shown) <= 80 else f"{shown[:80]} ..."
            raise UsageError(f"{section}.{name} must be {_words(hint)}{_limit(value)}, got {shown}") from None


def types_of(cls: type) -> dict[str, Any]:
    """Type hints of a dataclass's fields by name, resolved."""
    hints = typing.get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls)}


def is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold; no NaN is."""
    return bool(abs(value) <= sys.float_info.max)


def _fitting(value: Any, hint: Any) -> Any:
    """The value as one of the type.

    Raises:
      _Misfit: it is none.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _fitting_one(value, arguments)
    if origin is tuple:
        return _fitting_tuple(value, arguments)
    if _fits(value, origin, arguments, hint):
        return _plain(value, hint)
    raise _Misfit


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


def _fitting_one(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _fitting(value, hint)
        except _Misfit:
            continue
    raise _Misfit


def _fitting_tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise _Misfit
    parts = [hints[0]] * len(value) if Ellipsis in hints else list(hints)
    if len(parts) != len(value):
        raise _Misfit
    return tuple(_fitting(one, hint) for one, hint in zip(value, parts, strict=True))


def _is_text(value: str) -> bool:
    """Whether UTF-8, and so a protocol buffer, can hold it: names out of a file system need not be."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _limit(value: Any) -> str:
    if isinstance(value, int):
        return "" if abs(value) <= LARGEST else f" of at most {LARGEST}"
    return "" if not isinstance(value, Real) or is_finite(value) else " that is finite"


def _words(hint: Any) -> str:
    """The type, as a user would say it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, arguments)))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and Ellipsis in arguments:
        return f"a tuple of {_words(arguments[0]).removeprefix('a ')}{'s' if arguments[0] in _WORDS else ''}"
    if origin is tuple:
        return f"({', '.join(map(_words, arguments))})"
    return "a function" if origin is Callable else _WORDS.get(hint) or f"a {getattr(hint, '__name__', hint)}"
