"""What can go wrong between a client and a server, as one tree.

ServingError                        of data.errors: exit status 6
├── Unavailable                     no server answers there, or it cannot answer yet; was tried again
├── Overloaded                      a full queue or no free thread: ask again later, or with less at once
├── DeadlineExceeded                no answer within the timeout
├── NotFound                        no such model, version or label is served
├── InvalidRequest                  the server, or this client, refuses what was to be sent
│   └── InvalidPicture              ... because of one picture
│       └── UnreadablePicture       ... whose file cannot be read: exit status 2
└── ServerFailure                   anything else that the server answers
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from data.errors import ServingError, op_message

START = "Start one with: skewless serve TASK"
_PIXELS = "Send it smaller: the model takes none that is larger, whatever it holds."
_PICTURES = "Pictures must be complete JPEG, PNG, GIF or BMP files; WebP and JPEG XL work from TensorFlow 2.21 on."
SIGNATURE = "Names, types and shapes must be those of the model's signature; GET /v1/models/NAME/metadata shows it."
_SMALLER = "Send less in one request, or give the client a larger max_message_bytes."

# gRPC's own words, where no server's answer was read.
_NO_ANSWER = re.compile(
    "failed to connect|connection (refused|reset|broke)|socket closed|name resolution|dns|goaway|recvmsg|broken pipe"
    "|closed the connection|unreachable|no route|endpoint",
    re.IGNORECASE,
)
_NO_TLS = re.compile("ssl|tls|certificate|handshake", re.IGNORECASE)
_QUEUE = re.compile("batch(ing)? (scheduling )?queue")
TOO_LONG = re.compile("message larger than max")  # gRPC's words
# Faults of a request as a whole: no picture is to blame, so it is of no use to look for it.
_REQUEST = re.compile(
    "input size does not match|Signature input alias|Inputs contains invalid name|ModelSpec|output tensor alias"
    "|Serving signature|No (signature|classification|regression)|tensor parsing error|Expects arg|Missing "
    "|Expected (one|classification|regression|prediction|classes|scores|output|Tensor)"
    "|JSON|Malformed request|Batching Run|Task size|Unrecognized servable"
    "|Name: .*Data types don't match|Name: .* is required|Could not parse example"
)


class Unavailable(ServingError):
    """No server answers at the address, or it says that it cannot answer now."""


class Overloaded(ServingError):
    """The server has more to do than it takes on."""


class DeadlineExceeded(ServingError):
    """No answer came within the timeout."""


class NotFound(ServingError):
    """The server has no such model, or no such version or label of it."""


class InvalidRequest(ServingError):
    """The request does not fit the model or the limits."""


class InvalidPicture(InvalidRequest):
    """A picture that the server, or this client, cannot take."""


class UnreadablePicture(InvalidPicture):
    """A picture's file that cannot be read here."""

    exit_code = 2


class ServerFailure(ServingError):
    """The server failed, or answers what this client does not understand."""


class TransportError(Exception):
    """What a transport raises: a status of gRPC, before it is told in words of this house.

    Attributes:
      code: its name, e.g. "UNAVAILABLE".
      words: the server's, or the library's where no server answered.
    """

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words

    @property
    def of_rows(self) -> bool:
        """What the rows hold is refused, and not the request as a whole: it may be the rows of somebody else."""
        return self.code == "INVALID_ARGUMENT" and not _REQUEST.match(op_message(self.words))


@dataclass(frozen=True)
class RequestContext:
    """What was asked, for the messages.

    Attributes:
      address: as the user gave it.
      model: its name.
      timeout: seconds.
      pictures: whether the request held pictures.
    """

    address: str
    model: str
    timeout: float
    pictures: bool = False


def to_serving_error(refusal: TransportError, asked: RequestContext) -> ServingError:
    """The refusal as one line that tells what and where, and a hint what to do next."""
    code, words = refusal.code, op_message(refusal.words)
    if code == "UNAVAILABLE":
        return _unavailable(words, asked)
    if code == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(
            f"the server at {asked.address} did not answer in {asked.timeout:g} s",
            hint="Send fewer pictures in one request, or give the client a longer timeout.",
        )
    if code == "NOT_FOUND":
        return NotFound(
            f"the server at {asked.address} has no model '{asked.model}' available: {words}",
            hint="The name must be the server's --model_name, and its --model_base_path must hold a version.",
        )
    refused = f"the server at {asked.address} refused the request: {words}"
    if "Unrecognized servable version label" in words:
        return NotFound(refused, hint="Labels are assigned in the server's --model_config_file.")
    if TOO_LONG.search(words):
        return InvalidRequest(refused, hint=_SMALLER)
    if asked.pictures and refusal.of_rows:
        return InvalidPicture(refused, hint=_PIXELS if "claims more than" in words else _PICTURES)
    if code == "INVALID_ARGUMENT" or words.startswith("Serving signature"):
        return InvalidRequest(refused, hint=SIGNATURE)
    failed = f"the server at {asked.address} failed with {code}: {words}"
    if code == "RESOURCE_EXHAUSTED":
        return Overloaded(failed, hint="Ask with fewer requests at once; --grpc_max_threads is the server's limit.")
    return ServerFailure(failed, hint="See the server's log.")


def _unavailable(words: str, asked: RequestContext) -> ServingError:
    if _QUEUE.search(words):
        full = f"the server at {asked.address} has too much to do: {words}"
        return Overloaded(full, hint="Ask with fewer requests at once, or raise the server's max_enqueued_batches.")
    if _NO_TLS.search(words):
        return Unavailable(
            f"no TLS connection to {asked.address}: {words}",
            hint="Only a server with --ssl_config_file speaks TLS; a CA of your own is told by Tls(ca=FILE).",
        )
    if "HTTP/2" in words:
        return Unavailable(
            f"what answers at {asked.address} is not gRPC",
            hint="The REST port's address begins with http://; gRPC's is another port, 8500 by default.",
        )
    if not words or _NO_ANSWER.search(words):
        return Unavailable(f"no server answers at {asked.address}", hint=START)
    return Unavailable(f"the server at {asked.address} cannot answer now: {words}", hint="Ask again a little later.")
