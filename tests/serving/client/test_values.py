"""Conversion of addresses, tensors, rows and examples, and the tree of errors. No server."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.errors import ServingError, UsageError
from data.images import ops
from serving.client import Client, InvalidPicture, InvalidRequest, Prediction, ServerFailure, Tensor, Tls, errors
from serving.client.address import parse_address
from serving.client.examples import to_features
from serving.client.grpc_transport import read_tensor, write_tensor
from serving.client.pictures import encode_picture
from serving.client.rest_transport import from_json, to_json
from serving.client.rows import to_examples, to_number_rows
from serving.client.tensor import CODES, number_tensor, to_tensor
from serving.protocol import Tensor as TensorMessage
from serving.server.saved_model.tensors import proto_from_array


@pytest.mark.parametrize(
    ("text", "rest", "target", "secure", "prefix"),
    [
        ("localhost:8500", False, "localhost:8500", False, ""),
        ("grpc://[::1]:8500", False, "[::1]:8500", False, ""),
        ("grpcs://serving.example:443", False, "serving.example:443", True, ""),
        ("unix:/run/serving.sock", False, "unix:/run/serving.sock", False, ""),
        ("http://localhost:8501", True, "localhost:8501", False, ""),
        ("https://example.org:443/tf/serving/", True, "example.org:443", True, "/tf/serving"),
    ],
)
def test_addresses(text: str, rest: bool, target: str, secure: bool, prefix: str) -> None:
    found = parse_address(text, tls=False)
    assert (found.text, found.is_rest, found.target, found.secure, found.prefix) == (text, rest, target, secure, prefix)


@pytest.mark.parametrize("text", ["", "localhost", "localhost:x", "ftp://a:1", "a:99999", "grpc://a:1/path", "://a:1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="is not a server's address") as caught:
        Client(text, "m")
    assert "http://HOST:PORT" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "options", "words"),
    [
        ("a:1", {"version": 1, "label": "canary"}, "a version and a label"),
        ("a:1", {"timeout": 0}, "timeout 0"),
        ("a:1", {"max_batch": 0}, "max_batch 0"),
        ("http://a:1", {"tls": True}, "http://a:1 is not a TLS address"),
        ("unix:/a", {"tls": True}, "no TLS over a Unix socket"),
        ("grpcs://a:1", {"tls": Tls(ca="/no/such.pem")}, "cannot use the TLS files /no/such.pem: No such file"),
    ],
)
def test_illegal_arguments(address: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Client(address, "m", **options)


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(UsageError, match="needs its key, and a key its certificate"):
        Tls(key="key.pem")


def test_the_errors_are_one_tree_as_drawn() -> None:
    drawn = [line.strip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if "──" in line]
    for name in drawn:
        assert issubclass(getattr(errors, name), ServingError)
    assert set(drawn) == {kind.__name__ for kind in vars(errors).values() if _is_error(kind)}


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, ServingError) and kind is not ServingError


def test_top_is_the_highest_first_and_ties_in_label_order() -> None:
    prediction = Prediction({"ant": 0.2, "bee": 0.6, "cow": 0.2})
    assert prediction.top(2) == [("bee", 0.6), ("ant", 0.2)]
    assert prediction.top(9) == [("bee", 0.6), ("ant", 0.2), ("cow", 0.2)]


LOOP: list[Any] = []
LOOP.append(LOOP)


def edge_values(dtype: str) -> np.ndarray:
    """The dtype's extremes, in [2, 1, 3]."""
    if dtype == "bool":
        return np.array([True, False, True, True, False, False]).reshape(2, 1, 3)
    info = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    odd = [np.inf, -np.inf] if dtype.startswith("float") else [1, 2]
    return np.array([info.min, info.max, 0, 1, *odd], dtype).reshape(2, 1, 3)


@pytest.mark.parametrize("dtype", CODES)
def test_numbers_as_tensorflow_has_them(dtype: str) -> None:
    wanted = edge_values(dtype)
    tensor = to_tensor(wanted)
    assert (tensor.dtype, tensor.shape) == (dtype, (2, 1, 3))
    assert tensor.tolist() == wanted.tolist()
    again = np.asarray(tensor)
    assert again.dtype == wanted.dtype
    np.testing.assert_array_equal(again, wanted)
    message = TensorMessage()
    write_tensor(message, tensor)
    sent = tf.make_ndarray(_theirs(message))
    assert sent.dtype == wanted.dtype
    np.testing.assert_array_equal(sent, wanted)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("form", ["content", "values"])
