"""Predict: tensors in, tensors out. The checks run in TensorFlow Serving's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving import signatures
from serving.server.rpc_error import Fault, invalid_argument
from serving.server.saved_model.servable import Servable
from serving.server.saved_model.tensors import Array, array_from_proto, proto_from_array

METHODS = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


def predict(
    model: Servable,
    request: predict_pb2.PredictRequest,
    timeout: float | None,
    check_method: bool = False,
    as_content: bool = False,
) -> predict_pb2.PredictResponse:
    """Run the signature that the request names; the model and version in the request are ignored.

    Args:
      model: model to run.
      request: inputs, signature name and output filter.
      timeout: time limit of the run in seconds; None is no limit.
      check_method: refuse a signature whose method_name is none of TensorFlow Serving's.
      as_content: answer with `tensor_content` instead of the typed value fields.

    Returns:
      The response; its model_spec has the name of the signature and nothing else.

    Raises:
      Fault: If a check or the run fails, with TensorFlow Serving's code and text.
    """
    key = request.model_spec.signature_name or signatures.DEFAULT
    if key not in model.signatures:
        raise Fault(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
    signature = model.signatures[key]
    if check_method and signature.method_name not in METHODS:
        raise Fault(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(METHODS)}}}. "
            f"Was: {signature.method_name}",
        )
    feeds = read_inputs(signature, request.inputs)
    aliases = select_outputs(signature, request.output_filter)
    fetches = [signature.outputs[alias].name for alias in aliases]
    response = predict_pb2.PredictResponse()
    response.model_spec.signature_name = key
    for alias, tensor, value in zip(aliases, fetches, model.run(feeds, fetches, timeout), strict=True):
        response.outputs[alias].CopyFrom(proto_from_array(value, model.dtype(tensor), as_content))
    return response


def read_inputs(signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Return the request's tensors by tensor name, with the signature's defaults for missing ones.

    The dtypes and shapes are not compared with the signature: the run reports those errors.

    Args:
      signature: signature with `inputs` and `defaults`.
      inputs: TensorProto by alias.

    Raises:
      Fault: INVALID_ARGUMENT for a surplus or missing alias, or a tensor that does not parse.
    """
    expected = signature.inputs
    if len(inputs) > len(expected) or (len(inputs) < len(expected) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} len({{{_join(inputs)}}}) != "
            f"len({{{_join(expected)}}}). Sent extra: {{{_join(set(inputs) - set(expected))}}}. "
            f"Missing but required: {{{_join(set(expected) - set(inputs))}}}."
        )
    feeds = {}
    for alias in sorted(expected):
        if alias not in inputs and alias not in signature.defaults:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {expected[alias].name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{_join(inputs)}}}, or default input "
                f"alias set: {_join(signature.defaults)}"
            )
        try:
            proto = inputs[alias] if alias in inputs else signature.defaults[alias]
            feeds[expected[alias].name] = array_from_proto(proto)
        except ValueError as error:
            raise invalid_argument(f"tensor parsing error: {alias}") from error
    used = set(expected) & set(inputs)
    if len(used) != len(inputs):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_join(used)}, request input: {_join(inputs)}"
        )
    return feeds


def select_outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> list[str]:
    """Return the aliases of the outputs to answer with: those in the filter, or all without a filter.

    Raises:
      Fault: INVALID_ARGUMENT for an unknown or repeated alias.
    """
    selected: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_join(signature.outputs)}}}."
            )
        if alias in selected:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        selected.append(alias)
    return selected or sorted(signature.outputs)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
