"""`skewless job`: show, wait for or cancel a run on Vertex AI or Kubeflow."""

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
from pipeline.report.waiting import Waiting
from pipeline.runners.remote.backend import Backend, JobStatus
from pipeline.runners.remote.follow import follow_run, show_status
from pipeline.runners.remote.kubeflow import Kubeflow, host_of
from pipeline.runners.remote.vertex import Vertex, VertexLocation

INTERRUPTED = 130
_PACKAGES = {"vertex": "google.cloud.aiplatform_v1", "kubeflow": "kfp"}


@dataclass(frozen=True)
class JobOptions:
    """The options of `skewless job`.

    Attributes:
      address: Address of the page of the run or schedule in the console; for Vertex AI also its resource name.
      wait: Show the run until it ends.
      cancel: Cancel the run, or pause the schedule.
      poll: Seconds between two requests for the status.
      timeout: Seconds to wait at most; None for no limit.
      api_endpoint: Endpoint of Vertex AI; the default is the region's.
      token, token_file: For Kubeflow.
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
    """Print the status of a run; wait for it or cancel it as the options say.

    Returns:
      The exit status: 0, or 130 after Ctrl-C.

    Raises:
      UsageError: If the address is not that of a run.
      SkewlessError: If the run failed, somebody else cancelled it, or it does not end in time.
      ServingError: If the service does not answer or refuses.
    """
    vertex = VertexLocation.parse(options.address)
    address = str(vertex) if vertex else options.address
    host = host_of(address)
    if not vertex and not host:
        raise UsageError(f"{address} is not the address of a run", hint="Give the one that `skewless submit` printed.")
    check_client("vertex" if vertex else "kubeflow")
    with quiet_console() as console, console.status(Waiting("connecting")):
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
            console.print("cancelling")
        elif options.cancel:
            console.print("nothing to cancel: the run has ended")
    if options.wait and status.state not in ("scheduled", "paused"):
        return watch(backend, address, options.poll, options.timeout, stopped)
    if not stopped:
        with Display(Console(highlight=False, soft_wrap=True)) as display:
            show_status(status, display, set())
        conclude(status, address, options.cancel)
    return 0


def watch(backend: Backend, address: str, poll: float, timeout: float | None, stopped: bool = False) -> int:
    """Show a run until it ends; Ctrl-C stops the display, not the run.

    Args:
      backend: Connection to the platform.
      address: Address of the run.
      poll: Seconds between two requests for the status.
      timeout: Seconds to wait at most; None for no limit.
      stopped: Whether this command cancelled the run, so that "cancelled" is the expected end.

    Returns:
      The exit status: 0, or 130 after Ctrl-C.
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
    """Print the state of the run.

    Raises:
      SkewlessError: If it failed, or somebody else cancelled it.
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
    """Return the commands that show or cancel a run; quoted, because ? and # are special to shells."""
    return f"Show:    skewless job '{address}' --wait\nCancel:  skewless job '{address}' --cancel"


def tokens(token: str, token_file: str) -> tuple[str, str]:
    """Return the token and the file that holds it; without options, those of kfp's own variables.

    Raises:
      UsageError: If both are given, or the file cannot be read.
    """
    if token and token_file:
        raise UsageError("--token and --token-file exclude each other", hint="Leave one of them out.")
    if not token and not token_file:
        token = os.environ.get("KFP_EXISTING_TOKEN", "")
        token_file = "" if token else os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", "")
    if token_file:
        try:
            Path(token_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", error)
            hint = "Give the file of the token with --token-file FILE."
            raise UsageError(f"cannot read {token_file}: {reason}", hint=hint) from None
    return token, token_file


def check_client(target: str) -> None:
    """Check that the target's client is installed.

    Raises:
      UsageError: If it is not.
    """
    name = _PACKAGES[target]
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a parent package is missing
        found = None
    if found is None:
        raise UsageError(f"the package {name} is not installed", hint=f"Install it: pip install 'skewless[{target}]'")
