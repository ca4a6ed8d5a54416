"""`skewless run` and `skewless demo`: run a task and print the progress on the terminal."""

from __future__ import annotations

import contextlib
import datetime
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from components.task import overrides
from data.errors import SkewlessError
from data.files.remote import is_remote
from pipeline.commands.compile import check_installed
from pipeline.paths import Paths, absolute_path, check_root, local_folder
from pipeline.registry import hidden_modules, resolve_task
from pipeline.report.quiet import logged_to
from pipeline.runners import beam
from pipeline.runners.local.quick_imports import quick_imports

if TYPE_CHECKING:
    from pipeline.report.record import RunRecord


@dataclass(frozen=True)
class RunOptions:
    """The options of `skewless run`.

    Attributes:
      task: Name or import path; may be empty if a compiled file names it.
      data: The data folder; None for a task with its own data.
      root: Folder for everything that runs write.
      assignments: Settings as KEY=VALUE.
      beam_runner: Runner of the Beam steps.
      beam_args: Arguments in addition to the runner's defaults.
      metadata: Where to keep ML Metadata; None for a file in the task's folder.
    """

    task: str
    data: str | None
    root: str
    assignments: Sequence[str] = ()
    beam_runner: beam.Name = "direct"
    beam_args: Sequence[str] = ()
    metadata: str | None = None


@dataclass(frozen=True)
class Terminal:
    """The console that writes to the terminal, the run's id, and the log that gets all other output."""

    console: Console
    run_id: str
    log: str


def run_task(options: RunOptions) -> RunRecord:
    """Run a task and print its result."""
    with terminal(options.root) as out:
        return _run(options, out)


def demo_task(options: RunOptions) -> None:
    """Run a task, serve it, and predict held-out pictures."""
    with terminal(options.root) as out:
        record = _run(options, out)
        from pipeline.commands.demo import ask_held_out

        ask_held_out(record, out.console)


@contextlib.contextmanager
def terminal(root: str) -> Iterator[Terminal]:
    """Send all output except the console's to a log; errors name the log.

    Raises:
      UsageError: If nothing can be written below the root.
    """
    check_root(root)
    run_id = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    log = Path(local_folder(absolute_path(root)), "logs", f"{run_id}.log").absolute()
    try:
        with logged_to(log) as stream:
            yield Terminal(Console(file=stream, highlight=False, soft_wrap=True), run_id, str(log))
    except SkewlessError as error:
        error.hint = f"{error.hint}\nlog: {log}".strip()
        raise
    except Exception as error:
        with log.open("a") as file:
            traceback.print_exc(file=file)
        raise SkewlessError(f"{type(error).__name__}: {error}", hint=f"log: {log}") from error


def print_log(out: Terminal) -> None:
    """Print where the log is, and which modules a task cannot import."""
    out.console.print(f"[dim]log  {out.log}[/]")
    for hidden in hidden_modules(os.getcwd()).values():
        out.console.print(
            f"[yellow]note[/] {escape(hidden)} has the name of a package of Skewless: a task cannot import it"
        )


def print_metadata(options: RunOptions, paths: Paths, console: Console) -> None:
    """Print where ML Metadata is, if it cannot be in the root."""
    if is_remote(paths.root) and not options.metadata:
        console.print(f"[dim]metadata  {paths.metadata}: SQLite cannot write to {paths.root}[/]")


def _run(options: RunOptions, out: Terminal) -> RunRecord:
    path, values = resolve_task(options.task), overrides.parse_assignments(options.assignments)
    beam_args = beam_arguments(options, path)
    console = out.console
    print_log(out)
    with console.status("loading TensorFlow and TFX"):
        with quick_imports():
            from components.task.reference import TaskReference
            from pipeline.report.summary import print_summary
            from pipeline.runners.local.run import run_pipeline

        reference = TaskReference(path, values)
        paths = Paths(absolute_path(options.root), reference.load().name)
    print_metadata(options, paths, console)
    record = run_pipeline(
        reference,
        data=options.data,
        paths=paths,
        beam_args=beam_args,
        run_id=out.run_id,
        log_file=out.log,
        console=console,
        metadata=options.metadata,
    )
    print_summary(record, paths, console)
    return record


def beam_arguments(options: RunOptions, path: str) -> list[str]:
    """Return Beam's arguments, checked before TensorFlow is loaded; a worker's container must have the task, too."""
    folders = {"--root": options.root, "--data": options.data}
    found = beam.runner_arguments(options.beam_runner, options.beam_args, folders)
    if beam.NO_CONTAINER not in found:
        check_installed(path)
    beam.check_endpoint(options.beam_args)
    return found
