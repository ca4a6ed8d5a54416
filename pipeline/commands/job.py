"""`skewless job`: a run on Vertex AI or Kubeflow by its address; looked at, waited for, or stopped."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data.errors import SkewlessError, UsageError
from pipeline.report.display import Display
from pipeline.report.quiet import quiet_console
from pipeline.runners.remote.backend import Backend, JobStatus
from pipeline.runners.remote.follow import follow_run, show_status
from pipeline.runners.remote.kubeflow import Kubeflow, host_of
from pipeline.runners.remote.vertex import Vertex, VertexLocation

INTERRUPTED = 130
_PACKAGES = {"vertex": "google.cloud.aiplatform_v1", "kubeflow": "kfp"}


@dataclass(frozen=True)
class JobOptions:
    """What a user asked for, as it was typed.

    Attributes:
      address: of the run's or the schedule's page in the console; for Vertex AI its resource name, too.
      wait, cancel: look until it ends; stop it.
      poll: seconds between two looks.
      timeout: seconds to wait; None: as long as it takes.
      api_endpoint: of Vertex AI; the region's own by default.
      token, token_file: for Kubeflow.
    """

    address: str
    wait: bool = False
    cancel: bool = False
    poll: float = 10.0
    timeout: float | None = None
    api_endpoint: str = ""
    token: str = ""
    token_file: str = ""


def show_job(options: JobOptions) -> int:
    """Prints how the run is; see `JobOptions`.

    Returns:
      The exit status: 0, or 130 after Ctrl-C.

    Raises:
      UsageError: the address names no run.
      SkewlessError: the run has failed or was cancelled (by somebody else), or has not ended in time.
      ServingError: the service does not answer, or refuses.
    """
    vertex = VertexLocation.parse(options.address)
    address = str(vertex) if vertex else options.address
    host = host_of(address)
    if not vertex and not host:
        raise UsageError(f"{address} is no address of a run", hint="Give the one that `skewless submit` printed.")
    check_client("vertex" if vertex else "kubeflow")
    with quiet_console() as console, console.status("connecting"):
        backend: Backend
        if vertex:
            backend = Vertex(vertex.region, vertex.project, options.api_endpoint)
        else:
            token, file = tokens(options.token, options.token_file)
            backend = Kubeflow(host, token=token, token_file=file)
        status = backend.status(address)
        stopped = options.cancel and not status.ended
        if stopped:
            backend.cancel(address)
            console.print("asked to stop")
        elif options.cancel:
            console.print("nothing to stop: it has ended")
    if options.wait and status.state not in ("scheduled", "paused"):
        return watch(backend, address, options.poll, options.timeout, stopped)
    if not stopped:
        with Display(Console(highlight=False, soft_wrap=True)) as display:
            show_status(status, display, set())
        conclude(status, address, options.cancel)
    return 0


def watch(backend: Backend, address: str, poll: float, timeout: float | None, stopped: bool = False) -> int:
    """Shows a run until it ends. Ctrl-C ends the showing, not the run.

    Args:
      stopped: it was asked to stop, so that its being cancelled is no failure.
    """
    try:
        with quiet_console() as console:
            status = follow_run(lambda: backend.status(address), console, poll, timeout)
    except KeyboardInterrupt:
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        errors.print(f"interrupted; the run goes on\n[dim]{escape(follow_up(address))}[/]")
        return INTERRUPTED
    except SkewlessError as error:
        error.hint = f"{error.hint}\nThe run goes on.\n{follow_up(address)}".strip()
        raise
    conclude(status, address, stopped)
    return 0


def conclude(status: JobStatus, address: str, stopped: bool) -> None:
    """Says how the run is.

    Raises:
      SkewlessError: it has failed, or was cancelled without having been `stopped` from here.
    """
    if status.state == "failed":
        failed = [
            f"{one.name} failed: {one.message or 'no reason given'}" for one in status.steps if one.state == "failed"
        ]
        raise SkewlessError("; ".join(failed) or f"the run failed: {status.message}", hint=f"Logs: {address}")
    if status.state == "cancelled" and not stopped:
        raise SkewlessError("the run was cancelled", hint=f"Logs: {address}")
    Console(highlight=False, soft_wrap=True).print(f"{status.state:<10}{escape(status.message)}".strip())


def follow_up(address: str) -> str:
    """How to look at a run or to stop it; quoted, since shells have a use of their own for ? and #."""
    return f"Look:  skewless job '{address}' --wait\nStop:  skewless job '{address}' --cancel"


def tokens(token: str, token_file: str) -> tuple[str, str]:
    """The token, or the file that holds it; from the environment, where kfp looks for them, if neither is given.

    Raises:
      UsageError: both are given, or the file cannot be read.
    """
    if token and token_file:
        raise UsageError("--token and --token-file: give one of them")
    if not token and not token_file:
        token = os.environ.get("KFP_EXISTING_TOKEN", "")
        token_file = "" if token else os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", "")
    if token_file:
        try:
            Path(token_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {token_file}: {getattr(error, 'strerror', error)}") from None
    return token, token_file


def check_client(target: str) -> None:
    """Sees that the target's own client is there.

    Raises:
      UsageError: it is not.
    """
    name = _PACKAGES[target]
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # of a parent package
        found = None
    if found is None:
        raise UsageError(f"{name} is not installed", hint=f"pip install 'skewless[{target}]'")
