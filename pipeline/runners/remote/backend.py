"""The interface of `skewless submit` and `skewless job` to a platform: plans, runs, states and errors.

It is our own, because the two clients that it wraps (google-cloud-aiplatform, kfp) have no common interface, and their
errors are not for a terminal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from data.errors import ServingError

JobState = Literal["waiting", "running", "succeeded", "cached", "failed", "cancelled", "scheduled", "paused"]
ENDED: tuple[JobState, ...] = ("succeeded", "cached", "failed", "cancelled")
FILE_REJECTED = "Compile it again with this version of Skewless, and check --set, --name and --schedule."
_LONGEST = 400  # characters of a service's message


class Unreachable(ServingError):
    """No answer, or an error of the service itself: a later request may succeed."""


@dataclass(frozen=True)
class JobPlan:
    """A run or a schedule to submit.

    Attributes:
      spec: JSON of the PipelineSpec.
      root: URI of the pipeline root.
      name: Name of the run, or of the schedule.
      parameters: All run parameters.
      labels: Labels of the job; Vertex AI only.
      cron: Times of a schedule in the service's format; empty for a run that starts now.
    """

    spec: Mapping[str, Any]
    root: str
    name: str
    parameters: Mapping[str, Any]
    labels: Mapping[str, str]
    cron: str = ""


@dataclass(frozen=True)
class JobStep:
    """A component of a run: its name, its state, its duration in seconds, and why it failed."""

    name: str
    state: JobState
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class JobStatus:
    """The state of a run at one moment, and its known steps in their order."""

    state: JobState
    steps: tuple[JobStep, ...] = ()
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in ENDED


class Backend(Protocol):
    """A connection to Vertex AI or Kubeflow. A run is identified by its address in the console.

    All methods raise `Unreachable` if the service does not answer, and `ServingError` if it rejects the credentials or
    the request, or does not know the run.
    """

    def check(self, plan: JobPlan) -> None:
        """Check a plan before anything is submitted."""

    def submit(self, plan: JobPlan) -> str:
        """Start a run, or create a schedule.

        Returns:
          Its address in the console.
        """

    def status(self, address: str) -> JobStatus:
        """Return the status of a run or a schedule."""

    def cancel(self, address: str) -> None:
        """Cancel a run, or pause a schedule."""


def error_of_status(service: str, code: int, reason: str, identity: str, hints: Mapping[int, str]) -> ServingError:
    """Return the error for an HTTP status of 400 or above.

    Args:
      service: Name of the service that answered.
      code: The status.
      reason: The service's message.
      identity: What the request was authorized with: "token".
      hints: Hints by status.
    """
    if code >= 500:
        return Unreachable(f"{service} has an internal error ({code}): {reason}", hint="Try again later.")
    verb = f"does not accept the {identity}" if code == 401 else "rejects the request"
    return ServingError(f"{service} {verb} ({code}): {reason}", hint=hints.get(code, ""))


def connection_error(service: str, error: BaseException) -> Unreachable:
    """Return the error for a request that got no answer.

    Args:
      service: Name or address of the service.
      error: Exception of a client. Libraries wrap "Connection refused" in up to three exceptions; the innermost reason
        becomes the message.
    """
    text = str(getattr(error, "reason", None) or error)
    for pattern in (r"\[Errno -?\d+\] [^'\")\]]+", r"timed out", r"CERTIFICATE_VERIFY_FAILED[^'\")]*"):
        found = re.search(pattern, text)
        if found:
            return Unreachable(f"cannot reach {service}: {found[0].strip()}")
    return Unreachable(f"cannot reach {service}: {shorten_to_line(re.sub('^<[^>]*>: ', '', text))}")


def sort_by_start(details: Iterable[Any]) -> list[Any]:
    """Return a service's details of tasks in the order of their start; those that have not started are last."""
    return sorted(details, key=lambda one: one.start_time.timestamp() if one.start_time else math.inf)


def duration_seconds(detail: Any) -> float:
    """Return the duration of a task; 0 if it has not ended."""
    return (detail.end_time - detail.start_time).total_seconds() if detail.end_time and detail.start_time else 0.0


def shorten_to_line(text: str) -> str:
    """Return a service's message, which may be a page of text, as at most 400 characters on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def task_names(spec: Any) -> list[str]:
    """Return the names of the tasks of a PipelineSpec in JSON; an empty list if there is no PipelineSpec."""
    return list(((spec or {}).get("root") or {}).get("dag", {}).get("tasks", {}))
