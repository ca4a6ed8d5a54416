"""The standard health service of gRPC (grpc.health.v1), as far as the model server answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from data.families import message_class

PACKAGE = "grpc.health.v1"
SERVICE = f"{PACKAGE}.Health"
NAMES = ("", "ModelService", "PredictionService")  # what TensorFlow Serving answers for; it tells nothing of a model
SERVING, SERVICE_UNKNOWN = 1, 3


def _messages() -> tuple[Any, Any]:
    """HealthCheckRequest and HealthCheckResponse: two fields need no package of their own."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="grpc/health/v1/health.proto", package="grpc.health.v1")
    file.syntax = "proto3"
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    response = file.message_type.add(name="HealthCheckResponse")
    states = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        states.value.add(name=name, number=number)
    kind = {"type": field.TYPE_ENUM, "type_name": ".grpc.health.v1.HealthCheckResponse.ServingStatus"}
    response.field.add(name="status", number=1, label=field.LABEL_OPTIONAL, **kind)
    pool = descriptor_pool.DescriptorPool()  # of its own: grpcio-health-checking may be loaded, too
    pool.AddSerializedFile(file.SerializeToString())
    return (
        message_class(pool, f"{PACKAGE}.HealthCheckRequest"),
        message_class(pool, f"{PACKAGE}.HealthCheckResponse"),
    )


HealthCheckRequest, HealthCheckResponse = _messages()


def add_to_server(server: grpc.Server) -> None:
    """Adds the service: SERVING for `NAMES`, for as long as the server answers."""
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
    return HealthCheckResponse(status=SERVING)


def _watch(request: Any, context: Any, send: Callable[[Any], None]) -> None:
    """Tells the state once, as it does not change; the call stays open and holds no thread."""
    send(HealthCheckResponse(status=SERVING if request.service in NAMES else SERVICE_UNKNOWN))


_watch.experimental_non_blocking = True  # type: ignore[attr-defined]
