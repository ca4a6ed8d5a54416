"""The bodies of REST answers, byte for byte as TensorFlow Serving's RapidJSON and protobuf write them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from data.families import json_with_defaults
from serving.server.rest.rapidjson_reader import UTF8_ERRORS
from serving.server.rpc_error import invalid_argument

INDENT = "    "
BYTES_SUFFIX = "_bytes"  # the strings of an output whose alias ends with it are written as base64
_DIGITS = {types_pb2.DT_FLOAT: 9, types_pb2.DT_DOUBLE: 17}  # enough to restore every number
_INTEGERS = {
    getattr(types_pb2, f"DT_{name}") for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64")
}
_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPED = {code: f"\\u{code:04X}" for code in range(32)} | _SHORT


def rows(outputs: Mapping[str, tensor_pb2.TensorProto]) -> bytes:
    """Return `{"predictions": [...]}`, with an element for each index of the outputs' 0th dimension.

    Raises:
      Fault: INVALID_ARGUMENT if an output lacks that dimension or differs in its size, or has a dtype without JSON.
    """
    names = sorted(outputs)
    count = -1
    for name in names:
        sizes = [dim.size for dim in outputs[name].tensor_shape.dim]
        if not sizes:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if count >= 0 and sizes[0] != count:
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {sizes[0]} expecting: {count}")
        count = sizes[0]
    if len(names) == 1:
        elements = _each(outputs[names[0]], names[0], level=2)
        return _document("predictions", f"[{', '.join(elements)}\n{INDENT}]" if elements else "[]")
    texts = [_each(outputs[name], name, level=3) for name in names]
    keys = [f"\n{INDENT * 3}{quote_json(name)}: " for name in names]
    elements = [
        f"\n{INDENT * 2}{{" + ",".join(key + text for key, text in zip(keys, row, strict=True)) + f"\n{INDENT * 2}}}"
        for row in zip(*texts, strict=True)
    ]
    return _document("predictions", f"[{','.join(elements)}\n{INDENT}]" if elements else "[]")


def columns(outputs: Mapping[str, tensor_pb2.TensorProto]) -> bytes:
    """Return `{"outputs": ...}`, with the one output or an object of outputs by name.

    Raises:
      Fault: INVALID_ARGUMENT if an output has a dtype without JSON.
    """
    names = sorted(outputs)
    if len(names) == 1:
        return _document("outputs", _whole(outputs[names[0]], names[0], level=1))
    members = [f"\n{INDENT * 2}{quote_json(name)}: {_whole(outputs[name], name, level=2)}" for name in names]
    return _document("outputs", f"{{{','.join(members)}\n{INDENT}}}")


def classifications(result: classification_pb2.ClassificationResult) -> bytes:
    """Return `{"results": [[[label, score], ...], ...]}`."""
    lines = []
    for row in result.classifications:
        scores = format_floats(np.array([one.score for one in row.classes], np.float32), 9)
        pairs = [f"[{quote_json(one.label)}, {score}]" for one, score in zip(row.classes, scores, strict=True)]
        lines.append(f"[{', '.join(pairs)}]")
    return _document("results", f"[{', '.join(lines)}\n{INDENT}]")


def regressions(result: regression_pb2.RegressionResult) -> bytes:
    """Return `{"results": [number, ...]}`."""
    values = np.array([one.value for one in result.regressions], np.float32)
    return _document("results", f"[{', '.join(format_floats(values, 9))}]")


def status(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """Return protobuf's JSON, with default values; int64 are strings."""
    return _message(response).encode()


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Return protobuf's JSON of the model_spec and of the signatures, joined as text, as TensorFlow Serving does."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    parts = (_message(response.model_spec), _message(signatures))
    return '{{\n"model_spec":{},\n"metadata": {{"signature_def": {}}}\n}}\n'.format(*parts).encode()


def error(message: str) -> bytes:
    """Return `{"error": message}`."""
    return _document("error", quote_json(message))


def quote_json(text: str | bytes) -> str:
    """Return a JSON string whose characters stand for bytes (Latin-1), so that non-UTF-8 bytes pass through."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", UTF8_ERRORS)
    return f'"{content.decode("latin-1").translate(_ESCAPED)}"'


def format_floats(values: NDArray[Any], digits: int) -> list[str]:
    """Format floats with six significant digits, or with `digits` if six do not restore the number."""
    flat = values.ravel()
    texts = [f"{value:.6g}" for value in flat.tolist()]
    for position in np.flatnonzero(np.array(texts, np.str_).astype(flat.dtype) != flat).tolist():
        texts[position] = f"{flat[position]:.{digits}g}"
    return [text if "." in text or "e" in text else _whole_number(text) for text in texts]


def _whole_number(text: str) -> str:
    named = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return named.get(text, text + ".0")


def _document(key: str, value: str) -> bytes:
    return f'{{\n{INDENT}"{key}": {value}\n}}'.encode("latin-1")


def _message(message: Any) -> str:
    """Return a message as JSON with the field names of its .proto file."""
    return json_with_defaults(message) + "\n"


def _each(tensor: tensor_pb2.TensorProto, name: str, level: int) -> list[str]:
    """Return the JSON of each index of the 0th dimension, on one line, at nesting `level` of the document."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    texts = _leaves(tensor, name, level + len(shape) - 1)
    for size in reversed(shape[1:]):
        texts = [f"[{', '.join(texts[start : start + size])}]" for start in range(0, len(texts), size)] if size else []
    if 0 in shape[1:]:
        return _empty(shape[1:], shape[0])
    return texts


def _empty(shape: list[int], count: int) -> list[str]:
    text = "[]"
    for size in reversed(shape[: shape.index(0)]):
        text = f"[{', '.join([text] * size)}]"
    return [text] * count


def _whole(tensor: tensor_pb2.TensorProto, name: str, level: int) -> str:
    """Return the JSON of a tensor, one element per line, at nesting `level` of the document."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if 0 in shape:
        shape = shape[: shape.index(0) + 1]
        texts = ["[]"] * int(np.prod(shape[:-1]))
        shape = shape[:-1]
    else:
        texts = _leaves(tensor, name, level + len(shape))
    for depth in range(len(shape), 0, -1):
        size = shape[depth - 1]
        inner, outer = f"\n{INDENT * (level + depth)}", f"\n{INDENT * (level + depth - 1)}"
        texts = [
            f"[{inner}{f',{inner}'.join(texts[start : start + size])}{outer}]" for start in range(0, len(texts), size)
        ]
    return texts[0]


def _leaves(tensor: tensor_pb2.TensorProto, name: str, level: int) -> list[str]:
    """Return the JSON of each value."""
    if tensor.dtype in _DIGITS:
        return format_floats(tf.make_ndarray(tensor), _DIGITS[tensor.dtype])
    if tensor.dtype in _INTEGERS:
        return list(map(str, tf.make_ndarray(tensor).ravel().tolist()))
    if tensor.dtype == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in tensor.bool_val]
    if tensor.dtype != types_pb2.DT_STRING:
        kind = types_pb2.DataType.Name(tensor.dtype)[3:].lower()
        raise invalid_argument(f"Failed to write JSON value for tensor type: {kind}")
    if not name.endswith(BYTES_SUFFIX):
        return [quote_json(value) for value in tensor.string_val]
    inner, outer = INDENT * (level + 1), INDENT * level
    return [f'{{\n{inner}"b64": "{base64.b64encode(one).decode()}"\n{outer}}}' for one in tensor.string_val]
