"""Convert rows to the features of a tf.Example, for Classify and Regress."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from data.spec import IMAGE, VECTOR
from serving.client.errors import InvalidRequest
from serving.client.pictures import encode_picture
from serving.client.tensor import get_buffer, to_tensor
from serving.client.transport import Features

_INT64 = range(-(2**63), 2**63)


def to_features(row: Any) -> Features:
    """Return the features of one row.

    Args:
      row: A mapping from names to values; or numbers (feature `features`); or a picture (feature `image`).

    Raises:
      InvalidRequest: If a feature has no values, or values of several types.
    """
    if isinstance(row, Mapping):
        if not all(isinstance(name, str) for name in row):
            raise InvalidRequest(f"names of features must be text: {_brief(list(row))}", hint="Pass {'name': value}.")
        return {name: _values(name, value) for name, value in row.items()}
    if isinstance(row, (list, tuple, int, float)) or _is_row_of_numbers(row):
        values = to_tensor(row).tolist()
        try:
            return {VECTOR: [float(one) for one in (values if isinstance(values, list) else [values])]}
        except (TypeError, ValueError):
            raise InvalidRequest(f"not a row of numbers: {_brief(row)}", hint="Pass [1.0, 2.0].") from None
    return {IMAGE: [encode_picture(row)]}


def _brief(value: Any) -> str:
    """Return the beginning of the value's repr, on one line."""
    return " ".join(repr(value).split())[:60]


def _is_row_of_numbers(row: Any) -> bool:
    view = None if isinstance(row, (bytes, bytearray, str)) else get_buffer(row)
    return view is not None and view.ndim < 2 and view.format != "B"


def _values(name: str, value: Any) -> list[bytes] | list[float] | list[int]:
    if hasattr(value, "tolist") and _is_row_of_numbers(value):
        value = value.tolist()
    if not isinstance(value, (list, tuple, bytes, str, bool, int, float)) or isinstance(value, os.PathLike):
        return [encode_picture(value)]
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    values = [one.tolist() if hasattr(one, "tolist") else one for one in values]
    if values and all(isinstance(one, (bytes, str)) for one in values):
        return list(to_tensor(values).values())
    if values and all(isinstance(one, int) and one in _INT64 for one in values):
        return [int(one) for one in values]
    if values and all(isinstance(one, (int, float)) for one in values):
        return [float(one) for one in values]
    raise InvalidRequest(
        f"feature {_brief(name)} must have values of one type: {_brief(values)}",
        hint="Pass at least one number or string.",
    )
