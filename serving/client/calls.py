"""One request to one model: by whichever transport, asked again where that may help, its failure told in words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from data.errors import SkewlessError, op_message
from serving.client.address import Address, Tls
from serving.client.errors import SIGNATURE, InvalidRequest, RequestContext, TransportError, to_serving_error
from serving.client.results import VersionStatus
from serving.client.retry import persistently
from serving.client.tensor import Tensor
from serving.client.transport import Features, ModelSpec, Transport

PAUSE_S = (0.01, 0.05)
"""Before a row is asked about once more; most batches wait less for their rows."""
AGAIN_AMONG_OTHERS = 4
"""How often it is, once an answer has shown that the refusal was for the rows of others."""
Answer = TypeVar("Answer")


def connect(address: Address, tls: Tls, max_message_bytes: int) -> Transport:
    """The transport for an address; each is loaded only where it is used."""
    if address.rest:
        from serving.client.rest_transport import RestTransport

        return RestTransport(address, tls, max_message_bytes)
    from serving.client.grpc_transport import GrpcTransport

    return GrpcTransport(address, tls, max_message_bytes)


class Caller:
    """Calls that raise a `ServingError` of `serving.client.errors`, and nothing else."""

    def __init__(self, transport: Transport, address: str, model: ModelSpec, timeout: float, retries: int) -> None:
        """Args:
        transport: from `connect`.
        address: as the user gave it.
        model: whom to ask.
        timeout: seconds for each request, its retries included.
        retries: while the server is UNAVAILABLE.
        """
        self._transport = transport
        self._address = address
        self._model = model
        self._timeout = timeout
        self._retries = retries
        self._again = 1

    def close(self) -> None:
        """Ends requests under way, too."""
        self._transport.close()

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str] = (),
        pictures: bool = False,
        again: bool = True,
    ) -> dict[str, Tensor]:
        """The named outputs, or all.

        Args:
          pictures: whether one of those may be at fault.
          again: whether a refusal of what the rows hold is believed only when it comes again: a server that batches
            refuses with a bad row those of other callers, too.
        """
        return self._ask(
            lambda left: self._transport.predict(self._model, signature, inputs, outputs, left), pictures, again
        )

    def classify(
        self, signature: str, examples: Sequence[Features], again: bool = True
    ) -> list[list[tuple[str, float]]]:
        """For each example its classes and their scores; `again` as in `predict`."""
        return self._ask(
            lambda left: self._transport.classify(self._model, signature, examples, left), pictures=True, again=again
        )

    def regress(self, signature: str, examples: Sequence[Features]) -> list[float]:
        """A number for each example."""
        return self._ask(lambda left: self._transport.regress(self._model, signature, examples, left), again=True)

    def status(self) -> list[VersionStatus]:
        """The model's versions, newest first."""
        return _sorted(self._ask(lambda left: self._transport.status(self._model, left)))

    def status_once(self, timeout: float) -> list[VersionStatus]:
        """The same by one try of so many seconds at most."""
        timeout = min(timeout, self._timeout)
        try:
            return _sorted(self._transport.status(self._model, timeout))
        except TransportError as refusal:
            raise to_serving_error(refusal, RequestContext(self._address, self._model.name, timeout)) from refusal

    def _ask(self, call: Callable[[float], Answer], pictures: bool = False, again: bool = False) -> Answer:
        try:
            return self._of_its_own(call) if again else persistently(call, self._timeout, self._retries)
        except TransportError as refusal:
            raise to_serving_error(refusal, RequestContext(self._address, self._model.name, self._timeout, pictures)) from refusal
        except (SkewlessError, MemoryError):
            raise
        except Exception as error:  # of a library below, which can be anything: what was given does not fit its types
            words = op_message(str(error)) or "no words"
            raise InvalidRequest(
                f"no such request can be made: {type(error).__name__}: {words}", hint=SIGNATURE
            ) from error

    def _of_its_own(self, call: Callable[[float], Answer]) -> Answer:
        """Raises a refusal of what the rows hold only when it came again; more often where it once did not."""
        refusals = 0
        while True:
            try:
                answer = persistently(call, self._timeout, self._retries)
            except TransportError as refusal:
                if not refusal.of_rows or refusals == self._again:
                    raise
                refusals += 1
                time.sleep(refusals * random.uniform(*PAUSE_S))  # not in step with whoever was in this batch, too
            else:
                if refusals:
                    self._again = AGAIN_AMONG_OTHERS
                return answer


def _sorted(versions: list[VersionStatus]) -> list[VersionStatus]:
    return sorted(versions, key=lambda version: -version.version)
