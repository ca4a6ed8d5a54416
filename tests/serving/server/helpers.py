"""Steps that the server's tests share: publish a version, expect a refusal, wait for a condition."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest


def publish(model: Path, base: Path, number: int) -> None:
    """Copy a SavedModel to a temporary name and rename it, as the Pusher does."""
    base.mkdir(exist_ok=True)
    shutil.copytree(model, base / f".pushing-{number}")
    (base / f".pushing-{number}").rename(base / str(number))


def refused(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    """Expect that an RPC fails, and return its code and text."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **options)
    return caught.value.code(), caught.value.details()


def wait_until(condition: Callable[[], bool], state: Callable[[], object] = lambda: "", timeout_s: float = 60) -> None:
    """Wait until a condition holds.

    Args:
      condition: the condition to check.
      state: returns the current state, for the error.
      timeout_s: seconds after which the wait fails.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"still {state()}"
        time.sleep(0.02)
