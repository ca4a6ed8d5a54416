"""Conversions of TensorProtos: every field and shape against TensorFlow's own parser."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from data.families import MAX_RANK
from serving.server.saved_model import tensors

FIELDS = {
    "float_val": (0.0, -1.5, float("nan"), 3e38),
    "double_val": (0.0, 1e300, float("-inf")),
    "int_val": (0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, -(2**31)),
    "int64_val": (0, 2**63 - 1, -(2**63)),
    "uint32_val": (0, 2**32 - 1),
    "uint64_val": (0, 2**64 - 1),
    "bool_val": (False, True),
    "half_val": (0, 15360, 65535, 65536, -1),
    "scomplex_val": (1.5, -2.0, 0.0),
    "dcomplex_val": (1e300, -2.0),
    "string_val": (b"", b"\xff\0", b"word"),
}
FIELD_OF = {
    **dict.fromkeys((3, 4, 5, 6, 17), "int_val"),
    **{1: "float_val", 2: "double_val", 7: "string_val", 8: "scomplex_val", 9: "int64_val", 10: "bool_val"},
    **{14: "half_val", 18: "dcomplex_val", 19: "half_val", 22: "uint32_val", 23: "uint64_val"},
}
WIDTH = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8}


def random_proto(rng: random.Random) -> tensor_pb2.TensorProto:
    """Return a mostly valid proto: any dtype, up to three dimensions, values in its own field or another."""
    proto = tensor_pb2.TensorProto(dtype=rng.choice(sorted(FIELD_OF)) if rng.random() < 0.9 else rng.randrange(32))
    count = 1
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        size = rng.choice((-2, -1)) if rng.random() < 0.02 else rng.randrange(4)
        proto.tensor_shape.dim.add(size=size)
        count *= max(size, 0)
    proto.tensor_shape.unknown_rank = rng.random() < 0.03
    field = FIELD_OF.get(proto.dtype, "float_val") if rng.random() < 0.9 else rng.choice(sorted(FIELDS))
    getattr(proto, field).extend(rng.choice(FIELDS[field]) for _ in range(rng.randrange(6)))
    if rng.random() < 0.3:
        length = count * WIDTH.get(proto.dtype, 4) if rng.random() < 0.8 else rng.randrange(9)
        proto.tensor_content = bytes(
            rng.randrange(2 if proto.dtype == types_pb2.DT_BOOL else 256) for _ in range(length)
        )
    return proto


def by_tensorflow(proto: tensor_pb2.TensorProto) -> Any:
    value = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
    return np.array(value, object) if isinstance(value, bytes) else value  # else numpy drops NULs at the end


def meant(read: Callable[[tensor_pb2.TensorProto], Any], proto: tensor_pb2.TensorProto) -> Any:
    try:
        value = np.asarray(read(proto))
    except (ValueError, TypeError, tf.errors.OpError):
        return "refused"
    words = value.dtype.kind in "OS"
    return value.shape, "words" if words else value.dtype, [*value.flat] if words else value.tobytes()


def _returns(value: Any, proto: tensor_pb2.TensorProto) -> Any:
    return value


def test_a_thousand_random_tensors_mean_what_tensorflow_says() -> None:
    rng = random.Random(7)
    protos = [random_proto(rng) for _ in range(1000)]
    answers = [meant(by_tensorflow, proto) for proto in protos]
    assert 50 < answers.count("refused") < 400
    for proto, answer in zip(protos, answers, strict=True):
        assert meant(tensors.array_from_proto, proto) == answer, proto


def test_strings_come_as_bytes_however_they_are_sent() -> None:
    words = np.array([[b"a", b""], [b"\xff\0\xff", b"long" * 100]], object)
    for proto in (
        tf.make_tensor_proto(words),
        tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(words).numpy()),
    ):
        read = tensors.array_from_proto(proto)
        assert read.dtype == object
        assert read.tolist() == words.tolist()
    few = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, string_val=[b"a", b"b"])
    few.tensor_shape.dim.add(size=3)
    assert tensors.array_from_proto(few).tolist() == [b"a", b"b", b"b"]


@pytest.mark.parametrize("sizes", [(), (0,), (3,), (2, 3)])
def test_content_is_what_tensorflow_reads(sizes: tuple[int, ...]) -> None:
    kinds = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64"
    for kind in (tf.string, *map(tf.as_dtype, kinds.split())):
        value = np.arange(np.prod(sizes, dtype=int)).reshape(sizes)
        if kind == tf.string:
            value = np.array([b"w" * 100 * int(one) for one in value.ravel()], object).reshape(sizes)
        value = value.astype(kind.as_numpy_dtype)
        proto = tensors.proto_from_array(value, kind, as_content=True)
        assert [field.name for field, _ in proto.ListFields() if field.name.endswith("_val")] == []
        assert meant(by_tensorflow, proto) == meant(partial(_returns, value), proto)


@pytest.mark.parametrize("sizes", [(2**40,), (2**31, 2**31), (2**62, 4), (2**20, 2**20, 1)])
def test_one_value_that_stands_for_terabytes_is_refused_at_once(sizes: tuple[int, ...]) -> None:
    proto = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1.0])
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(ValueError, match="larger than any message"):
        tensors.array_from_proto(proto)


@pytest.mark.parametrize("ranks", [MAX_RANK, MAX_RANK + 1, 254, 255])
def test_many_dimensions(ranks: int) -> None:
    proto = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, float_val=[1.0])
    for _ in range(ranks):
        proto.tensor_shape.dim.add(size=1)
    if ranks == MAX_RANK:
        assert tensors.array_from_proto(proto).shape == (1,) * MAX_RANK
    else:
        with pytest.raises(ValueError):
            tensors.array_from_proto(proto)
