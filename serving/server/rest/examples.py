"""The tf.Examples of a REST Classify or Regress request: JSON integers are int64, decimals float, strings bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from serving.server.rest.debug_string import debug_string
from serving.server.rest.rapidjson_reader import UTF8_ERRORS
from serving.server.rest.values import decode_base64, is_base64, type_name
from serving.server.rpc_error import invalid_argument

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(body: Mapping[str, Any]) -> input_pb2.Input:
    """Read a request's `examples`, and its `context` if it has one.

    Raises:
      Fault: INVALID_ARGUMENT with TensorFlow Serving's text, which has "classify" for a regression, too.
    """
    sent = input_pb2.Input()
    added = sent.example_list.examples
    if "context" in body:
        sent.example_list_with_context.context.CopyFrom(_example(body["context"]))
        added = sent.example_list_with_context.examples
    if "examples" not in body:
        text = "When method is classify, key 'examples' is expected and was not found"
        raise invalid_argument(f"JSON Value: {debug_string(body)} {text}")
    if not isinstance(body["examples"], list):
        raise invalid_argument(f"JSON Value: {debug_string(body)} Expecting 'examples' value to be an list/array")
    if not body["examples"]:
        raise invalid_argument(f"JSON Value: {debug_string(body)} 'examples' value is an empty array")
    added.extend(_example(value) for value in body["examples"])
    return sent


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = example.features.feature[name.encode("utf-8", UTF8_ERRORS).decode("utf-8", "replace")]
        for one in content if isinstance(content, list) else [content]:
            _add(one, name, feature)
    return example


def _add(value: Any, name: str, feature: feature_pb2.Feature) -> None:
    """Add a value to a feature, whose first value decides its kind."""
    if value is None or isinstance(value, list) or (isinstance(value, dict) and not is_base64(value)):
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    whole = isinstance(value, int) and -(2**63) <= value < 2**64  # RapidJSON reads a larger one as a double
    number = "int64_list" if whole else "float_list"
    kind = "bytes_list" if isinstance(value, dict | str) else number
    has = feature.WhichOneof("kind")
    if has not in (None, kind):
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_KINDS[has]}")
    if kind == "bytes_list":
        content = decode_base64(value) if isinstance(value, dict) else value.encode("utf-8", UTF8_ERRORS)
        feature.bytes_list.value.append(content)
    elif kind == "int64_list":
        if value >= 2**63:
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        feature.int64_list.value.append(int(value))
    else:
        with np.errstate(over="ignore"):
            feature.float_list.value.append(np.float32(float(value)))
