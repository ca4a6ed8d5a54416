"""Errors that a request is answered with: a gRPC code and TensorFlow Serving's text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

MAX_MESSAGE = 1024  # characters of a status message on the wire
_CODES = {code.value[0]: code for code in grpc.StatusCode}
Service = TypeVar("Service")
Rpc = Callable[[Service, Any, Any], Any]


class Fault(Exception):
    """The error of a request, or of the load of a version.

    Attributes:
      code: the gRPC status code.
      message: the whole text.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid_argument(message: str) -> Fault:
    """Return the most common fault, INVALID_ARGUMENT."""
    return Fault(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error: Any) -> Fault:
    """Return a `tf.errors.OpError` as a fault with the same text and code, whose numbers are gRPC's."""
    return Fault(_CODES[error.error_code], error.message)


def truncate_message(message: str) -> str:
    """Cut a message to `MAX_MESSAGE` characters and mark the cut; replace what is not UTF-8."""
    text = message.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "...TRUNCATED"


def abort_on_fault(rpc: Rpc[Service]) -> Rpc[Service]:
    """Decorate the method of an RPC so that a `Fault` becomes the status of its answer."""

    @functools.wraps(rpc)
    def answer(self: Service, request: Any, context: Any) -> Any:
        try:
            return rpc(self, request, context)
        except Fault as fault:
            return context.abort(fault.code, truncate_message(fault.message))

    return answer
