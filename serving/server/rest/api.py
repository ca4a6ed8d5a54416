"""REST requests to answers: paths, bodies and HTTP status codes, as TensorFlow Serving's HTTP handler has them."""

from __future__ import annotations

import logging
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.lifecycle.model_manager import ModelManager
from serving.server.rest import responses
from serving.server.rest.debug_string import debug_string
from serving.server.rest.examples import read_examples
from serving.server.rest.json_body import load_body
from serving.server.rest.rapidjson_reader import UTF8_ERRORS
from serving.server.rest.tensors import read_tensors
from serving.server.rpc_error import Fault, invalid_argument
from serving.server.saved_model.servable import Servable
from serving.server.services.model_service import model_status
from serving.server.services.predictor import Predictor

log = logging.getLogger(__name__)
JSON, HTML, TEXT = "application/json", "text/html", "text/plain"
_MODEL = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_INFERENCE_PATH = re.compile(rf"/v1/models/([^/:]+){_MODEL}:(classify|regress|predict)", re.IGNORECASE)
_MODEL_PATH = re.compile(rf"/v1/models(?:/([^/:]+))?{_MODEL}(?:/(metadata))?", re.IGNORECASE)
_Code = grpc.StatusCode
_HTTP = {
    _Code.CANCELLED: 499,
    _Code.INVALID_ARGUMENT: 400,
    _Code.DEADLINE_EXCEEDED: 504,
    _Code.NOT_FOUND: 404,
    _Code.ALREADY_EXISTS: 409,
    _Code.PERMISSION_DENIED: 403,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.FAILED_PRECONDITION: 400,
    _Code.ABORTED: 409,
    _Code.OUT_OF_RANGE: 400,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    _Code.UNAUTHENTICATED: 401,
}  # every other code is 500


class RestResponse(NamedTuple):
    """An HTTP response: status, body and media type."""

    status: int
    body: bytes
    media: str = JSON


class RestApi:
    """Handler of HTTP requests; thread-safe."""

    def __init__(self, predictor: Predictor, models: ModelManager[Servable], timeout_s: float | None) -> None:
        """Create a handler.

        Args:
          predictor: answers the inference requests.
          models: knows the states of the versions.
          timeout_s: time limit of a run; None for no limit.
        """
        self._predictor = predictor
        self._models = models
        self._timeout = timeout_s
        self._inference = {"predict": self._predict, "classify": self._classify, "regress": self._regress}

    def answer(self, method: str, path: str, body: bytes) -> RestResponse:
        """Answer a request; an error becomes an answer, too.

        Args:
          method: HTTP method.
          path: path and query as sent; it begins with `/v1/`.
          body: body after decompression.
        """
        try:
            return RestResponse(200, self._answer(method, path, body))
        except _EmptyErrorBody:
            return RestResponse(400, b"")
        except Fault as fault:
            return RestResponse(_HTTP.get(fault.code, 500), responses.error(fault.message))
        except Exception as error:  # a bug of ours; the server keeps running
            log.exception("%s %s failed", method, path)
            return RestResponse(500, responses.error(str(error)))

    def _answer(self, method: str, path: str, body: bytes) -> bytes:
        inference = _INFERENCE_PATH.fullmatch(path) if method == "POST" else None
        lookup = _MODEL_PATH.fullmatch(path) if method == "GET" else None
        # The path is case-insensitive, but not the method name at its end.
        if inference and inference[4] in self._inference:
            spec = _spec(*inference.groups()[:3])
            with self._predictor.metrics.track_request(spec.name, inference[4], "REST"):
                return self._inference[inference[4]](spec, body)
        if lookup:
            spec = _spec(*lookup.groups()[:3])
            if not spec.name:
                raise invalid_argument("Missing model name in request.")
            return self._metadata(spec) if lookup[4] == "metadata" else self._status(spec)
        raise invalid_argument(f"Malformed request: {method} {path}")

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        document = load_body(body)
        request = predict_pb2.PredictRequest(model_spec=_with_signature(spec, document))
        # A dict, because protobuf's map raises an error for a name that is not UTF-8; here it is only an unknown name.
        infos = dict(self._predictor.signature_inputs(request.model_spec))
        inputs, in_rows = read_tensors(document, infos, request.model_spec.signature_name)
        for alias, tensor in inputs.items():
            request.inputs[alias].CopyFrom(tensor)
        outputs = self._predictor.predict(request, self._timeout).outputs
        return responses.rows(outputs) if in_rows else responses.columns(outputs)

    def _classify(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        document = load_body(body)
        spec = _with_signature(spec, document)
        request = classification_pb2.ClassificationRequest(model_spec=spec, input=read_examples(document))
        return responses.classifications(self._predictor.classify(request, self._timeout).result)

    def _regress(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        document = load_body(body)
        spec = _with_signature(spec, document)
        request = regression_pb2.RegressionRequest(model_spec=spec, input=read_examples(document))
        return responses.regressions(self._predictor.regress(request, self._timeout).result)

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        return responses.status(model_status(self._models, get_model_status_pb2.GetModelStatusRequest(model_spec=spec)))

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        return responses.metadata(self._predictor.metadata(request))


class _EmptyErrorBody(Exception):
    """A fault that TensorFlow Serving answers with an empty body."""


def _spec(name: str | None, number: str | None, label: str | None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_percent_decode(name or ""))
    if number:
        if int(number) >= 2**63:
            raise _EmptyErrorBody
        spec.version.value = int(number)
    elif label:
        spec.version_label = _percent_decode(label)
    return spec


def _percent_decode(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _with_signature(spec: model_pb2.ModelSpec, document: dict[str, object]) -> model_pb2.ModelSpec:
    """Add the signature that the body names."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        text = "not formatted correctly. 'signature_name' key must be a string value."
        raise invalid_argument(f"JSON Value: {debug_string(document)} {text}")
    spec.signature_name = name.encode("utf-8", UTF8_ERRORS).decode("utf-8", "replace")
    return spec
