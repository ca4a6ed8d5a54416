"""The transport over HTTP and JSON, with the standard library alone. Paths and forms are TensorFlow Serving's."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any
from urllib.parse import quote

from serving.client.address import Address, Tls
from serving.client.errors import Refusal
from serving.client.http import Connections
from serving.client.results import VersionStatus
from serving.client.tensor import STRING, Tensor, numbers
from serving.client.transport import Features, Model

# Of 400's three codes the first is by far the most frequent; of 409's two, likewise.
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
    """Kept connections to one server."""

    def __init__(self, address: Address, tls: Tls, max_message_bytes: int) -> None:
        """Connects with the first request, not here.

        Args:
          address: of the REST port.
          tls: looked at if the address is a secure one.
          max_message_bytes: of a request or an answer.

        Raises:
          UsageError: a file of `tls` cannot be read.
        """
        self._connections = Connections(address.target, tls.context() if address.secure else None, max_message_bytes)
        self._prefix = address.prefix
        self._only_output: dict[str, str] = {}

    def close(self) -> None:
        """Closes all connections; requests under way fail."""
        self._connections.close()

    def predict(
        self, model: Model, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], timeout: float
    ) -> dict[str, Tensor]:
        """Named tensors to the named outputs, or to all.

        JSON tells no dtype: decimals come as float64, whole numbers as int64. A model with one output does not tell
        its name, either: where `outputs` does not, the model's metadata are asked, once.
        """
        body = {"signature_name": signature, "inputs": {name: to_json(tensor) for name, tensor in inputs.items()}}
        answer = self._post(model, "predict", body, timeout)
        with _understood():
            found = answer["outputs"]
            if not isinstance(found, dict) or "b64" in found:
                name = outputs[0] if len(outputs) == 1 else self._name_of_only_output(model, signature, timeout)
                return {name: from_json(found)}
            return {name: from_json(found[name]) for name in sorted(found) if not outputs or name in outputs}

    def classify(
        self, model: Model, signature: str, examples: Sequence[Features], timeout: float
    ) -> list[list[tuple[str, float]]]:
        """For each example its classes and their scores."""
        found = self._post(model, "classify", _examples(signature, examples), timeout)
        with _understood():
            return [[(str(label), float(score)) for label, score in row] for row in found["results"]]

    def regress(self, model: Model, signature: str, examples: Sequence[Features], timeout: float) -> list[float]:
        """A number for each example."""
        found = self._post(model, "regress", _examples(signature, examples), timeout)
        with _understood():
            return [float(value) for value in found["results"]]

    def status(self, model: Model, timeout: float) -> list[VersionStatus]:
        """The versions, in any order."""
        found = self._json("GET", self._path(model), b"", timeout)
        with _understood():
            return [
                VersionStatus(int(one["version"]), one["state"], one.get("status", {}).get("error_message", ""))
                for one in found["model_version_status"]
            ]

    def _name_of_only_output(self, model: Model, signature: str, timeout: float) -> str:
        if signature not in self._only_output:
            found = self._json("GET", f"{self._path(model)}/metadata", b"", timeout)
            signatures = found["metadata"]["signature_def"]["signature_def"]
            (self._only_output[signature],) = signatures[signature]["outputs"]
        return self._only_output[signature]

    def _post(self, model: Model, verb: str, body: Any, timeout: float) -> Any:
        return self._json("POST", f"{self._path(model)}:{verb}", json.dumps(body).encode(), timeout)

    def _json(self, method: str, path: str, body: bytes, timeout: float) -> Any:
        status, answer = self._connections.request(method, path, body, timeout)
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            if status == 200:
                raise Refusal("INTERNAL", "the answer is no JSON") from None
            found = {"error": f"HTTP status {status}"}
        if status == 413:  # of a proxy: TensorFlow Serving takes any size
            raise Refusal("RESOURCE_EXHAUSTED", f"Sent message larger than max (HTTP status {status})")
        if status != 200:
            words = found.get("error") if isinstance(found, dict) else None
            raise Refusal(_CODES.get(status, "INTERNAL"), str(words or f"HTTP status {status}"))
        if not isinstance(found, dict):
            raise Refusal("INTERNAL", "the answer is no JSON object")
        return found

    def _path(self, model: Model) -> str:
        path = f"{self._prefix}/v1/models/{quote(model.name, safe='')}"
        if model.version is not None:
            return f"{path}/versions/{model.version}"
        if model.label is not None:
            return f"{path}/labels/{quote(model.label, safe='')}"
        return path


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Any surprise on the way through an answer means that it is another server's."""
    try:
        yield
    except (Refusal, MemoryError):
        raise
    except Exception as error:
        raise Refusal("INTERNAL", "the answer does not have TensorFlow Serving's form") from error


def to_json(tensor: Tensor) -> Any:
    """Nested lists of numbers, or of `{"b64": ...}`."""
    if isinstance(tensor.data, tuple):
        return _nested(iter([_b64(one) for one in tensor.data]), tensor.shape)
    return tensor.tolist()


def from_json(value: Any) -> Tensor:
    """A tensor of dtype float64, int64, bool or string, from nested lists of one kind.

    Raises:
      ValueError: lists of unequal lengths.
      InvalidRequest: another kind.
    """
    shape, flat = [], [value]
    while flat and all(isinstance(one, list) for one in flat):
        shape.append(len(flat[0]))
        flat = [inner for one in flat for inner in one]
    if len(flat) != prod(shape):
        raise ValueError("a list of unequal rows")
    if flat and all(isinstance(one, (str, dict)) for one in flat):
        return Tensor(STRING, tuple(shape), tuple(map(_string, flat)))
    kinds = {type(one) for one in flat}
    dtype = "bool" if kinds == {bool} else "int64" if kinds == {int} else "float64"
    return numbers(dtype, shape, flat)


def _nested(values: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nested(values, shape[1:]) for _ in range(shape[0])] if shape else next(values)


def _examples(signature: str, examples: Sequence[Features]) -> dict[str, Any]:
    return {
        "signature_name": signature,
        "examples": [
            {name: [_b64(one) if isinstance(one, bytes) else one for one in values] for name, values in example.items()}
            for example in examples
        ],
    }


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _string(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])
