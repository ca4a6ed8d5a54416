"""The address of a tf.data service, checked without TensorFlow."""

from __future__ import annotations

import re

from data.errors import UsageError

_ADDRESS = re.compile(r"grpc://([^:/\s]+:\d+)")


def host_port(address: str) -> str:
    """Return HOST:PORT of `grpc://HOST:PORT`.

    Raises:
      UsageError: If the address has another form.
    """
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise UsageError(
            f"train.data_service must be grpc://HOST:PORT, got '{address}'",
            hint="Give the dispatcher's address. Start one: python -m data.input.service dispatcher --port 5050",
        )
    return match[1]
