"""Conversions between TensorProto and array, with the rules of TensorFlow Serving."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2

from data.families import MAX_RANK

Array = NDArray[Any]
# The size of the largest message. A proto of one repeated value may stand for far more, which would exhaust the memory.
MAX_BYTES = 2**31 - 1


def array_from_proto(proto: tensor_pb2.TensorProto) -> Array:
    """Read a TensorProto as TensorFlow's own parser does.

    The values are in `tensor_content` or in the typed field. If there are fewer values than elements, the last value
    repeats, and no value means zeros. Surplus values are ignored. An unknown rank is read as a scalar.

    Returns:
      The array, which may be read-only; strings are an object array of bytes.

    Raises:
      ValueError: If the dtype, the shape or the length of the content is invalid, or if the array would need more than
        `MAX_BYTES` bytes.
    """
    reader = _READERS.get(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = math.prod(shape)
    if count * (reader.dtype.itemsize if reader else 1) > MAX_BYTES:
        raise ValueError(f"a tensor of {count} elements is larger than any message")
    content = proto.tensor_content
    if reader is None or proto.tensor_shape.unknown_rank or len(shape) > MAX_RANK or min(shape, default=0) < 0:
        return _parse(proto)
    if content and count:
        if reader.dtype.kind in "Ob":  # strings have an encoding of their own, and a bool byte of 2 must be refused
            return _parse(proto)
        if len(content) != count * reader.dtype.itemsize:
            raise ValueError(f"{len(content)} bytes of tensor_content for {count} elements of {reader.dtype}")
        return np.frombuffer(content, reader.dtype).reshape(shape)
    values = reader.convert(getattr(proto, reader.field), reader.dtype)[:count]
    if len(values) < count:
        values = _filled(values, count, reader)
    return values.reshape(shape)


def _filled(values: Array, count: int, reader: _Reader) -> Array:
    """Repeat the last value up to `count` values; without values return zeros, or empty strings."""
    filled = np.zeros(count, reader.dtype)
    if reader.convert is _strings:
        filled.fill(b"")
    if len(values):
        filled[: len(values)] = values
        filled[len(values) :] = values[-1]
    return filled


def _parse(proto: tensor_pb2.TensorProto) -> Array:
    """Read a TensorProto with TensorFlow's parser: right for everything, but slow."""
    try:
        with tf.device("CPU:0"):
            value = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
    except (tf.errors.OpError, TypeError) as error:  # TypeError: DT_INVALID and unknown dtypes
        raise ValueError(str(error)) from error
    return np.asarray(value, object if proto.dtype == tf.string.as_datatype_enum else None)


def _numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, dtype)


def _narrow_integers(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, np.int32).astype(dtype)  # too large a number wraps around


def _halves(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, np.int32).astype(np.uint16).view(dtype)


def _complex_numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    parts = np.array(values[: len(values) // 2 * 2], np.float32 if dtype.itemsize == 8 else np.float64)
    return parts.view(dtype)


def _strings(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array([*values, None], dtype)[:-1]  # without the None, numpy chooses another dtype for no values


@dataclass(frozen=True)
class _Reader:
    """Reads the typed field of one dtype.

    Attributes:
      field: name of the field in TensorProto.
      convert: converts the field's values to an array of `dtype`.
      dtype: dtype of the array.
    """

    field: str
    convert: Callable[[Any, np.dtype[Any]], Array]
    dtype: np.dtype[Any]


_READERS = {
    dtype.as_datatype_enum: _Reader(field, convert, np.dtype(object if dtype == tf.string else dtype.as_numpy_dtype))
    for field, convert, dtypes in (
        ("float_val", _numbers, (tf.float32,)),
        ("double_val", _numbers, (tf.float64,)),
        ("int_val", _narrow_integers, (tf.int8, tf.int16, tf.int32, tf.uint8, tf.uint16)),
        ("int64_val", _numbers, (tf.int64,)),
        ("uint32_val", _numbers, (tf.uint32,)),
        ("uint64_val", _numbers, (tf.uint64,)),
        ("bool_val", _numbers, (tf.bool,)),
        ("half_val", _halves, (tf.float16, tf.bfloat16)),
        ("scomplex_val", _complex_numbers, (tf.complex64,)),
        ("dcomplex_val", _complex_numbers, (tf.complex128,)),
        ("string_val", _strings, (tf.string,)),
    )
    for dtype in dtypes
}


def proto_from_array(value: Any, dtype: tf.DType, as_content: bool = False) -> tensor_pb2.TensorProto:
    """Write an array as a TensorProto with the typed fields, because clients read `float_val[0]`.

    Args:
      value: result of a session run: array, number or bytes.
      dtype: dtype of the output in the graph.
      as_content: write all values to `tensor_content` instead, as TensorFlow itself does: shorter and faster.
    """
    if not as_content and dtype not in _WRITERS:  # quantised numbers, for example, have no typed field
        return tf.make_tensor_proto(value, dtype)
    array = np.asarray(value, object if dtype == tf.string else None)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if as_content:
        proto.tensor_content = _string_content(array.ravel().tolist()) if dtype == tf.string else array.tobytes()
    else:
        field, values = _WRITERS[dtype]
        getattr(proto, field).extend(values(array.ravel()))
    return proto


def _string_content(strings: list[bytes]) -> bytes:
    """Encode strings as `tensor_content`: all lengths as protobuf varints, then all strings."""
    lengths = bytearray()
    for string in strings:
        rest = len(string)
        while rest > 127:
            lengths.append(rest & 127 | 128)
            rest >>= 7
        lengths.append(rest)
    return bytes(lengths) + b"".join(strings)


def _plain_values(array: Array) -> Any:
    return array.tolist()


def _half_bits(array: Array) -> Any:
    return array.view(np.uint16).tolist()


def _complex_parts(array: Array) -> Any:
    return np.stack([array.real, array.imag], axis=-1).ravel().tolist()


_WRITERS: dict[tf.DType, tuple[str, Callable[[Array], Any]]] = {
    tf.float32: ("float_val", _plain_values),
    tf.float64: ("double_val", _plain_values),
    tf.float16: ("half_val", _half_bits),
    tf.bfloat16: ("half_val", _half_bits),
    tf.int8: ("int_val", _plain_values),
    tf.int16: ("int_val", _plain_values),
    tf.int32: ("int_val", _plain_values),
    tf.int64: ("int64_val", _plain_values),
    tf.uint8: ("int_val", _plain_values),
    tf.uint16: ("int_val", _plain_values),
    tf.uint32: ("uint32_val", _plain_values),
    tf.uint64: ("uint64_val", _plain_values),
    tf.bool: ("bool_val", _plain_values),
    tf.string: ("string_val", _plain_values),
    tf.complex64: ("scomplex_val", _complex_parts),
    tf.complex128: ("dcomplex_val", _complex_parts),
}
