"""The transport over HTTP and JSON. Paths and formats are those of TensorFlow Serving's REST API.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any
from urllib.parse import quote

from serving.client.address import Address, Tls
from serving.client.errors import TransportError, invalid_request_errors
from serving.client.http import HttpAnswer, HttpConnections
from serving.client.results import VersionStatus
from serving.client.tensor import STRING, Tensor, number_tensor
from serving.client.transport import Features, ModelSpec

# 400 stands for three gRPC codes and 409 for two: these are the most frequent ones.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestTransport:
    """Kept HTTP connections to one server."""

    def __init__(self, address: Address, tls: Tls, max_message_bytes: int) -> None:
        """Open no connection yet: the first request does.

        Args:
          address: Address of the REST port.
          tls: Files for TLS; ignored if the address is not secure.
          max_message_bytes: Limit for a request and for an answer.

        Raises:
          UsageError: If a file of `tls` cannot be read.
        """
        context = tls.ssl_context() if address.secure else None
        self._http = HttpConnections(address.target, context, max_message_bytes)
        self._prefix = address.prefix
        self._only_output: dict[str, str] = {}

    def close(self) -> None:
        """Close all connections; requests in progress fail."""
        self._http.close()

    def predict(
        self, model: ModelSpec, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], timeout: float
    ) -> dict[str, Tensor]:
        """Call a signature, and return the named outputs, or all.

        JSON has no dtypes: decimal numbers become float64, whole numbers int64. The server omits the name of a single
        output. If `outputs` does not name it, the model's metadata is requested, once for each signature.
        """
        with invalid_request_errors():
            tensors = {name: to_json(tensor) for name, tensor in inputs.items()}
            body = json.dumps({"signature_name": signature, "inputs": tensors}).encode()
        answer = _parse_answer(self._http.request("POST", f"{self._path(model)}:predict", body, timeout))
        with _format_errors():
            found = answer["outputs"]
            if not isinstance(found, dict) or "b64" in found:
                name = outputs[0] if len(outputs) == 1 else self._name_of_only_output(model, signature, timeout)
                return {name: from_json(found)}
            return {name: from_json(found[name]) for name in sorted(found) if not outputs or name in outputs}

    def classify(
        self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float
    ) -> list[list[tuple[str, float]]]:
        """Return the classes and scores of each example."""
        body = _examples_to_json(signature, examples)
        answer = _parse_answer(self._http.request("POST", f"{self._path(model)}:classify", body, timeout))
        with _format_errors():
            return [[(str(label), float(score)) for label, score in row] for row in answer["results"]]

    def regress(self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float) -> list[float]:
        """Return a number for each example."""
        body = _examples_to_json(signature, examples)
        answer = _parse_answer(self._http.request("POST", f"{self._path(model)}:regress", body, timeout))
        with _format_errors():
            return [float(value) for value in answer["results"]]

    def status(self, model: ModelSpec, timeout: float) -> list[VersionStatus]:
        """Return the versions, in any order."""
        answer = _parse_answer(self._http.request("GET", self._path(model), b"", timeout))
        with _format_errors():
            return [
                VersionStatus(int(one["version"]), one["state"], one.get("status", {}).get("error_message", ""))
                for one in answer["model_version_status"]
            ]

    def _name_of_only_output(self, model: ModelSpec, signature: str, timeout: float) -> str:
        if signature not in self._only_output:
            answer = _parse_answer(self._http.request("GET", f"{self._path(model)}/metadata", b"", timeout))
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            (self._only_output[signature],) = signatures[signature]["outputs"]
        return self._only_output[signature]

    def _path(self, model: ModelSpec) -> str:
        path = f"{self._prefix}/v1/models/{quote(model.name, safe='')}"
        if model.version is not None:
            return f"{path}/versions/{model.version}"
        if model.label is not None:
            return f"{path}/labels/{quote(model.label, safe='')}"
        return path


def _parse_answer(answer: HttpAnswer) -> dict[str, Any]:
    """Parse the JSON of an answer, and raise its error if it has one."""
    found: Any = None
    is_json = True
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        is_json = False
    if answer.status == 200:
        if not isinstance(found, dict):
            raise TransportError("INTERNAL", f"the answer is not {'a JSON object' if is_json else 'JSON'}")
        return found
    if answer.status == 413:  # from a proxy: TensorFlow Serving accepts any size
        raise TransportError("RESOURCE_EXHAUSTED", f"Sent message larger than max (HTTP status {answer.status})")
    details = found.get("error") if isinstance(found, dict) else None
    raise TransportError(_CODES.get(answer.status, "INTERNAL"), str(details or f"HTTP status {answer.status}"))


@contextlib.contextmanager
def _format_errors() -> Iterator[None]:
    """Translate any error in reading an answer: then it is the answer of another kind of server."""
    try:
        yield
    except (TransportError, MemoryError):
        raise
    except Exception as error:
        raise TransportError("INTERNAL", "the answer does not have the format of TensorFlow Serving") from error


def to_json(tensor: Tensor) -> Any:
    """Convert a tensor to nested lists of numbers, or of `{"b64": ...}` for strings."""
    if isinstance(tensor.data, tuple):
        return _nest(iter([_to_b64(one) for one in tensor.data]), tensor.shape)
    return tensor.tolist()


def from_json(value: Any) -> Tensor:
    """Convert nested lists of one type to a tensor of dtype float64, int64, bool or string.

    Raises:
      ValueError: If lists differ in length.
      InvalidRequest: If the values have another type.
    """
    shape, flat = [], [value]
    while flat and all(isinstance(one, list) for one in flat):
        shape.append(len(flat[0]))
        flat = [inner for one in flat for inner in one]
    if len(flat) != prod(shape):
        raise ValueError("rows of different lengths")
    if flat and all(isinstance(one, (str, dict)) for one in flat):
        return Tensor(STRING, tuple(shape), tuple(map(_to_bytes, flat)))
    kinds = {type(one) for one in flat}
    dtype = "bool" if kinds == {bool} else "int64" if kinds == {int} else "float64"
    return number_tensor(dtype, shape, flat)


def _nest(values: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nest(values, shape[1:]) for _ in range(shape[0])] if shape else next(values)


def _examples_to_json(signature: str, examples: Sequence[Features]) -> bytes:
    rows = [
        {name: [_to_b64(one) if isinstance(one, bytes) else one for one in values] for name, values in example.items()}
        for example in examples
    ]
    with invalid_request_errors():
        return json.dumps({"signature_name": signature, "examples": rows}).encode()


def _to_b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _to_bytes(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])
