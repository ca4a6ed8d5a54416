"""The first fault in a REST Predict request: its values are checked one by one in TensorFlow Serving's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server.rest.debug_string import debug_string
from serving.server.rest.values import FLOATS, INTEGERS, decode_base64, is_base64, is_named_inputs, type_name
from serving.server.rpc_error import Fault, invalid_argument

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]


def check_rows(instances: list[Any], named: bool, infos: TensorInfos) -> None:
    """Check `instances` against the signature's inputs.

    Args:
      instances: the elements.
      named: whether each is an object of values by name, instead of a value.
      infos: the signature's inputs by alias.

    Raises:
      Fault: The first fault, in the order of the elements.
    """
    names = sorted(infos)
    shapes: dict[str, list[int]] = {}
    for position, element in enumerate(instances):
        if is_named_inputs(element) != named:
            text = "Expecting object but got list at item" if named else "Expecting value/list but got object at item"
            raise invalid_argument(f"{text} {position} of input list")
        for name, item in element.items() if named else [(names[0], element)]:
            try:
                _check_item(item, name, infos, shapes)
            except Fault as fault:
                key = f" key: {name}" if named else ""
                text = f"Failed to process element: {position}{key} of 'instances' list. Error: {fault}"
                raise invalid_argument(text) from fault
        if named and element.keys() != infos.keys():
            raise invalid_argument(
                f"Failed to process element: {position} of 'instances' list. JSON object: {debug_string(element)} "
                f"keys must be equal to: {','.join(names)}"
            )


def _check_item(item: Any, name: str, infos: TensorInfos, shapes: dict[str, list[int]]) -> None:
    if name not in infos:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    shape, size = check_value(item, infos[name].dtype)
    first = shapes.setdefault(name, shape)
    if size != int(np.prod(first)):
        raise invalid_argument(f"Expecting tensor size: {int(np.prod(first))} but got: {size}")
    if shape != first:
        raise invalid_argument(f"Expecting shape {_list(first)} but got: {_list(shape)}")


def check_value(value: Any, dtype: int) -> tuple[list[int], int]:
    """Check the nesting and the types of a value.

    Args:
      value: a value, or nested lists of values.
      dtype: the input's dtype.

    Returns:
      The shape, from the first element of each level, and the number of values.

    Raises:
      Fault: The first fault, in the order of the values.
    """
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    return shape, _count(value, 0, shape, dtype)


def _count(value: Any, level: int, shape: Sequence[int], dtype: int) -> int:
    if not isinstance(value, list):
        if level != len(shape):
            text = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            raise invalid_argument(f"JSON Value: {debug_string(value)} {text}")
        _check_scalar(value, dtype)
        return 1
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        text = f"{len(value)} at level: {level} expected size: {shape[level]}"
        raise invalid_argument(f"Encountered list at unexpected size: {text}")
    return sum(_count(one, level + 1, shape, dtype) for one in value)


def _check_scalar(value: Any, dtype: int) -> None:
    if dtype == types_pb2.DT_STRING and isinstance(value, dict):
        if not is_base64(value):
            raise invalid_argument(f"JSON Value: {debug_string(value)} not formatted correctly for base64 data")
        decode_base64(value)
        return
    name = types_pb2.DataType.Name(dtype)[3:].lower()
    known = dtype in FLOATS or dtype in INTEGERS or dtype in (types_pb2.DT_STRING, types_pb2.DT_BOOL)
    if not known and not isinstance(value, dict):
        text = f"Conversion of JSON Value: {debug_string(value)} to type: {name}"
        raise Fault(grpc.StatusCode.UNIMPLEMENTED, text)
    if not known or not _is_of(value, dtype):
        text = f"JSON Value: {debug_string(value)} Type: {type_name(value)} is not of expected type: {name}"
        raise invalid_argument(text)


def _is_of(value: Any, dtype: int) -> bool:
    if dtype in FLOATS:
        return type(value) in (int, float)
    if dtype in INTEGERS:
        least, most = INTEGERS[dtype][1]
        return type(value) is int and least <= value <= most
    return isinstance(value, str if dtype == types_pb2.DT_STRING else bool)


def _list(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
