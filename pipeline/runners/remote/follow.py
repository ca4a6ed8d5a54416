"""Waiting for a run to end: a line for each component that is done, and what is going on now."""

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
"""Seconds without an answer before the waiting is given up: a service may be restarted in the meantime."""
_MARKS = {"succeeded": "executed", "cached": "cached", "failed": "failed"}  # what Display calls them


def follow_run(ask: Callable[[], JobStatus], console: Console, poll: float, timeout: float | None) -> JobStatus:
    """Asks every `poll` seconds, for at most `timeout` seconds, until the run has ended.

    Raises:
      SkewlessError: it has not ended within the time.
      ServingError: the service refuses to tell, or has not answered for `PATIENCE` seconds.
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
                display.started(f"no answer, asking again: {escape(str(error))}")
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
    """Prints the steps that have ended since the last time; `shown` gets their names."""
    display.align(step.name for step in status.steps)
    for step in status.steps:
        if step.state in _MARKS and step.name not in shown:
            shown.add(step.name)
            display.done(step.name, _MARKS[step.state], _why(step), step.seconds)
    running = [step.name for step in status.steps if step.state == "running"]
    display.started(", ".join(running) or status.state)


def _why(step: JobStep) -> str:
    return step.message or {"cached": "from an earlier run"}.get(step.state, "")
