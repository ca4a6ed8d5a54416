"""When the client sends a request again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from serving.client.errors import TransportError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
CONFIRM_PAUSE_S = (0.01, 0.05)
"""Range of the pause before rows are sent again to confirm a refusal. Most servers collect a batch in less time."""
MAX_CONFIRMATIONS = 4
"""How often rows are sent again, once an answer has shown that a refusal was due to the rows of other callers."""
Answer = TypeVar("Answer")


class RetryPolicy:
    """Retries after UNAVAILABLE, and confirms refusals that may be due to the rows of other callers.

    The pause before the n-th retry is drawn from [p/2, p] with p = 0.1 s * 2^(n-1), at most 2 s, so that clients that
    failed at the same time do not return at the same time.

    A server that batches refuses all rows of a batch if one row is bad, whoever sent it. So such a refusal counts only
    if it comes again.

    Attributes:
      timeout: Seconds for a request with its retries. A confirmation is a new request.
    """

    def __init__(self, timeout: float, retries: int) -> None:
        """Set the limits.

        Args:
          timeout: Seconds for a request with its retries; a retry whose pause does not fit is not made.
          retries: Maximum number of retries after UNAVAILABLE.
        """
        self.timeout = timeout
        self._retries = retries
        self._confirmations = 1

    def call(self, send: Callable[[float], Answer], confirm: bool = False) -> Answer:
        """Send a request, and send it again if that may help.

        Args:
          send: Sends the request once, within the given seconds.
          confirm: Whether a refusal of the rows counts only if it comes again.

        Raises:
          TransportError: The last one.
        """
        end = time.monotonic() + self.timeout
        retries = refusals = 0
        while True:
            try:
                answer = send(max(end - time.monotonic(), 0.001))
            except TransportError as error:
                if confirm and error.may_be_due_to_other_rows and refusals < self._confirmations:
                    refusals += 1
                    time.sleep(
                        refusals * random.uniform(*CONFIRM_PAUSE_S)
                    )  # out of step with the sender of the bad row
                    end, retries = time.monotonic() + self.timeout, 0
                    continue
                pause = min(FIRST_PAUSE_S * 2**retries, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
                if error.code != "UNAVAILABLE" or retries == self._retries or time.monotonic() + pause >= end:
                    raise
                retries += 1
                time.sleep(pause)
            else:
                if refusals:
                    self._confirmations = MAX_CONFIRMATIONS
                return answer
