"""ModelService: report the state of each version, and change the set of served models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from serving.server.lifecycle.model_manager import ModelManager, model_spec_of
from serving.server.rpc_error import Fault, abort_on_fault, invalid_argument

log = logging.getLogger(__name__)
CounterTotal = Callable[[str], int]


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """Reports the versions of all models, and reloads the config."""

    def __init__(
        self, models: ModelManager[Any], counter_total: CounterTotal | None = None, poll_on_reload: bool = True
    ) -> None:
        """Create the service.

        Args:
          models: models to report and to reload.
          counter_total: returns a counter's value by its name, 0 for an unknown one; None if nothing is counted.
          poll_on_reload: look for versions during a reload; False if the server never looks for versions.
        """
        self._models = models
        self._counter_total = counter_total
        self._poll_on_reload = poll_on_reload

    @abort_on_fault
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Any
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """See `model_status`."""
        return model_status(self._models, request)

    @abort_on_fault
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: Any
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serve the models of the request's list and no others; answer when the new ones are available."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        before = self._counter_totals(request.metric_names)
        try:
            self._models.reload_config(request.config, context.is_active, self._poll_on_reload)
        except Fault as fault:
            log.error("ReloadConfig failed: %s", fault.message)
            raise
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in self._counter_totals(request.metric_names).items():
            response.metric.add(name=name, int64_value_increase=value - before[name])
        return response

    def _counter_totals(self, names: Any) -> dict[str, int]:
        return {} if self._counter_total is None else {name: self._counter_total(name) for name in names}


def model_status(
    models: ModelManager[Any], request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Return the state of each version of a model, the newest version first.

    A label in the request is ignored, and an empty name counts as an unknown one, as in TensorFlow Serving.

    Raises:
      Fault: INVALID_ARGUMENT without a model_spec; NOT_FOUND for a model or a version that was never aspired.
    """
    spec = model_spec_of(request)
    versions = models.versions(spec.name)
    missing = f"Could not find any versions of model {spec.name}"
    if spec.HasField("version"):
        number = spec.version.value
        versions = [version for version in versions if version.number == number]
        missing = f"Could not find version {number} of model {spec.name}"
    if not versions:
        raise Fault(grpc.StatusCode.NOT_FOUND, missing)
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in reversed(versions):
        entry = response.model_version_status.add(version=version.number, state=int(version.state))
        entry.status.SetInParent()
        if version.fault is not None:
            entry.status.error_code = version.fault.code.value[0]
            entry.status.error_message = version.fault.message
    return response
