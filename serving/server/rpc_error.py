"""Answers that are not OK: a gRPC code and TensorFlow Serving's text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

LONGEST = 1024  # characters of a status message on the wire
_CODES = {code.value[0]: code for code in grpc.StatusCode}
Service = TypeVar("Service")
Rpc = Callable[[Service, Any, Any], Any]


class Fault(Exception):
    """What a request, or the load of a version, failed with.

    Attributes:
      code: the gRPC status.
      message: its text, uncut.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid_argument(message: str) -> Fault:
    """The commonest fault: INVALID_ARGUMENT."""
    return Fault(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error: Any) -> Fault:
    """A `tf.errors.OpError` with its own code (TensorFlow's numbers are gRPC's) and its own text."""
    return Fault(_CODES[error.error_code], error.message)


def truncate_message(message: str) -> str:
    """The message as it goes out: a longer one is cut and says so; bytes that are no text are replaced."""
    text = message.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST else text[:LONGEST] + "...TRUNCATED"


def abort_on_fault(rpc: Rpc[Service]) -> Rpc[Service]:
    """Turns a `Fault` out of an RPC's method into the status of its answer."""

    @functools.wraps(rpc)
    def answer(self: Service, request: Any, context: Any) -> Any:
        try:
            return rpc(self, request, context)
        except Fault as fault:
            return context.abort(fault.code, truncate_message(fault.message))

    return answer


def unimplemented(self: object, request: Any, context: Any) -> Any:
    """The method of an RPC that this server does not have."""
    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{type(request).__name__} is not answered by this server")
