"""The transport over gRPC, with the messages of `serving.protocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import grpc

from serving import protocol
from serving.client.address import Address, Tls
from serving.client.errors import ServerFailure, TransportError, invalid_request_errors
from serving.client.results import VersionStatus
from serving.client.tensor import CODES, STRING, Tensor, number_tensor
from serving.client.transport import Features, ModelSpec

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"
_DATA_TYPES = {
    STRING: "DT_STRING",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "float16": "DT_HALF",
    **{dtype: f"DT_{dtype.upper()}" for dtype in CODES if not dtype.startswith("float")},
}
_NUMBER = {dtype: protocol.MESSAGES["DataType"].values_by_name[name].number for dtype, name in _DATA_TYPES.items()}
_DTYPE = {number: dtype for dtype, number in _NUMBER.items()}
_FIELD = {  # of a TensorProto; all other dtypes use int_val
    STRING: "string_val",
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
}


class GrpcTransport:
    """One channel to one server."""

    def __init__(self, address: Address, tls: Tls, max_message_bytes: int) -> None:
        """Open no connection yet: the first request does.

        Args:
          address: Address of the gRPC port or socket.
          tls: Files for TLS; ignored if the address is not secure.
          max_message_bytes: Limit for a request and for an answer.

        Raises:
          UsageError: If a file of `tls` cannot be read.
        """
        options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            # gRPC's defaults wait up to two minutes before they look again for a server that starts late.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if address.secure:
            credentials = grpc.ssl_channel_credentials(tls.root_certificates(), _read(tls.key), _read(tls.certificate))
            self._channel = grpc.secure_channel(address.target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address.target, options)
        self._predict = self._method(f"{_PREDICTION}/Predict", "Predict")
        self._classify = self._method(f"{_PREDICTION}/Classify", "Classification")
        self._regress = self._method(f"{_PREDICTION}/Regress", "Regression")
        self._status = self._method(f"{_MODEL}/GetModelStatus", "GetModelStatus")

    def close(self) -> None:
        """Close the channel; requests in progress are cancelled."""
        self._channel.close()

    def predict(
        self, model: ModelSpec, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], timeout: float
    ) -> dict[str, Tensor]:
        """Call a signature, and return the named outputs, or all."""
        with invalid_request_errors():
            request = protocol.PredictRequest(output_filter=outputs)
            _fill_model_spec(request.model_spec, model, signature)
            for name, tensor in inputs.items():
                write_tensor(request.inputs[name], tensor)
        found = _call(self._predict, request, timeout).outputs
        return {name: read_tensor(found[name]) for name in sorted(found)}

    def classify(
        self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float
    ) -> list[list[tuple[str, float]]]:
        """Return the classes and scores of each example."""
        with invalid_request_errors():
            request = protocol.ClassificationRequest()
            _fill_model_spec(request.model_spec, model, signature)
            _write_examples(request.input, examples)
        result = _call(self._classify, request, timeout).result
        return [[(one.label, one.score) for one in row.classes] for row in result.classifications]

    def regress(self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float) -> list[float]:
        """Return a number for each example."""
        with invalid_request_errors():
            request = protocol.RegressionRequest()
            _fill_model_spec(request.model_spec, model, signature)
            _write_examples(request.input, examples)
        return [one.value for one in _call(self._regress, request, timeout).result.regressions]

    def status(self, model: ModelSpec, timeout: float) -> list[VersionStatus]:
        """Return the versions, in any order. The server ignores a label."""
        with invalid_request_errors():
            request = protocol.GetModelStatusRequest()
            _fill_model_spec(request.model_spec, model, "")
        return [
            VersionStatus(one.version, _state_name(one.state), one.status.error_message)
            for one in _call(self._status, request, timeout).model_version_status
        ]

    def _method(self, path: str, messages: str) -> Any:
        return self._channel.unary_unary(
            path,
            request_serializer=protocol.MESSAGES[f"{messages}Request"].SerializeToString,
            response_deserializer=protocol.MESSAGES[f"{messages}Response"].FromString,
        )


def _state_name(number: int) -> str:
    state = protocol.State.values_by_number.get(number)
    return str(state.name) if state else f"state {number}"


def write_tensor(message: Any, tensor: Tensor) -> None:
    """Fill a TensorProto: numbers as one piece of bytes, strings one by one."""
    message.dtype = _NUMBER[tensor.dtype]
    for size in tensor.shape:
        message.tensor_shape.dim.add(size=size)
    if isinstance(tensor.data, tuple):
        message.string_val.extend(tensor.data)
    else:
        message.tensor_content = tensor.data


def read_tensor(message: Any) -> Tensor:
    """Read a TensorProto in either of its two forms.

    Raises:
      ServerFailure: If strings in one piece do not have the length that their sizes give.
    """
    dtype = _DTYPE.get(message.dtype, f"number {message.dtype} of TensorFlow's DataType")
    shape = tuple(dim.size for dim in message.tensor_shape.dim)
    if message.tensor_content and dtype == STRING:
        return Tensor(dtype, shape, _strings(message.tensor_content, prod(shape)))
    if message.tensor_content or message.dtype not in _DTYPE:
        return Tensor(dtype, shape, message.tensor_content)
    values = list(getattr(message, "half_val" if dtype == "float16" else _FIELD.get(dtype, "int_val")))
    missing = prod(shape) - len(values)
    values += (values[-1:] or [b"" if dtype == STRING else 0]) * missing  # as TensorFlow does: the last value repeats
    if dtype == STRING:
        return Tensor(dtype, shape, tuple(values))
    if dtype == "float16":  # sent as the bits of each value
        return Tensor(dtype, shape, number_tensor("uint16", shape, values).data)
    return number_tensor(dtype, shape, values)


def _strings(content: bytes, count: int) -> tuple[bytes, ...]:
    """Split TensorFlow's form of strings in one piece: first all lengths as varints, then all strings."""
    lengths, at = [], 0
    for _ in range(count):
        length, shift, more = 0, 0, True
        while more and at < len(content):
            length |= (content[at] & 127) << shift
            more, shift, at = content[at] > 127, shift + 7, at + 1
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ServerFailure(f"an output of {count} strings has {len(content)} bytes, too few or too many")
    found = []
    for length in lengths:
        found.append(content[at : at + length])
        at += length
    return tuple(found)


def _fill_model_spec(spec: Any, model: ModelSpec, signature: str) -> None:
    spec.name = model.name
    spec.signature_name = signature
    if model.version is not None:
        spec.version.value = model.version
    elif model.label is not None:
        spec.version_label = model.label


def _write_examples(message: Any, examples: Sequence[Features]) -> None:
    for features in examples:
        example = message.example_list.examples.add()
        for name, values in features.items():
            kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
            getattr(example.features.feature[name], kind).value.extend(values)


def _call(method: Any, request: Any, timeout: float) -> Any:
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise TransportError(error.code().name, error.details() or "") from error
    except ValueError as error:  # a closed channel
        raise TransportError("CANCELLED", str(error)) from error


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    with open(file, "rb") as opened:  # Tls.root_certificates() has checked it
        return opened.read()
