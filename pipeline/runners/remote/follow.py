"""Waiting for a run on a platform: a line for each component that ended, and a spinner with what runs now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from data.errors import SkewlessError
from pipeline.report.display import Display
from pipeline.runners.remote.backend import JobStatus, JobStep, Unreachable

PATIENCE = 300.0
"""Seconds without an answer until the waiting ends: a service may restart."""
_MARKS = {"succeeded": "executed", "cached": "cached", "failed": "failed"}  # the states of a Display


def follow_run(ask: Callable[[], JobStatus], console: Console, poll: float, timeout: float | None) -> JobStatus:
    """Wait until a run has ended.

    Args:
      ask: Returns the status of the run.
      console: Where to show the components.
      poll: Seconds between two requests.
      timeout: Seconds to wait at most; None for no limit.

    Returns:
      The last status.

    Raises:
      SkewlessError: If the run has not ended within the timeout.
      ServingError: If the service rejects a request, or has not answered for `PATIENCE` seconds.
    """
    begin = answered = time.monotonic()
    shown: set[str] = set()
    with Display(console) as display:
        while True:
            try:
                status = ask()
            except Unreachable as error:
                if time.monotonic() - answered > PATIENCE:
                    raise
                display.started(f"no answer, retrying: {escape(str(error))}")
            else:
                answered = time.monotonic()
                show_status(status, display, shown)
                if status.ended:
                    return status
            left = math.inf if timeout is None else begin + timeout - time.monotonic()
            if left <= 0:
                raise SkewlessError(f"the run has not ended within {timeout:g} seconds")
            time.sleep(min(poll, left))


def show_status(status: JobStatus, display: Display, shown: set[str]) -> None:
    """Print the steps that have ended since the last call, and show the running ones.

    Args:
      status: The current status.
      display: The terminal.
      shown: Names of the steps that were printed; the new ones are added.
    """
    display.align(step.name for step in status.steps)
    for step in status.steps:
        if step.state in _MARKS and step.name not in shown:
            shown.add(step.name)
            display.done(step.name, _MARKS[step.state], _why(step), step.seconds)
    running = [step.name for step in status.steps if step.state == "running"]
    display.started(", ".join(running) or status.state)


def _why(step: JobStep) -> str:
    return step.message or {"cached": "from an earlier run"}.get(step.state, "")
