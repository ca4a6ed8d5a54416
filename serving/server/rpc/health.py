"""gRPC's standard health service (grpc.health.v1), with the names that TensorFlow Serving answers for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from serving.protocol.descriptors import load_types

SERVICE = "grpc.health.v1.Health"
NAMES = ("", "ModelService", "PredictionService")  # those of TensorFlow Serving, which reports no health of a model

_TYPES = load_types("health.proto")
HealthCheckRequest = _TYPES["HealthCheckRequest"]
HealthCheckResponse = _TYPES["HealthCheckResponse"]


def add_to_server(server: grpc.Server) -> None:
    """Add the service, which answers SERVING for each of `NAMES` as long as the server runs."""
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(
            _check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            _watch, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def _check(request: Any, context: Any) -> Any:
    if request.service not in NAMES:
        context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
    return HealthCheckResponse(status=HealthCheckResponse.SERVING)


def _watch(request: Any, context: Any, send: Callable[[Any], None]) -> None:
    """Send the state once, as it does not change; the call stays open and holds no thread."""
    state = HealthCheckResponse.SERVING if request.service in NAMES else HealthCheckResponse.SERVICE_UNKNOWN
    send(HealthCheckResponse(status=state))


_watch.experimental_non_blocking = True  # type: ignore[attr-defined]
