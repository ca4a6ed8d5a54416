"""What Classify and Regress take: rows as users have them, to the features of a tf.Example."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from data.spec import IMAGE, VECTOR
from serving.client.errors import InvalidRequest
from serving.client.pictures import encoded
from serving.client.tensor import buffer_of, tensor_of
from serving.client.transport import Features

_INT64 = range(-(2**63), 2**63)


def features_of(row: Any) -> Features:
    """The features of one row.

    Args:
      row: a mapping of names to values; or numbers, the feature `features`; or a picture, the feature `image`.

    Raises:
      InvalidRequest: a feature without values, or with values of several kinds.
    """
    if isinstance(row, Mapping):
        if not all(isinstance(name, str) for name in row):
            raise InvalidRequest(
                f"features without names: {_brief(list(row))}", hint="Give {'name': value}, names as text."
            )
        return {name: _values(name, value) for name, value in row.items()}
    if isinstance(row, (list, tuple, int, float)) or _is_row_of_numbers(row):
        values = tensor_of(row).tolist()
        try:
            return {VECTOR: [float(one) for one in (values if isinstance(values, list) else [values])]}
        except (TypeError, ValueError):
            raise InvalidRequest(f"a row that is no numbers: {_brief(row)}", hint="Give [1.0, 2.0].") from None
    return {IMAGE: [encoded(row)]}


def _brief(value: Any) -> str:
    """The beginning of what Python shows of it, on one line."""
    return " ".join(repr(value).split())[:60]


def _is_row_of_numbers(row: Any) -> bool:
    view = None if isinstance(row, (bytes, bytearray, str)) else buffer_of(row)
    return view is not None and view.ndim < 2 and view.format != "B"


def _values(name: str, value: Any) -> list[bytes] | list[float] | list[int]:
    if hasattr(value, "tolist") and _is_row_of_numbers(value):
        value = value.tolist()
    if not isinstance(value, (list, tuple, bytes, str, bool, int, float)) or isinstance(value, os.PathLike):
        return [encoded(value)]
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    values = [one.tolist() if hasattr(one, "tolist") else one for one in values]
    if values and all(isinstance(one, (bytes, str)) for one in values):
        return list(tensor_of(values).values())
    if values and all(isinstance(one, int) and one in _INT64 for one in values):
        return [int(one) for one in values]
    if values and all(isinstance(one, (int, float)) for one in values):
        return [float(one) for one in values]
    raise InvalidRequest(
        f"feature {_brief(name)} has no values of one kind: {_brief(values)}",
        hint="Give numbers, or strings, at least one.",
    )
