"""The bodies of REST answers, written as TensorFlow Serving's rapidjson and protobuf write them, blank by blank."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
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
BYTES_SUFFIX = "_bytes"  # of an output's alias: its strings are written as base64
_DIGITS = {types_pb2.DT_FLOAT: 9, types_pb2.DT_DOUBLE: 17}  # that give any number back
_INTEGERS = {
    getattr(types_pb2, f"DT_{name}") for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT32", "UINT64")
}
_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPED = {code: f"\\u{code:04X}" for code in range(32)} | _SHORT


def rows(outputs: Mapping[str, tensor_pb2.TensorProto]) -> bytes:
    """`{"predictions": [...]}`: an element for each index of the outputs' 0th dimension.

    Raises:
      Fault: INVALID_ARGUMENT, an output without that dimension or of another size, or of a dtype without JSON.
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
    columns = [_each(outputs[name], name, level=3) for name in names]
    keys = [f"\n{INDENT * 3}{quote_json(name)}: " for name in names]
    elements = [
        f"\n{INDENT * 2}{{" + ",".join(key + text for key, text in zip(keys, row, strict=True)) + f"\n{INDENT * 2}}}"
        for row in zip(*columns, strict=True)
    ]
    return _document("predictions", f"[{','.join(elements)}\n{INDENT}]" if elements else "[]")


def columns(outputs: Mapping[str, tensor_pb2.TensorProto]) -> bytes:
    """`{"outputs": ...}`: the one output, or an object of them by name.

    Raises:
      Fault: INVALID_ARGUMENT, an output of a dtype without JSON.
    """
    names = sorted(outputs)
    if len(names) == 1:
        return _document("outputs", _whole(outputs[names[0]], names[0], level=1))
    members = [f"\n{INDENT * 2}{quote_json(name)}: {_whole(outputs[name], name, level=2)}" for name in names]
    return _document("outputs", f"{{{','.join(members)}\n{INDENT}}}")


def classifications(result: classification_pb2.ClassificationResult) -> bytes:
    """`{"results": [[[label, score], ...], ...]}`."""
    lines = []
    for row in result.classifications:
        scores = format_floats(np.array([one.score for one in row.classes], np.float32), 9)
        pairs = [f"[{quote_json(one.label)}, {score}]" for one, score in zip(row.classes, scores, strict=True)]
        lines.append(f"[{', '.join(pairs)}]")
    return _document("results", f"[{', '.join(lines)}\n{INDENT}]")


def regressions(result: regression_pb2.RegressionResult) -> bytes:
    """`{"results": [number, ...]}`."""
    values = np.array([one.value for one in result.regressions], np.float32)
    return _document("results", f"[{', '.join(format_floats(values, 9))}]")


def status(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """Protobuf's JSON with the defaults printed; int64 are strings."""
    return _message(response).encode()


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Protobuf's JSON of the model_spec and of the signatures, put together by hand as TensorFlow Serving does."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    parts = (_message(response.model_spec), _message(signatures))
    return '{{\n"model_spec":{},\n"metadata": {{"signature_def": {}}}\n}}\n'.format(*parts).encode()


def error(message: str) -> bytes:
    """`{"error": message}`."""
    return _document("error", quote_json(message))


def quote_json(text: str | bytes) -> str:
    """A JSON string; its characters stand for bytes (Latin-1), so that a string that is no UTF-8 passes through."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", UTF8_ERRORS)
    return f'"{content.decode("latin-1").translate(_ESCAPED)}"'


def format_floats(values: np.ndarray, digits: int) -> list[str]:
    """Texts of float numbers: six significant digits, or `digits` where six do not give the number back."""
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
    """With the fields' own names; those of a status are the same either way."""
    return json_with_defaults(message) + "\n"


def _each(tensor: tensor_pb2.TensorProto, name: str, level: int) -> list[str]:
    """The JSON of each index of the 0th dimension, on one line, `level` deep in the document."""
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
    """The JSON of a tensor, an element a line, `level` deep in the document."""
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
    """The JSON of each value."""
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
