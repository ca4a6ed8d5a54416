"""What a label is: one rule for all sources.

For `Classes`, a label is the name of a class. It is given as

* text: UTF-8, at least one character, no control characters; spaces around it do not count;
* a whole number, as an integer, a float (`3.0`) or their text (`"3"`, `"3.0"`): all four are the class "3";
* with `label.names`, a whole number that is not a name itself is an index into the names: 0 is the first.

For `Number`, a label is a finite float32, or the text of one.

Whatever else comes (empty, NaN, several values, bytes that are not UTF-8) is no label, and its record is rejected.
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
_NOTHING = frozenset({"", "nan"})  # "nan" is how pandas writes a missing label into a text
_LARGEST = float(np.finfo(np.float32).max)
ONE_HOT = "Undo one-hot labels: numpy.argmax(labels, axis=1)."


class NoLabel(ValueError):
    """A value that is no label; the message says why."""


def label_of(values: Sequence[Any], label: Label) -> str | float:
    """The label that a record's values mean: a class's name, or a number.

    Args:
      values: as they were read: text, bytes, int, float or bool; a label is one value.
      label: the task's.

    Raises:
      NoLabel: none, several, or a value that is no label.
    """
    if len(values) != 1:
        raise NoLabel(f"{len(values)} values: a label is one" if len(values) else "empty")
    value = values[0]
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise NoLabel(f"{value[:40]!r} is not UTF-8") from None
    if not isinstance(label, Classes):
        return number_of(value)
    if isinstance(value, (bool, np.bool_)) and label.names and str(value) not in label.names:
        value = int(value)
    return folder_label(_text(value), label)


def folder_label(name: str, label: Classes) -> str:
    """The class that a text means: itself, or the name at its index in `label.names`. A folder's name is such a text.

    Raises:
      NoLabel: there are `label.names`, and it is neither one of them nor an index.
    """
    name = unicodedata.normalize("NFC", name)  # macOS writes "é" as two characters, others as one
    if not label.names or name in label.names:
        return name
    index = int(name) if _WHOLE.fullmatch(name) else -1
    if not 0 <= index < len(label.names):
        raise NoLabel(f"'{_cut(name)}' is not among the task's label.names, nor an index into them")
    return label.names[index]


def number_of(value: Any) -> float:
    """A finite number that float32 can hold.

    Raises:
      NoLabel: it is none.
    """
    if isinstance(value, str) and not value.strip():
        raise NoLabel("empty")
    if isinstance(value, str) and "_" in value:  # which Python's float would read over
        raise NoLabel(f"'{_cut(value)}' is not a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise NoLabel(f"'{_cut(str(value))}' is not a number") from None
    if not abs(number) <= _LARGEST:
        raise NoLabel(f"'{_cut(str(value))}' is not a finite number")
    return number


def _text(value: Any) -> str:
    """A class's name, before `label.names` are looked at."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            raise NoLabel("NaN")
        if not float(value).is_integer():
            raise NoLabel(f"{value:g} is not whole: a class is text or a whole number")
        return str(int(value))
    if not isinstance(value, str):
        raise NoLabel(f"a {type(value).__name__} is neither text nor a number")
    text = value.strip()
    if text.lower() in _NOTHING:
        raise NoLabel("empty" if not text else "NaN")
    if any(unicodedata.category(one) == "Cc" or "\ud800" <= one <= "\udfff" for one in text):
        raise NoLabel(f"{text[:40]!r} holds control characters")
    whole = _WHOLE.fullmatch(text)
    if whole and whole[2] is not None:
        return whole[1]
    if _FRACTION.fullmatch(text):
        raise NoLabel(f"{_cut(text)} is not whole: a class is text or a whole number")
    return text


def label_order(names: Iterable[str]) -> list[str]:
    """Classes in the order of the model's outputs: sorted, as Keras does; whole numbers by their value.

    Args:
      names: in any order.
    """
    names = list(names)
    if all(re.fullmatch(r"-?\d+", name, re.ASCII) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
