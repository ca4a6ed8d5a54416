"""A transport that answers from a function: for tests of code that calls a model, without a server.

    def answer(request):
        count = request.inputs["image_bytes"].shape[0]
        return {"classes": [["cat", "dog"]] * count, "scores": [[0.25, 0.75]] * count}

    client = Client("test:8500", model="pets", transport=MockTransport(answer))
    assert client.predict_images([b"any bytes"])[0].label == "dog"

A model that gives several labels to a picture also returns "thresholds", in the shape of the scores.

Everything but the network is real: batches, retries, deadlines of retries, and the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.client.errors import TransportError
from serving.client.results import VersionStatus
from serving.client.tensor import Tensor, to_tensor
from serving.client.transport import Features, ModelSpec


@dataclass(frozen=True)
class MockRequest:
    """One request, as the function of a `MockTransport` gets it.

    Attributes:
      method: "predict", "classify" or "regress".
      model: The model that the client calls.
      signature: Name of the signature.
      timeout: Seconds that the request may take.
      inputs: For predict: the input tensors by name.
      outputs: For predict: names of the outputs to return; empty for all.
      examples: For classify and regress: the rows.
    """

    method: str
    model: ModelSpec
    signature: str
    timeout: float
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    examples: Sequence[Features] = ()


class MockTransport:
    """A transport that answers from a function.

    Attributes:
      requests: All requests so far, those that failed included; not those for the status.
      versions: What `Client.status` and `Client.wait_until_available` see; change it as you like.
    """

    def __init__(
        self,
        answer: Callable[[MockRequest], Any],
        versions: Sequence[VersionStatus] = (VersionStatus(1, "AVAILABLE"),),
    ) -> None:
        """Take the function that answers.

        Args:
          answer: Function that answers a request; several threads may call it at once. It returns for predict the
            outputs by name, as lists, arrays or `Tensor`; for classify a list of (class, score) for each example; for
            regress a number for each example. To fail as a server does, it raises a `TransportError`, such as
            `TransportError("UNAVAILABLE", "try later")`.
          versions: The model's versions on the server.
        """
        self._answer = answer
        self._is_closed = False
        self.requests: list[MockRequest] = []
        self.versions = list(versions)

    def predict(
        self, model: ModelSpec, signature: str, inputs: Mapping[str, Tensor], outputs: Sequence[str], timeout: float
    ) -> dict[str, Tensor]:
        """Return what the function returns, as tensors; without the outputs that were not asked for."""
        found = self._call(MockRequest("predict", model, signature, timeout, inputs=inputs, outputs=outputs))
        return {name: to_tensor(value) for name, value in found.items() if not outputs or name in outputs}

    def classify(
        self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float
    ) -> list[list[tuple[str, float]]]:
        """Return what the function returns."""
        rows = self._call(MockRequest("classify", model, signature, timeout, examples=examples))
        return [[(str(label), float(score)) for label, score in row] for row in rows]

    def regress(self, model: ModelSpec, signature: str, examples: Sequence[Features], timeout: float) -> list[float]:
        """Return what the function returns."""
        rows = self._call(MockRequest("regress", model, signature, timeout, examples=examples))
        return [float(row) for row in rows]

    def status(self, model: ModelSpec, timeout: float) -> list[VersionStatus]:
        """Return `versions`, or only the one that the client names by its number."""
        self._check_open()
        return [one for one in self.versions if model.version in (None, one.version)]

    def close(self) -> None:
        """Refuse further requests, as a closed connection does."""
        self._is_closed = True

    def _call(self, request: MockRequest) -> Any:
        self._check_open()
        self.requests.append(request)
        return self._answer(request)

    def _check_open(self) -> None:
        if self._is_closed:
            raise TransportError("CANCELLED", "the client is closed")
