"""The interface between the client and the way to a server. gRPC and REST implement it, and so can you.

`Client(..., transport=...)` takes any object with these methods. To test code that calls a model, use the ready-made
`MockTransport`, which needs no server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Union

from serving.client.results import VersionStatus
from serving.client.tensor import Tensor

MAX_MESSAGE_BYTES = 2**31 - 1

Features = Mapping[str, Union[list[bytes], list[float], list[int]]]
"""A tf.Example: for each feature its values, all of one type."""


@dataclass(frozen=True)
class ModelSpec:
    """Name and version of a model on a server.

    Attributes:
      name: Name of the model.
      version: Number of the version. Without a version and a label, the server takes the newest version.
      label: Label of the version; excludes `version`.
    """

    name: str
    version: int | None = None
    label: str | None = None


class Transport(Protocol):
    """The way to a server: each method sends one request and returns its answer.

    Methods must be safe to call from several threads. They raise `TransportError` with the name of a gRPC status if
    the server refuses the request or gives no answer. The client retries UNAVAILABLE, sends INVALID_ARGUMENT once more
    if it may be due to the rows of another caller, and translates every status into a `ServingError`. Any other
    exception passes through the client unchanged.

    `timeout` is the number of seconds that the request may take, above 0.
    """

    def predict(
        self, model: ModelSpec, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], timeout: float
    ) -> dict[str, Tensor]:
        """Call a signature with named tensors.

        Args:
          model: The model to call.
          signature: Name of the signature.
          inputs: The signature's inputs by name.
          outputs: Names of the outputs to return; empty for all.
          timeout: Seconds.

        Returns:
          The outputs by name.
        """

    def classify(
        self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float
    ) -> list[list[tuple[str, float]]]:
        """Return for each example a list of its classes with their scores."""

    def regress(self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float) -> list[float]:
        """Return one number for each example."""

    def status(self, model: ModelSpec, timeout: float) -> list[VersionStatus]:
        """Return the model's versions in any order; if the spec names a version, only that one."""

    def close(self) -> None:
        """Close the connections, and end the requests in progress."""
