"""The errors of the client, as one tree.

ServingError                        in data.errors: exit status 6
├── Unavailable                     no server answers at the address, or it is not ready yet; was retried
├── Overloaded                      the server's queue is full or it has no free thread
├── DeadlineExceeded                no answer within the timeout
├── NotFound                        the server does not serve this model, version or label
├── InvalidRequest                  the server or this client rejects the request
│   └── InvalidPicture              ... because of one picture
│       └── UnreadablePicture       ... whose file cannot be read: exit status 2
└── ServerFailure                   any other answer of the server
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.errors import ServingError, SkewlessError, op_message

START = "Start one with: skewless serve TASK"
_PIXELS = "Send a smaller picture: this one has more pixels than the model accepts."
_PICTURES = (
    "Pictures must be complete JPEG, PNG, GIF or BMP files. WebP and JPEG XL need a server with TensorFlow 2.21."
)
_SIGNATURE = "Names, types and shapes must match the model's signature. GET /v1/models/NAME/metadata shows it."
_SMALLER = "Send less in one request, or give the client a larger max_message_bytes."

# Messages of gRPC itself, for a connection that failed before a server answered.
_NO_ANSWER = re.compile(
    "failed to connect|connection (refused|reset|broke)|socket closed|name resolution|dns|goaway|recvmsg|broken pipe"
    "|closed the connection|unreachable|no route|endpoint",
    re.IGNORECASE,
)
_NO_TLS = re.compile("ssl|tls|certificate|handshake", re.IGNORECASE)
_QUEUE = re.compile("batch(ing)? (scheduling )?queue")
TOO_LONG = re.compile("message larger than max")  # a message of gRPC itself
# Faults of the request as a whole: no single picture causes them, so a search for that picture is useless.
_REQUEST = re.compile(
    "input size does not match|Signature input alias|Inputs contains invalid name|ModelSpec|output tensor alias"
    "|Serving signature|No (signature|classification|regression)|tensor parsing error|Expects arg|Missing "
    "|Expected (one|classification|regression|prediction|classes|scores|output|Tensor)"
    "|JSON|Malformed request|Batching Run|Task size|Unrecognized servable"
    "|Name: .*Data types don't match|Name: .* is required|Could not parse example"
)


class Unavailable(ServingError):
    """No server answers at the address, or it reports that it cannot answer now."""


class Overloaded(ServingError):
    """The server has more requests than it accepts."""


class DeadlineExceeded(ServingError):
    """No answer came within the timeout."""


class NotFound(ServingError):
    """The server does not serve this model, or this version or label of it."""


class InvalidRequest(ServingError):
    """The request does not fit the model or the limits."""


class InvalidPicture(InvalidRequest):
    """A picture that the server or this client cannot use."""


class UnreadablePicture(InvalidPicture):
    """A picture whose file cannot be read on this machine."""

    exit_code = 2


class ServerFailure(ServingError):
    """The server failed, or its answer is not understood."""


class TransportError(Exception):
    """Raised by transports: a gRPC status, before it is translated into a `ServingError`.

    Attributes:
      code: Name of the status, e.g. "UNAVAILABLE".
      details: Message of the server, or of the library if no server answered.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details

    @property
    def may_be_due_to_other_rows(self) -> bool:
        """Whether the content of rows is rejected, not the request as a whole.

        A server that batches may reject them because of the rows of another caller.
        """
        return self.code == "INVALID_ARGUMENT" and not _REQUEST.match(op_message(self.details))


@contextlib.contextmanager
def invalid_request_errors() -> Iterator[None]:
    """Translate the errors of a library that builds a request: the values do not fit its types."""
    try:
        yield
    except (SkewlessError, MemoryError):
        raise
    except Exception as error:  # libraries raise many types
        details = op_message(str(error)) or "no details"
        raise InvalidRequest(f"cannot build the request: {type(error).__name__}: {details}", hint=_SIGNATURE) from error


@dataclass(frozen=True)
class RequestContext:
    """Facts of a request, for error messages.

    Attributes:
      address: Address of the server, as the user gave it.
      model: Name of the model.
      timeout: Seconds.
      has_pictures: Whether the request holds pictures.
    """

    address: str
    model: str
    timeout: float
    has_pictures: bool = False


def to_serving_error(error: TransportError, context: RequestContext) -> ServingError:
    """Translate a status into an error: one line about what failed and where, and a hint what to do next."""
    code, details, address = error.code, op_message(error.details), context.address
    if code == "UNAVAILABLE":
        return _unavailable(details, address)
    if code == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(
            f"the server at {address} did not answer in {context.timeout:g} s",
            hint="Send fewer pictures in one request, or give the client a longer timeout.",
        )
    if code == "NOT_FOUND":
        return NotFound(
            f"the server at {address} has no model '{context.model}' available: {details}",
            hint="The name must be the server's --model_name, and its --model_base_path must hold a version.",
        )
    refused = f"the server at {address} refused the request: {details}"
    if "Unrecognized servable version label" in details:
        return NotFound(refused, hint="The server's --model_config_file assigns labels.")
    if TOO_LONG.search(details):
        return InvalidRequest(refused, hint=_SMALLER)
    if context.has_pictures and error.may_be_due_to_other_rows:
        return InvalidPicture(refused, hint=_PIXELS if "claims more than" in details else _PICTURES)
    if code == "INVALID_ARGUMENT" or details.startswith("Serving signature"):
        return InvalidRequest(refused, hint=_SIGNATURE)
    failed = f"the server at {address} failed with {code}: {details}"
    if code == "RESOURCE_EXHAUSTED":
        return Overloaded(failed, hint="Send fewer requests at once, or raise the server's --grpc_max_threads.")
    return ServerFailure(failed, hint="See the server's log.")


def _unavailable(details: str, address: str) -> ServingError:
    if _QUEUE.search(details):
        return Overloaded(
            f"the server at {address} is overloaded: {details}",
            hint="Send fewer requests at once, or raise the server's max_enqueued_batches.",
        )
    if _NO_TLS.search(details):
        return Unavailable(
            f"no TLS connection to {address}: {details}",
            hint="Only a server with --ssl_config_file speaks TLS. For a CA of your own, pass Tls(ca=FILE).",
        )
    if "HTTP/2" in details:
        return Unavailable(
            f"the server at {address} does not speak gRPC",
            hint="The address of a REST port must start with http://. The gRPC port is another one, 8500 by default.",
        )
    if not details or _NO_ANSWER.search(details):
        return Unavailable(f"no server answers at {address}", hint=START)
    return Unavailable(f"the server at {address} cannot answer now: {details}", hint="Try again a little later.")
