"""Parse labels: one rule for all sources.

For `Classes`, a label is the name of a class. It is given as

* text: UTF-8, at least one character, no control characters; spaces around it are ignored;
* a whole number, as an integer, a float (`3.0`) or their text (`"3"`, `"3.0"`): all four are the class "3";
* with `label.names`, a whole number that is not a name itself is an index into the names; the first has index 0.

For `Number`, a label is a finite float32, or its text.

Any other value (empty, NaN, several values, bytes that are not UTF-8) is invalid, and its record is rejected.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.spec import Classes, Label

_WHOLE = re.compile(r"(-?\d+)(\.0*)?", re.ASCII)
_FRACTION = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MISSING = frozenset({"", "nan"})  # pandas writes a missing label as the text "nan"
_LARGEST = float(np.finfo(np.float32).max)
ONE_HOT_HINT = "Undo one-hot labels: numpy.argmax(labels, axis=1)."


class InvalidLabel(ValueError):
    """A value that cannot be a label; the message says why."""


def parse_label(values: Sequence[Any], label: Label) -> str | float:
    """Return the label that a record's values mean: the name of a class, or a number.

    Args:
      values: the values as they were read: text, bytes, int, float or bool. A label has one value.
      label: the task's label.

    Raises:
      InvalidLabel: If there is no value, there are several, or the value cannot be a label.
    """
    if len(values) != 1:
        raise InvalidLabel(f"{len(values)} values: a label has one value" if len(values) else "empty")
    value = values[0]
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise InvalidLabel(f"{value[:40]!r} is not UTF-8") from None
    if not isinstance(label, Classes):
        return parse_number(value)
    if isinstance(value, (bool, np.bool_)) and label.names and str(value) not in label.names:
        value = int(value)
    return resolve_class(_class_name(value), label)


def resolve_class(name: str, label: Classes) -> str:
    """Return the class that a text means: itself, or the name at this index of `label.names`.

    The name of a class folder is such a text, too.

    Raises:
      InvalidLabel: If there are `label.names`, and the text is neither one of them nor an index.
    """
    name = unicodedata.normalize("NFC", name)  # macOS writes "é" as two characters, other systems as one
    if not label.names or name in label.names:
        return name
    index = int(name) if _WHOLE.fullmatch(name) else -1
    if not 0 <= index < len(label.names):
        raise InvalidLabel(f"'{shorten_value(name)}' is not among the task's label.names, and not an index into them")
    return label.names[index]


def parse_number(value: Any) -> float:
    """Return a value as a finite number that float32 can hold.

    Raises:
      InvalidLabel: If the value is not such a number.
    """
    if isinstance(value, str) and not value.strip():
        raise InvalidLabel("empty")
    if isinstance(value, str) and "_" in value:  # Python's float() would ignore the underscore
        raise InvalidLabel(f"'{shorten_value(value)}' is not a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidLabel(f"'{shorten_value(str(value))}' is not a number") from None
    if not abs(number) <= _LARGEST:
        raise InvalidLabel(f"'{shorten_value(str(value))}' is not a finite number")
    return number


def _class_name(value: Any) -> str:
    """Return the name of a class, before it is looked up in `label.names`."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return _float_class(float(value))
    if isinstance(value, str):
        return _text_class(value.strip())
    raise InvalidLabel(f"a {type(value).__name__} is neither text nor a number")


def _float_class(value: float) -> str:
    """Return the name of a class that is given as a float: a whole number."""
    if math.isnan(value):
        raise InvalidLabel("NaN")
    if not value.is_integer():
        raise InvalidLabel(f"{value:g} is not whole: a class is text or a whole number")
    return str(int(value))


def _text_class(text: str) -> str:
    """Return the name of a class that is given as text; "3.0" is the class "3"."""
    if text.lower() in _MISSING:
        raise InvalidLabel("NaN" if text else "empty")
    if any(unicodedata.category(one) == "Cc" or "\ud800" <= one <= "\udfff" for one in text):
        raise InvalidLabel(f"{text[:40]!r} contains control characters")
    whole = _WHOLE.fullmatch(text)
    if whole and whole[2] is not None:
        return whole[1]
    if _FRACTION.fullmatch(text):
        raise InvalidLabel(f"{shorten_value(text)} is not whole: a class is text or a whole number")
    return text


def label_order(names: Iterable[str]) -> list[str]:
    """Sort classes into the order of the model's outputs: as Keras sorts folders, but whole numbers by value.

    Args:
      names: the classes, in any order.
    """
    names = list(names)
    if all(re.fullmatch(r"-?\d+", name, re.ASCII) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def shorten_value(text: str) -> str:
    """Return the text of a value, cut to at most 60 characters for a message."""
    return text if len(text) <= 60 else f"{text[:57]}..."
