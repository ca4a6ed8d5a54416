"""What `skewless submit` and `skewless job` ask of a place where runs go on, and what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from data.errors import ServingError

JobState = Literal["waiting", "running", "succeeded", "cached", "failed", "cancelled", "scheduled", "paused"]
ENDED: tuple[JobState, ...] = ("succeeded", "cached", "failed", "cancelled")
FILE_REFUSED = "Compile it again with this version of Skewless, and look at --set, --name and --schedule."
_WORDS = 400


class Unreachable(ServingError):
    """No answer, or the service's own fault: asking again may help."""


@dataclass(frozen=True)
class JobPlan:
    """What is submitted.

    Attributes:
      spec: JSON of the PipelineSpec.
      root: URI of the pipeline root.
      name: of the run, or of the schedule.
      parameters: all run parameters.
      labels: of the job; Vertex AI alone has them.
      cron: when it shall run, as the service writes it; empty for at once.
    """

    spec: Mapping[str, Any]
    root: str
    name: str
    parameters: Mapping[str, Any]
    labels: Mapping[str, str]
    cron: str = ""


@dataclass(frozen=True)
class JobStep:
    """A component of a run: its state, how long it took in seconds, and why it failed."""

    name: str
    state: JobState
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class JobStatus:
    """A run at a moment; the steps in their order, as far as they are known."""

    state: JobState
    steps: tuple[JobStep, ...] = ()
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


class Backend(Protocol):
    """A connection to Vertex AI or Kubeflow. A run is named by its address in the console.

    Raises:
      Unreachable: no answer.
      ServingError: it refuses the credentials or the request; there is no such run.
    """

    def check(self, plan: JobPlan) -> None:
        """Sees what can be known to go wrong before anything is submitted."""

    def submit(self, plan: JobPlan) -> str:
        """Starts a run, or makes a schedule.

        Returns:
          Its address.
        """

    def status(self, address: str) -> JobStatus:
        """Looks at a run or a schedule."""

    def cancel(self, address: str) -> None:
        """Asks a run to stop, or a schedule to start no more runs."""


def error_of_status(service: str, code: int, words: str, shown: str, hints: Mapping[int, str]) -> ServingError:
    """What an HTTP status of 400 or above means.

    Args:
      service: who answered.
      code: the status.
      words: its reason.
      shown: what the request was made with: "token".
      hints: by status.
    """
    if code >= 500:
        return Unreachable(f"{service} has an error of its own ({code}): {words}", hint="Try again later.")
    verb = f"does not accept the {shown}" if code == 401 else "refuses"
    return ServingError(f"{service} {verb} ({code}): {words}", hint=hints.get(code, ""))


def sort_by_start(details: Iterable[Any]) -> list[Any]:
    """What a service tells of its tasks, in the order in which they began; those that have not come last."""
    return sorted(details, key=lambda one: one.start_time.timestamp() if one.start_time else math.inf)


def duration_seconds(detail: Any) -> float:
    """How long a task took; 0 where it has not ended."""
    return (detail.end_time - detail.start_time).total_seconds() if detail.end_time and detail.start_time else 0.0


def shorten_to_line(text: str) -> str:
    """A service's words, which may be a page, as a part of one line."""
    words = " ".join(text.split())
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}..."


def task_names(spec: Any) -> list[str]:
    """Names of the tasks of a PipelineSpec in JSON; none, where a service tells none."""
    return list(((spec or {}).get("root") or {}).get("dag", {}).get("tasks", {}))