def test_both_forms_of_a_server_s_tensor(dtype: str, form: str) -> None:
    wanted = edge_values(dtype)
    proto = tf.make_tensor_proto(wanted)
    if form == "values":
        field = {"float32": "float", "float64": "double"}.get(dtype, dtype if dtype[-2:] in ("32", "64") else "int")
        field = {"bool": "bool", "float16": "half", "int32": "int"}.get(dtype, field)
        values = wanted.view(np.uint16) if dtype == "float16" else wanted
        proto.ClearField("tensor_content")
        getattr(proto, f"{field}_val")[:] = values.reshape(-1).tolist()
    message = TensorMessage.FromString(proto.SerializeToString())
    np.testing.assert_array_equal(np.asarray(read_tensor(message)), wanted)


def test_strings_in_one_piece() -> None:
    """--enable_serialization_as_tensor_content of tensorflow_serving/model_servers/main.cc; TensorFlow reads it too."""
    for words in ([[b"ant", b""], [b"\xff\0" * 100, b"x" * 20_000]], [], [b""]):
        proto = proto_from_array(np.array(words, object), tf.string, as_content=True)
        assert tf.io.parse_tensor(proto.SerializeToString(), tf.string).numpy().tolist() == words
        assert proto.tensor_content or not words
        message = TensorMessage.FromString(proto.SerializeToString())
        assert read_tensor(message).tolist() == words
        for broken in (message.tensor_content[:-1], message.tensor_content + b"x"):
            if words and broken:
                message.tensor_content = broken
                with pytest.raises(ServerFailure, match="too few or too many"):
                    read_tensor(message)


def test_fewer_values_than_elements_repeat_the_last() -> None:
    for values in ([3.0], [1.0, 2.0], []):
        proto = tf.make_tensor_proto([0.0] * 4, shape=(2, 2))
        proto.ClearField("tensor_content")
        proto.float_val[:] = values
        read = read_tensor(TensorMessage.FromString(proto.SerializeToString()))
        wanted = tf.make_ndarray(proto).tolist() if values else [[0.0, 0.0], [0.0, 0.0]]
        assert read.tolist() == wanted


@pytest.mark.parametrize(
    "value",
    [1.5, 7, True, "é", b"\xff", [1, 2], [1, 2.5], [[1.0], [2.0]], [["a", b"b"]], [[True], [False]], [], [[], []]],
)
def test_lists_as_make_tensor_proto_takes_them(value: Any) -> None:
    message = TensorMessage()
    write_tensor(message, to_tensor(value))
    sent, wanted = tf.make_ndarray(_theirs(message)), tf.make_ndarray(tf.make_tensor_proto(value))
    assert (sent.dtype, sent.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(sent, wanted)


def _theirs(message: Any) -> Any:
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto.FromString(message.SerializeToString())


def test_arrays_of_any_make() -> None:
    assert to_tensor(array.array("d", [1, 2])) == Tensor("float64", (2,), np.array([1.0, 2.0]).tobytes())
    assert to_tensor(tf.constant([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]
    assert to_tensor(np.arange(6, dtype=np.int16).reshape(2, 3).T).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("dtype", CODES)
def test_big_endian_numbers(dtype: str) -> None:
    wanted = edge_values(dtype)
    np.testing.assert_array_equal(np.asarray(to_tensor(wanted.astype(wanted.dtype.newbyteorder(">")).T)), wanted.T)


@pytest.mark.parametrize(
    "value",
    [[np.float32(1), 2.5], [np.array([1.0, 2.0]), [3.0, 4.0]], [[np.int32(1)], [2]], [np.str_("a"), b"b"], [np.True_]],
)
def test_lists_of_numpy_s_values(value: list[Any]) -> None:
    wanted = np.asarray([one.tolist() if hasattr(one, "tolist") else one for one in value], object)
    assert to_tensor(value).tolist() == [one.encode() if isinstance(one, str) else one for one in wanted.tolist()]


def test_numpy_s_scalars_have_their_own_dtype() -> None:
    assert to_tensor(np.float64(1.5)) == Tensor("float64", (), np.float64(1.5).tobytes())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[1], [1, 2]], "differ in length"),
        ([[1], 2], "differ in length"),
        ([1, "a"], "cannot make a tensor of int, str"),
        ([2**40], "do not fit int32"),
        (np.array(["text"]), "cannot make a tensor from an array"),
        (
            np.array(["2020-01-01"], "datetime64[D]"),
            "cannot make an array from a value of type ndarray: cannot include dtype 'M' in a buffer",
        ),
        ("\udce9", "a string cannot be encoded as UTF-8"),
        ([LOOP], "lists are nested more than 254 deep"),
        (object(), "cannot make a tensor from a value of type object"),
        (None, "cannot make a tensor from a value of type NoneType"),
    ],
)
def test_no_tensors(value: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        to_tensor(value)


def test_an_output_of_an_unknown_dtype_fails_only_when_it_is_read() -> None:
    proto = tf.make_tensor_proto([1 + 2j], tf.complex64)
    tensor = read_tensor(TensorMessage.FromString(proto.SerializeToString()))
    with pytest.raises(ServerFailure, match="number 8 of TensorFlow's DataType"):
        tensor.tolist()


@pytest.mark.parametrize("value", [[[1.5, 2.0]], [1, 2], 3.0, [[True]], [b"a", b"\xff"], b"x"])
def test_json_and_back(value: Any) -> None:
    there = to_json(to_tensor(value))
    assert from_json(there).tolist() == value


def test_strings_of_a_json_answer() -> None:
    assert from_json(["é", {"b64": "/w=="}]) == Tensor("string", (2,), ("é".encode(), b"\xff"))


PIXELS = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("row", "features"),
    [
        ([1, 2.5], {"features": [1.0, 2.5]}),
        (3, {"features": [3.0]}),
        (np.array([1, 2], np.float32), {"features": [1.0, 2.0]}),
        (b"file", {"image": [b"file"]}),
        (
            {"a": 1, "b": [1, 2.0], "c": ["é", b"x"], "d": True},
            {"a": [1], "b": [1.0, 2.0], "c": [b"\xc3\xa9", b"x"], "d": [1]},
        ),
        ({"a": np.array([1, 2])}, {"a": [1, 2]}),
        ({"image": PIXELS}, {"image": [encode_picture(PIXELS)]}),
    ],
)
def test_rows_for_classify_and_regress(row: Any, features: dict[str, Any]) -> None:
    found = to_features(row)
    assert found == features
    assert {name: [type(one) for one in values] for name, values in found.items()} == {
        name: [type(one) for one in values] for name, values in features.items()
    }


