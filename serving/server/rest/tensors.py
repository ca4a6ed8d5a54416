"""The tensors of a REST Predict request, read with the signature's dtypes.

A correct request is read one level of nesting at a time, in C loops. If that fails, `first_fault` checks the values one
by one to find the first fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.rest.debug_string import debug_string
from serving.server.rest.first_fault import TensorInfos, check_rows, check_value
from serving.server.rest.rapidjson_reader import UTF8_ERRORS
from serving.server.rest.values import FLOATS, INTEGERS, decode_base64, is_base64, is_named_inputs
from serving.server.rpc_error import Fault, invalid_argument

Tensors = dict[str, tensor_pb2.TensorProto]


def read_tensors(body: Mapping[str, Any], infos: TensorInfos, signature: str) -> tuple[Tensors, bool]:
    """Read the tensors of a request.

    Args:
      body: the request.
      infos: the signature's inputs by alias.
      signature: the signature's name in the request, or "".

    Returns:
      The tensors by alias, and whether they came in rows (`instances`) instead of in columns (`inputs`).

    Raises:
      Fault: INVALID_ARGUMENT (UNIMPLEMENTED for a dtype without JSON) with TensorFlow Serving's text.
    """
    if not infos:
        raise invalid_argument(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if "instances" in body and "inputs" in body:
        text = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        raise invalid_argument(f"JSON Value: {debug_string(body)} {text}")
    if "instances" in body:
        if not isinstance(body["instances"], list):
            raise invalid_argument(f"JSON Value: {debug_string(body)} Expecting 'instances' to be an list/array")
        if not body["instances"]:
            raise invalid_argument(f"JSON Value: {debug_string(body)} No values in 'instances' array")
        return _shallow(_rows, body["instances"], infos), True
    if "inputs" in body:
        return _shallow(_columns, body["inputs"], infos), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _shallow(read: Callable[[Any, TensorInfos], Tensors], value: Any, infos: TensorInfos) -> Tensors:
    try:
        return read(value, infos)
    except RecursionError as error:
        raise invalid_argument("Encountered a list nested too deep for a tensor") from error


def _rows(instances: list[Any], infos: TensorInfos) -> Tensors:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = is_named_inputs(instances[0])
    names = sorted(infos)
    quick: dict[str, tensor_pb2.TensorProto | None] = {}
    if not named:
        quick = {names[0]: _read(instances, infos[names[0]].dtype)}
    elif all(is_named_inputs(element) and element.keys() == infos.keys() for element in instances):
        quick = {name: _read([element[name] for element in instances], infos[name].dtype) for name in names}
    found = {name: tensor for name, tensor in quick.items() if tensor is not None}
    if not found or len(found) < len(quick):
        check_rows(instances, named, infos)
    return found


def _columns(inputs: Any, infos: TensorInfos) -> Tensors:
    if not is_named_inputs(inputs):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = dict.fromkeys(infos, inputs)
    found = {}
    for name in sorted(infos):
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        tensor = _read(inputs[name], infos[name].dtype)
        if tensor is None:
            check_value(inputs[name], infos[name].dtype)
        else:
            found[name] = tensor
    return found


def _read(value: Any, dtype: int) -> tensor_pb2.TensorProto | None:
    """Return the tensor of a value, or None if its nesting is uneven or a type in it is wrong."""
    shape = []
    level = [value]
    while (types := set(map(type, level))) == {list}:
        sizes = set(map(len, level))
        shape.append(sizes.pop())
        if sizes:
            return None
        level = list(chain.from_iterable(level))
    if list in types:
        return None
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if dtype == types_pb2.DT_STRING:
        if not all(isinstance(one, str) or is_base64(one) for one in level):
            return None
        try:
            tensor.string_val.extend(_bytes(one) for one in level)
        except Fault:
            return None
        return tensor
    numbers = _numbers(level, types, dtype)
    if numbers is None:
        return None
    tensor.tensor_content = numbers.tobytes()
    return tensor


def _numbers(flat: list[Any], types: set[type], dtype: int) -> NDArray[Any] | None:
    """Return the values as an array, or None if one of them does not fit the dtype."""
    if dtype == types_pb2.DT_BOOL:
        return np.array(flat, np.bool_) if types <= {bool} else None
    if dtype in INTEGERS and types <= {int}:
        numpy_type, (least, most) = INTEGERS[dtype]
        fits = not flat or (least <= min(flat) and max(flat) <= most)
        wide = np.uint64 if dtype == types_pb2.DT_UINT64 else np.int64
        return np.array(flat, wide).astype(numpy_type) if fits else None
    if dtype in FLOATS and types <= {int, float}:
        with np.errstate(over="ignore"):
            return np.array(flat, np.float64).astype(FLOATS[dtype])
    return None


def _bytes(value: str | dict[str, str]) -> bytes:
    return value.encode("utf-8", UTF8_ERRORS) if isinstance(value, str) else decode_base64(value)
