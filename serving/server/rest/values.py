"""Single JSON values of a REST request: which dtype accepts which value, and bytes in base64."""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.server.rpc_error import invalid_argument

B64 = "b64"

# By dtype: numpy's dtype, and the accepted range. TensorFlow Serving checks shorter ones against int32's range only.
_INT32 = (-(2**31), 2**31 - 1)
INTEGERS: dict[int, tuple[Any, tuple[int, int]]] = {
    types_pb2.DT_INT8: (np.int8, _INT32),
    types_pb2.DT_INT16: (np.int16, _INT32),
    types_pb2.DT_INT32: (np.int32, _INT32),
    types_pb2.DT_UINT8: (np.uint8, _INT32),
    types_pb2.DT_INT64: (np.int64, (-(2**63), 2**63 - 1)),
    types_pb2.DT_UINT32: (np.uint32, (0, 2**32 - 1)),
    types_pb2.DT_UINT64: (np.uint64, (0, 2**64 - 1)),
}
# Every number is accepted and rounded, also an integer; one beyond the dtype's range becomes infinite.
FLOATS: dict[int, Any] = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}


def is_base64(value: Any) -> bool:
    """Return whether a value stands for bytes: an object `{"b64": "..."}` without other members."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(B64), str)


def decode_base64(value: dict[str, str]) -> bytes:
    """Return the bytes of an object that stands for bytes: standard base64, padded or not.

    Raises:
      Fault: INVALID_ARGUMENT if the text is not base64.
    """
    text = value[B64]
    if not text.isascii() or any(space in text for space in " \t\r\n\v\f"):
        text = "".join(text.split())  # absl ignores white space
    stem = text.rstrip("=.")  # absl accepts a dot as padding, too
    padding = len(text) - len(stem)
    if padding > 2 or (padding and len(text) % 4) or len(stem) % 4 == 1:
        raise invalid_argument("Unable to base64 decode")
    try:
        content = binascii.a2b_base64(stem + "=" * (-len(stem) % 4))
    except ValueError as error:
        raise invalid_argument("Unable to base64 decode") from error
    if len(content) != len(stem) * 3 // 4:  # a2b_base64 skips characters that are not base64
        raise invalid_argument("Unable to base64 decode")
    return content


def type_name(value: Any) -> str:
    """Return the name of a value's JSON type for an error text."""
    if isinstance(value, bool):
        return str(value)
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def is_named_inputs(value: Any) -> bool:
    """Return whether a value is an object of inputs by name, and does not stand for bytes."""
    return isinstance(value, dict) and not is_base64(value)