@pytest.mark.parametrize("value", [[], [1, "a"], [2**63, 1], [None]])
def test_a_feature_of_no_kind(value: Any) -> None:
    if value == [2**63, 1]:
        assert to_features({"a": value}) == {"a": [2.0**63, 1.0]}
        return
    with pytest.raises(InvalidRequest, match="feature 'a' must have values of one type"):
        to_features({"a": value})


def test_numbers_out_of_range() -> None:
    with pytest.raises(InvalidRequest, match="do not fit uint8"):
        number_tensor("uint8", (1,), [256])


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (3, [3]),
        (np.float32(3), [3.0]),
        (np.array(3.0), [3.0]),
        (np.arange(4.0).reshape(2, 2), [[0.0, 1.0], [2.0, 3.0]]),
        ([np.array([1.0, 2.0])], [[1.0, 2.0]]),
        (iter([[1.0], [2.0]]), [[1.0], [2.0]]),
    ],
)
def test_rows_of_numbers(given: Any, rows: list[Any]) -> None:
    assert to_number_rows(given) == rows


@pytest.mark.parametrize("given", [None, "12", b"12", {1: 2}, {1, 2}, object()])
def test_no_rows_of_numbers(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="not rows of numbers"):
        to_number_rows(given)


def test_one_row_for_classify_and_regress(tmp_path: Path) -> None:
    for one in ({"a": 1}, 3.0, b"file", PIXELS, Image.fromarray(PIXELS)):
        (example,) = to_examples(one)
        assert example.features == to_features(one)
    assert [one.features for one in to_examples(np.array([[1.0, 2.0], [3.0, 4.0]]))] == [
        {"features": [1.0, 2.0]},
        {"features": [3.0, 4.0]},
    ]
    for wrong in ({1: 2}, ["a", {"a": {"b": 1}}], [[1, "a"]], [[[1], [2]]]):
        with pytest.raises(InvalidRequest):
            to_examples(wrong)


def test_a_refusal_by_the_graph_has_no_names_of_nodes() -> None:
    """TensorFlow Serving sends the names of the node and of the op that failed, which do not help a user."""
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        ops.decode(tf.constant(b"BM" + bytes(99)), 3)
    assert "StringToNumberOp" in raised.value.message
    status = errors.TransportError("INVALID_ARGUMENT", raised.value.message)
    error = errors.to_serving_error(status, errors.RequestContext("here:1", "m", 1.0, has_pictures=True))
    assert isinstance(error, InvalidPicture)
    assert str(error) == "the server at here:1 refused the request: a BMP with a header of an unknown kind"
