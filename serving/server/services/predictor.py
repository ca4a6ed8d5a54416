"""Answers to inference requests from the loaded versions: the same for gRPC and REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceServicer

from serving.server.inference.examples import classify, regress
from serving.server.inference.metadata import check_metadata_fields, model_metadata
from serving.server.inference.multi_inference import multi_inference
from serving.server.inference.predict import predict
from serving.server.lifecycle.model_manager import ModelManager, model_spec_of
from serving.server.lifecycle.version_manager import ServableVersion
from serving.server.metrics import Metrics
from serving.server.rpc_error import abort_on_fault, invalid_argument
from serving.server.saved_model.servable import Servable
from serving.server.saved_model.tensors import Array
from serving.signatures import DEFAULT as DEFAULT_SIGNATURE

MAX_TIMEOUT_S = 1e9  # 32 years; RunOptions holds at most 2^63 ms
RUNTIME = "TF1"  # TensorFlow Serving's name for a session's run


class Predictor:
    """Answers inference requests; its methods may be called from any thread.

    A timeout is the time limit of the run in seconds; None is no limit.
    """

    def __init__(
        self, models: ModelManager[Servable], check_method_names: bool = False, metrics: Metrics | None = None
    ) -> None:
        """Create a predictor.

        Args:
          models: models that answer.
          check_method_names: refuse a signature whose method_name is not the request's
            (`--enable_signature_method_name_check`).
          metrics: counts the requests and measures their time.
        """
        self._models = models
        self._check = check_method_names
        self.metrics = metrics or Metrics()

    def predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None, as_content: bool = False
    ) -> predict_pb2.PredictResponse:
        """Run a signature on the request's tensors; see `inference.predict.predict`.

        Raises:
          Fault: If there is no such model, a check fails or the run fails.
        """
        with self._models.servable_handle(model_spec_of(request)) as version:
            model = _TimedServable(_servable(version), self.metrics, request.model_spec.name, "Predict")
            response = predict(model, request, timeout, self._check, as_content)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version.number
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout: float | None
    ) -> classification_pb2.ClassificationResponse:
        """Return the classes and scores of the request's tf.Examples.

        Raises:
          Fault: If there is no such model, a check fails or the run fails.
        """
        return self._infer("Classify", classify, classification_pb2.ClassificationResponse(), request, timeout)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout: float | None
    ) -> regression_pb2.RegressionResponse:
        """Return a number for each of the request's tf.Examples.

        Raises:
          Fault: If there is no such model, a check fails or the run fails.
        """
        return self._infer("Regress", regress, regression_pb2.RegressionResponse(), request, timeout)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout: float | None
    ) -> inference_pb2.MultiInferenceResponse:
        """Run several classifications and regressions on the same tf.Examples.

        The first task's model_spec chooses the model and its version.

        Raises:
          Fault: If there is no such model, a check fails or the run fails.
        """
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._models.servable_handle(spec) as version:
            model = _TimedServable(_servable(version), self.metrics, spec.name, "MultiInference")
            response = multi_inference(model, request.tasks, request.input, timeout, self._check)
            self.metrics.count_examples(spec.name, _example_count(request.input))
            for result in response.results:
                result.model_spec.version.value = version.number
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return the signatures of a version.

        Raises:
          Fault: If there is no such model, or the request asks for other metadata.
        """
        spec = model_spec_of(request)
        check_metadata_fields(request.metadata_field)
        with self._models.servable_handle(spec) as version:
            response = model_metadata(_servable(version))
            response.model_spec.name = spec.name
            response.model_spec.version.value = version.number
        return response

    def signature_inputs(self, spec: model_pb2.ModelSpec) -> Mapping[str, meta_graph_pb2.TensorInfo]:
        """Return the inputs of a signature by alias; REST reads the dtypes of its numbers from them.

        Raises:
          Fault: If there is no such model; INVALID_ARGUMENT for an unknown signature, with REST's own text.
        """
        key = spec.signature_name or DEFAULT_SIGNATURE
        with self._models.servable_handle(spec) as version:
            signatures = _servable(version).signatures
            if key not in signatures:
                raise invalid_argument(f'Serving signature name: "{key}" not found in signature def')
            inputs: Mapping[str, meta_graph_pb2.TensorInfo] = signatures[key].inputs
            return inputs

    def _infer(self, api: str, infer: Callable[..., Any], response: Any, request: Any, timeout: float | None) -> Any:
        """Fill in the response of a Classify or Regress request."""
        key = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with self._models.servable_handle(model_spec_of(request)) as version:
            model = _TimedServable(_servable(version), self.metrics, request.model_spec.name, api)
            response.result.CopyFrom(infer(model, key, request.input, timeout, self._check))
            self.metrics.count_examples(request.model_spec.name, _example_count(request.input))
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version.number
            response.model_spec.signature_name = key
        return response


class PredictionService(PredictionServiceServicer):  # type: ignore[misc]
    """gRPC service of a Predictor; the deadline of the RPC limits the run."""

    def __init__(self, predictor: Predictor, as_content: bool = False) -> None:
        """Create the service.

        Args:
          predictor: answers the requests.
          as_content: answer Predict with `tensor_content` (`--enable_serialization_as_tensor_content`).
        """
        self._predictor = predictor
        self._as_content = as_content

    @abort_on_fault
    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        """See `Predictor.predict`."""
        with self._predictor.metrics.track_request(request.model_spec.name, "Predict", "GRPC"):
            return self._predictor.predict(request, _remaining_s(context), self._as_content)

    @abort_on_fault
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: Any
    ) -> classification_pb2.ClassificationResponse:
        """See `Predictor.classify`."""
        with self._predictor.metrics.track_request(request.model_spec.name, "Classify", "GRPC"):
            return self._predictor.classify(request, _remaining_s(context))

    @abort_on_fault
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: Any
    ) -> regression_pb2.RegressionResponse:
        """See `Predictor.regress`."""
        with self._predictor.metrics.track_request(request.model_spec.name, "Regress", "GRPC"):
            return self._predictor.regress(request, _remaining_s(context))

    @abort_on_fault
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: Any
    ) -> inference_pb2.MultiInferenceResponse:
        """See `Predictor.multi_inference`."""
        return self._predictor.multi_inference(request, _remaining_s(context))

    @abort_on_fault
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Any
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """See `Predictor.metadata`."""
        return self._predictor.metadata(request)


class _TimedServable:
    """A Servable that records the duration of its runs in `runtime_latency`."""

    def __init__(self, servable: Servable, metrics: Metrics, name: str, api: str) -> None:
        self.signatures = servable.signatures
        self.dtype = servable.dtype
        self.close = servable.close
        self._run = servable.run
        self._metrics = metrics
        self._labels = (name, api, RUNTIME)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        start = time.perf_counter_ns()
        values = self._run(feeds, fetches, timeout)
        self._metrics.runtime_latency.add((time.perf_counter_ns() - start) // 1000, *self._labels)
        return values


def _remaining_s(context: Any) -> float | None:
    """Return the seconds until the RPC's deadline, None without one (grpcio returns 292 years then)."""
    left = context.time_remaining()
    return None if left is None or left > MAX_TIMEOUT_S else float(left)


def _servable(version: ServableVersion[Servable]) -> Servable:
    assert version.servable is not None  # as long as the request holds the version
    return version.servable


def _example_count(request_input: input_pb2.Input) -> int:
    return len(request_input.example_list.examples) or len(request_input.example_list_with_context.examples)
