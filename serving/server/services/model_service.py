"""ModelService: the state of every version that this process has seen, and which models are served."""

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
from serving.server.rpc_error import Fault, answering, invalid

log = logging.getLogger(__name__)
Count = Callable[[str], int]


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Answers from the versions of all models, and changes which models there are."""

    def __init__(self, models: ModelManager[Any], count: Count | None = None, look: bool = True) -> None:
        """Args:
        models: to report and to reload.
        count: a counter's value by its name, 0 for an unknown one; None where nothing is counted.
        look: whether versions are looked for at all.
        """
        self._models = models
        self._count = count
        self._look = look

    @answering
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Any
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """See `model_status`."""
        return model_status(self._models, request)

    @answering
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: Any
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves the models of the request's list and no others; answers when the new ones are available."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        before = self._counts(request.metric_names)
        try:
            self._models.reload(request.config, context.is_active, self._look)
        except Fault as fault:
            log.error("ReloadConfig failed: %s", fault.message)
            raise
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in self._counts(request.metric_names).items():
            response.metric.add(name=name, int64_value_increase=value - before[name])
        return response

    def _counts(self, names: Any) -> dict[str, int]:
        return {} if self._count is None else {name: self._count(name) for name in names}


def model_status(
    models: ModelManager[Any], request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Newest version first; a label is ignored, an empty name is only an unknown one.

    Raises:
      Fault: INVALID_ARGUMENT without a model_spec, NOT_FOUND for a model or a version that was never seen.
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
