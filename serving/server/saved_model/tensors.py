"""TensorProto to array and back, as TensorFlow Serving reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from data.families import MAX_RANK

Array = np.ndarray[Any, Any]
MAX_BYTES = 2**31 - 1  # bytes: the largest message. One value that stands for more would take the memory of all others.


def array_from_proto(proto: tensor_pb2.TensorProto) -> Array:
    """The array that a TensorProto means, as TensorFlow's own parser reads it.

    `tensor_content` or the typed field. Fewer values than elements: the last one repeats, and none means zeros;
    surplus values are ignored; an unknown rank is read as a scalar. Strings come as an object array of bytes.
    The array may be read-only.

    Raises:
      ValueError: dtype, shape or content length is not legal, or a few values mean more than `MAX_BYTES` bytes.
    """
    kind = _KINDS.get(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = math.prod(shape)
    if count * (kind.dtype.itemsize if kind else 1) > MAX_BYTES:
        raise ValueError(f"a tensor of {count} elements is larger than any message")
    content = proto.tensor_content
    if kind is None or proto.tensor_shape.unknown_rank or len(shape) > MAX_RANK or min(shape, default=0) < 0:
        return _parse(proto)
    if content and count:
        if kind.dtype.kind in "Ob":  # strings are coded in a way of TensorFlow's own, and a truth of 2 is refused
            return _parse(proto)
        if len(content) != count * kind.dtype.itemsize:
            raise ValueError(f"{len(content)} bytes of tensor_content for {count} elements of {kind.dtype}")
        return np.frombuffer(content, kind.dtype).reshape(shape)
    values = kind.values(getattr(proto, kind.field), kind.dtype)[:count]
    if len(values) < count:
        few, values = values, np.zeros(count, kind.dtype)
        if kind.values is _texts:
            values.fill(b"")
        if len(few):
            values[: len(few)] = few
            values[len(few) :] = few[-1]
    return values.reshape(shape)


def _parse(proto: tensor_pb2.TensorProto) -> Array:
    """By TensorFlow's parser: right for everything, and slow."""
    try:
        with tf.device("CPU:0"):
            value = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
    except (tf.errors.OpError, TypeError) as error:  # TypeError: DT_INVALID and unknown dtypes
        raise ValueError(str(error)) from error
    return np.asarray(value, object if proto.dtype == tf.string.as_datatype_enum else None)


def _numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, dtype)


def _narrowed(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, np.int32).astype(dtype)  # too large a number wraps around


def _halves(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array(values, np.int32).astype(np.uint16).view(dtype)


def _complex(values: Any, dtype: np.dtype[Any]) -> Array:
    parts = np.array(values[: len(values) // 2 * 2], np.float32 if dtype.itemsize == 8 else np.float64)
    return parts.view(dtype)


def _texts(values: Any, dtype: np.dtype[Any]) -> Array:
    return np.array([*values, None], dtype)[:-1]  # without the None, numpy would make another dtype of no values


@dataclass(frozen=True)
class _Kind:
    """How the values of a dtype lie in a TensorProto."""

    field: str
    values: Callable[[Any, np.dtype[Any]], Array]
    dtype: np.dtype[Any]


_KINDS = {
    kind.as_datatype_enum: _Kind(field, values, np.dtype(object if kind == tf.string else kind.as_numpy_dtype))
    for field, values, kinds in (
        ("float_val", _numbers, (tf.float32,)),
        ("double_val", _numbers, (tf.float64,)),
        ("int_val", _narrowed, (tf.int8, tf.int16, tf.int32, tf.uint8, tf.uint16)),
        ("int64_val", _numbers, (tf.int64,)),
        ("uint32_val", _numbers, (tf.uint32,)),
        ("uint64_val", _numbers, (tf.uint64,)),
        ("bool_val", _numbers, (tf.bool,)),
        ("half_val", _halves, (tf.float16, tf.bfloat16)),
        ("scomplex_val", _complex, (tf.complex64,)),
        ("dcomplex_val", _complex, (tf.complex128,)),
        ("string_val", _texts, (tf.string,)),
    )
    for kind in kinds
}


def proto_from_array(value: Any, dtype: tf.DType, as_content: bool = False) -> tensor_pb2.TensorProto:
    """An array as a TensorProto with the typed value fields: peers read `float_val[0]`.

    Args:
      value: what a session run gave: array, number, or bytes.
      dtype: of the output in the graph.
      as_content: put all values into `tensor_content` instead, as TensorFlow's own code does: shorter and quicker.
    """
    if not as_content and dtype not in _FIELDS:  # quantised numbers and the like have no plain field
        return tf.make_tensor_proto(value, dtype)
    array = np.asarray(value, object if dtype == tf.string else None)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if as_content:
        proto.tensor_content = _content(array.ravel().tolist()) if dtype == tf.string else array.tobytes()
    else:
        field, values = _FIELDS[dtype]
        getattr(proto, field).extend(values(array.ravel()))
    return proto


def _content(texts: list[bytes]) -> bytes:
    """All lengths as protobuf's varints, and then all strings."""
    lengths = bytearray()
    for text in texts:
        rest = len(text)
        while rest > 127:
            lengths.append(rest & 127 | 128)
            rest >>= 7
        lengths.append(rest)
    return bytes(lengths) + b"".join(texts)


def _plain(array: Array) -> list[Any]:
    return array.tolist()


def _bits(array: Array) -> list[int]:
    return array.view(np.uint16).tolist()


def _pairs(array: Array) -> list[float]:
    return np.stack([array.real, array.imag], axis=-1).ravel().tolist()


_FIELDS: dict[tf.DType, tuple[str, Callable[[Array], list[Any]]]] = {
    tf.float32: ("float_val", _plain),
    tf.float64: ("double_val", _plain),
    tf.float16: ("half_val", _bits),
    tf.bfloat16: ("half_val", _bits),
    tf.int8: ("int_val", _plain),
    tf.int16: ("int_val", _plain),
    tf.int32: ("int_val", _plain),
    tf.int64: ("int64_val", _plain),
    tf.uint8: ("int_val", _plain),
    tf.uint16: ("int_val", _plain),
    tf.uint32: ("uint32_val", _plain),
    tf.uint64: ("uint64_val", _plain),
    tf.bool: ("bool_val", _plain),
    tf.string: ("string_val", _plain),
    tf.complex64: ("scomplex_val", _pairs),
    tf.complex128: ("dcomplex_val", _pairs),
}
