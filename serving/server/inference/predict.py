"""Predict: tensors in, tensors out; checked in TensorFlow Serving's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.server.rpc_error import Fault, invalid
from serving.server.saved_model import tensors
from serving.server.saved_model.servable import Servable
from serving.signatures import DEFAULT

METHODS = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


def predict(
    model: Servable,
    request: predict_pb2.PredictRequest,
    timeout: float | None,
    check_method: bool = False,
    as_content: bool = False,
) -> predict_pb2.PredictResponse:
    """The outputs of the signature that the request names; which model it names does not matter here.

    Args:
      timeout: of the run, in seconds; None waits for ever.
      check_method: refuse a signature whose method_name is none of TensorFlow Serving's.
      as_content: answer with `tensor_content` and not with the typed value fields.

    Returns:
      The response, with the signature's name and nothing else of the model_spec.

    Raises:
      Fault: with TensorFlow Serving's code and text.
    """
    key = request.model_spec.signature_name or DEFAULT
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
        response.outputs[alias].CopyFrom(tensors.proto_from_array(value, model.dtype(tensor), as_content))
    return response


def read_inputs(signature: meta_graph_pb2.SignatureDef, sent: Any) -> dict[str, tensors.Array]:
    """The request's tensors, and the signature's defaults for those it lacks, by tensor name.

    Dtypes and shapes are not held against the signature: the run finds those faults.

    Args:
      signature: with `inputs` and `defaults`.
      sent: TensorProto by alias.

    Raises:
      Fault: INVALID_ARGUMENT for a name too many or too few, or a tensor that does not parse.
    """
    wanted = signature.inputs
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{_join(sent)}}}) != "
            f"len({{{_join(wanted)}}}). Sent extra: {{{_join(set(sent) - set(wanted))}}}. "
            f"Missing but required: {{{_join(set(wanted) - set(sent))}}}."
        )
    feeds = {}
    for alias in sorted(wanted):
        if alias not in sent and alias not in signature.defaults:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {wanted[alias].name}) not found in request and no default "
                f"value provided. Inputs expected to be in the request {{{_join(sent)}}}, or default input alias set: "
                f"{_join(signature.defaults)}"
            )
        try:
            feeds[wanted[alias].name] = tensors.array_from_proto(
                sent[alias] if alias in sent else signature.defaults[alias]
            )
        except ValueError as error:
            raise invalid(f"tensor parsing error: {alias}") from error
    used = set(wanted) & set(sent)
    if len(used) != len(sent):
        raise invalid(f"Inputs contains invalid name. Used request inputs: {_join(used)}, request input: {_join(sent)}")
    return feeds


def select_outputs(signature: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]) -> list[str]:
    """The aliases to answer: those asked for, or all.

    Raises:
      Fault: INVALID_ARGUMENT for an unknown or repeated one.
    """
    chosen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_join(signature.outputs)}}}."
            )
        if alias in chosen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        chosen.append(alias)
    return chosen or sorted(signature.outputs)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
