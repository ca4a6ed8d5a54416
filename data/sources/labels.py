"""Parse labels: one rule for all sources.

For `Classes`, a label is the name of a class. It is given as

* text: UTF-8, at least one character, no control characters; spaces around it are ignored;
* a whole number, as an integer, a float (`3.0`) or their text (`"3"`, `"3.0"`): all four are the class "3";
* with `label.names`, a whole number that is not a name itself is an index into the names; the first has index 0.

For `Labels`, a label is any number of such values. A value that is there twice counts once. A source that gives no
value states that none of the names applies; an empty text does not state this, and is invalid. Truth values, one for
each name, are read by `indicated_names`.

For `Number`, a label is a finite float32, or its text.

Any other value (empty, NaN, several values of a class, bytes that are not UTF-8) is invalid, and its record is
rejected.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.records import LabelValue
from data.spec import Classes, Label, Labels, Number

_WHOLE = re.compile(r"(-?\d+)(\.0*)?", re.ASCII)
_FRACTION = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MISSING = frozenset({"", "nan"})  # pandas writes a missing label as the text "nan"
_TRUTH = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_LARGEST = float(np.finfo(np.float32).max)
ONE_HOT_HINT = "Undo one-hot labels: numpy.argmax(labels, axis=1)."


class InvalidLabel(ValueError):
    """A value that cannot be a label; the message says why."""


def parse_label(values: Sequence[Any], label: Label) -> LabelValue:
    """Return the label that a record's values mean: the name of a class, a number, or names.

    Args:
      values: the values as they were read: text, bytes, int, float or bool. A class and a number have one value;
        `Labels` have any number of values, and none means that no name applies.
      label: the task's label.

    Returns:
      The name or the number; of `Labels` the names, each once, in the order of `label_order`.

    Raises:
      InvalidLabel: If a value cannot be a label, or the number of values is wrong.
    """
    values = [_decode(value) for value in values]
    if isinstance(label, Labels):
        return tuple(label_order({_one_of_several(value, label) for value in values}))
    if len(values) != 1:
        raise InvalidLabel(f"{len(values)} values: a label has one value" if values else "empty")
    if isinstance(label, Number):
        return parse_number(values[0])
    return _one_class(values[0], label)


def _decode(value: Any) -> Any:
    """Return bytes as text, and any other value as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidLabel(f"{value[:40]!r} is not UTF-8") from None


def _one_class(value: Any, label: Classes | Labels) -> str:
    if isinstance(value, (bool, np.bool_)) and label.names and str(value) not in label.names:
        value = int(value)
    return resolve_class(_class_name(value), label)


def _one_of_several(value: Any, label: Labels) -> str:
    if isinstance(value, (bool, np.bool_)):  # one of several truth values has a meaning by its position only
        raise InvalidLabel(f"{value} is not the name of a label")
    return _one_class(value, label)


def indicated_names(values: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names whose truth values are 1, in the order of `label_order`.

    Args:
      values: a truth value for each name: a bool, 0 or 1, or the text of one of them.
      names: the names, as many as there are values.

    Raises:
      InvalidLabel: If a value is anything else, or the number of values is wrong.
    """
    if len(values) != len(names):
        raise InvalidLabel(f"{len(values)} truth values for {len(names)} labels")
    found = [name for value, name in zip(values, names, strict=True) if _truth(_decode(value), name)]
    return tuple(label_order(found))


def _truth(value: Any, name: str) -> bool:
    known = _TRUTH.get(value.strip().lower()) if isinstance(value, str) else value
    if isinstance(known, (bool, np.bool_, int, float, np.number)) and known in (0, 1):
        return bool(known)
    raise InvalidLabel(f"'{shorten_value(str(value))}' for the label '{name}' is neither 0 nor 1")


def resolve_class(name: str, label: Classes | Labels) -> str:
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
