"""The answers to requests, from the loaded versions: the same for gRPC and REST."""

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

from serving.server.inference import metadata as metadata_of
from serving.server.inference.examples import classify, regress
from serving.server.inference.multi_inference import multi_inference
from serving.server.inference.predict import predict
from serving.server.lifecycle.model_manager import ModelManager, model_spec_of
from serving.server.lifecycle.version_manager import ServableVersion
from serving.server.metrics import Metrics
from serving.server.rpc_error import answering, invalid
from serving.server.saved_model.saved_model_bundle import SavedModelBundle
from serving.server.saved_model.servable import Servable
from serving.server.saved_model.tensors import Array
from serving.signatures import DEFAULT

LONGEST_S = 1e9  # 32 years; RunOptions holds at most 2^63 ms
RUNTIME = "TF1"  # TensorFlow Serving's name for a session's run


class Predictor:
    """Answers requests; its methods may be called from any thread. A timeout is in seconds, and None waits for ever."""

    def __init__(
        self, models: ModelManager[SavedModelBundle], check_method_names: bool = False, metrics: Metrics | None = None
    ) -> None:
        """Args:
        models: to find the version in.
        check_method_names: refuse signatures whose method_name is not the request's
          (`--enable_signature_method_name_check`).
        metrics: counts what is asked and how long it takes.
        """
        self._models = models
        self._check = check_method_names
        self.metrics = metrics or Metrics()

    def predict(
        self, request: predict_pb2.PredictRequest, timeout: float | None, as_content: bool = False
    ) -> predict_pb2.PredictResponse:
        """Feeds the request's tensors to a signature; raises Fault. `as_content` as in `predict.predict`."""
        with self._models.use(model_spec_of(request)) as version:
            model = _Timed(_loaded(version), self.metrics, request.model_spec.name, "Predict")
            response = predict(model, request, timeout, self._check, as_content)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version.number
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout: float | None
    ) -> classification_pb2.ClassificationResponse:
        """Classes and scores of the request's tf.Examples; raises Fault."""
        return self._of_examples("Classify", classify, classification_pb2.ClassificationResponse(), request, timeout)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout: float | None
    ) -> regression_pb2.RegressionResponse:
        """A number for each of the request's tf.Examples; raises Fault."""
        return self._of_examples("Regress", regress, regression_pb2.RegressionResponse(), request, timeout)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout: float | None
    ) -> inference_pb2.MultiInferenceResponse:
        """Several classifications and regressions of the same tf.Examples; raises Fault.

        The first task's model_spec says the model and its version.
        """
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._models.use(spec) as version:
            model = _Timed(_loaded(version), self.metrics, spec.name, "MultiInference")
            response = multi_inference(model, request.tasks, request.input, timeout, self._check)
            self.metrics.examples(spec.name, _count(request.input))
            for result in response.results:
                result.model_spec.version.value = version.number
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, timeout: float | None = None
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version; raises Fault. Nothing is run, and so nothing times out."""
        spec = model_spec_of(request)
        metadata_of.check_metadata_fields(request.metadata_field)
        with self._models.use(spec) as version:
            response = metadata_of.model_metadata(_loaded(version))
            response.model_spec.name = spec.name
            response.model_spec.version.value = version.number
        return response

    def signature_inputs(self, spec: model_pb2.ModelSpec) -> Mapping[str, meta_graph_pb2.TensorInfo]:
        """The inputs of the signature that `spec` names, by alias: REST reads its numbers by them.

        Raises:
          Fault: no such model; INVALID_ARGUMENT, no such signature (REST has a text of its own for it).
        """
        key = spec.signature_name or DEFAULT
        with self._models.use(spec) as version:
            signatures = _loaded(version).signatures
            if key not in signatures:
                raise invalid(f'Serving signature name: "{key}" not found in signature def')
            return signatures[key].inputs

    def _of_examples(
        self, api: str, answer: Callable[..., Any], response: Any, request: Any, timeout: float | None
    ) -> Any:
        key = request.model_spec.signature_name or DEFAULT
        with self._models.use(model_spec_of(request)) as version:
            model = _Timed(_loaded(version), self.metrics, request.model_spec.name, api)
            response.result.CopyFrom(answer(model, key, request.input, timeout, self._check))
            self.metrics.examples(request.model_spec.name, _count(request.input))
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version.number
            response.model_spec.signature_name = key
        return response


class PredictionService(PredictionServiceServicer):
    """The gRPC side of a Predictor; the RPC's deadline is that of the run."""

    def __init__(self, predictor: Predictor, as_content: bool = False) -> None:
        """Args:
        predictor: what answers.
        as_content: whether Predict answers with `tensor_content` (`--enable_serialization_as_tensor_content`).
        """
        self._predictor = predictor
        self._as_content = as_content

    @answering
    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        """See `Predictor.predict`."""
        with self._predictor.metrics.request(request.model_spec.name, "Predict", "GRPC"):
            return self._predictor.predict(request, _time_left(context), self._as_content)

    @answering
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: Any
    ) -> classification_pb2.ClassificationResponse:
        """See `Predictor.classify`."""
        with self._predictor.metrics.request(request.model_spec.name, "Classify", "GRPC"):
            return self._predictor.classify(request, _time_left(context))

    @answering
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: Any
    ) -> regression_pb2.RegressionResponse:
        """See `Predictor.regress`."""
        with self._predictor.metrics.request(request.model_spec.name, "Regress", "GRPC"):
            return self._predictor.regress(request, _time_left(context))

    @answering
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: Any
    ) -> inference_pb2.MultiInferenceResponse:
        """See `Predictor.multi_inference`."""
        return self._predictor.multi_inference(request, _time_left(context))

    @answering
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Any
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """See `Predictor.metadata`."""
        return self._predictor.metadata(request)


class _Timed:
    """A model whose runs are counted into `runtime_latency`."""

    def __init__(self, model: Servable, metrics: Metrics, name: str, api: str) -> None:
        self.signatures = model.signatures
        self.dtype = model.dtype
        self._run = model.run
        self._metrics = metrics
        self._labels = (name, api, RUNTIME)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        start = time.perf_counter_ns()
        values = self._run(feeds, fetches, timeout)
        self._metrics.runtime_latency.add((time.perf_counter_ns() - start) // 1000, *self._labels)
        return values


def _time_left(context: Any) -> float | None:
    """Seconds until the RPC's deadline. grpcio says 292 years where there is none, too long for a RunOptions."""
    left = context.time_remaining()
    return None if left is None or left > LONGEST_S else left


def _loaded(version: ServableVersion[Any]) -> Servable:
    assert version.loaded is not None  # as long as it is in use
    return version.loaded


def _count(sent: input_pb2.Input) -> int:
    return len(sent.example_list.examples) or len(sent.example_list_with_context.examples)
