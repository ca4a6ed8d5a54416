"""`skewless run` and `skewless demo`: run a task and print the progress on the terminal."""

from __future__ import annotations

import contextlib
import datetime
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from components.task import overrides
from data.errors import QualityError, SkewError, SkewlessError
from data.files.remote import is_remote
from data.spec import Image
from pipeline.commands.compile import check_installed
from pipeline.next_steps import (
    NextStep,
    after_push,
    find_picture,
    next_lines,
    option_words,
    print_next,
    root_words,
    skewless_command,
)
from pipeline.paths import Paths, absolute_path, check_data, check_root, local_folder
from pipeline.registry import hidden_modules, resolve_task
from pipeline.report.notebook import NotebookConsole, in_notebook
from pipeline.report.quiet import TerminalConsole, logged_to
from pipeline.report.waiting import Waiting
from pipeline.runners import beam
from pipeline.runners.local.quick_imports import quick_imports
from pipeline.setting_names import SETTING_NAMES

if TYPE_CHECKING:
    from pipeline.report.record import RunRecord

# Parts of a task that may be objects of the user's. Other settings are the same in all tasks: a wrong name is found
# before TensorFlow is loaded.
_OPEN_PARTS = ("source", "feature", "model", "label", "augment")


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
    """The console that writes to the terminal, the run's id, and the log that gets all other output.

    Attributes:
      console: On the terminal.
      run_id: Name of the run.
      log: Path of the log.
      path: Import path of the task; "" if a compiled file names it.
      settings: Text by setting, of `RunOptions.assignments`.
    """

    console: Console
    run_id: str
    log: str
    path: str
    settings: Mapping[str, str]


def run_task(options: RunOptions) -> RunRecord:
    """Run a task and print its result."""
    with terminal(options) as out:
        record, steps = _run(options, out)
        print_next(out.console, steps)
        return record


def demo_task(options: RunOptions) -> None:
    """Run a task, serve it, and predict held-out pictures."""
    with terminal(options) as out:
        record, steps = _run(options, out)
        from pipeline.commands.demo import ask_held_out

        ask_held_out(record, out.console)
        own = NextStep("skewless new NAME --data DIR", "a task for pictures of yours, in one subfolder per class")
        print_next(out.console, [*steps[:2], own])


@contextlib.contextmanager
def terminal(options: RunOptions) -> Iterator[Terminal]:
    """Send all output except the console's to a log; errors name the log.

    Raises:
      UsageError: If there is no such task or setting, or nothing can be written below the root.
      DataError: If there is no such data folder.
    """
    path, settings, root = "", overrides.parse_assignments(options.assignments), options.root
    if options.task:
        path = resolve_task(options.task)
        known = [one for one in settings if one.partition(".")[0] not in _OPEN_PARTS]
        overrides.check_settings(known, SETTING_NAMES)
    if options.task and options.data is not None:
        check_data(options.data)
    check_root(root)
    run_id = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    log = Path(local_folder(absolute_path(root)), "logs", f"{run_id}.log").absolute()
    try:
        with logged_to(log) as stream:
            console = NotebookConsole() if in_notebook() else TerminalConsole(stream)
            yield Terminal(console, run_id, str(log), path, settings)
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


def _run(options: RunOptions, out: Terminal) -> tuple[RunRecord, list[NextStep]]:
    """Run a task and print the summary; return the record, and what to do next."""
    beam_args, console = beam_arguments(options, out.path), out.console
    print_log(out)
    with console.status(Waiting("loading TensorFlow and TFX")):
        with quick_imports():
            from components.task.reference import TaskReference
            from pipeline.report.summary import print_summary
            from pipeline.runners.local.run import run_pipeline

        reference = TaskReference(out.path, out.settings)
        task = reference.load()
        paths = Paths(absolute_path(options.root), task.name)
    print_metadata(options, paths, console)
    with next_in_hint(options, task.name):
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
    picture = find_picture(record.data_folder) if isinstance(task.feature, Image) else ""
    return record, after_push(task.name, options.root, picture)


@contextlib.contextmanager
def next_in_hint(options: RunOptions, task: str) -> Iterator[None]:
    """Name in the error of a run that ends without a pushed model what to do next.

    Args:
      options: Of the run.
      task: Name of the task.
    """
    try:
        yield
    except (QualityError, SkewError) as error:
        lines = next_lines(_after_rejection(options, task, isinstance(error, SkewError)))
        error.hint = "\n".join(filter(None, [error.hint, *lines]))
        raise
    except KeyboardInterrupt as error:
        lines = next_lines([NextStep(repeat_command("run", options), "go on")])
        raise KeyboardInterrupt("\n".join([str(error), *lines])) from None


def _after_rejection(options: RunOptions, task: str, differs: bool) -> list[NextStep]:
    report = NextStep(skewless_command("report", task, *root_words(options.root)), "what the model gets wrong")
    if differs:
        words = option_words(None, options.metadata, options.root)
        return [NextStep(skewless_command("skew", options.task, *words), "which routes differ, and why"), report]
    over = "--over", "train.learning_rate=1e-4..1e-2:log"
    return [report, NextStep(repeat_command("tune", options, *over), "search for better settings")]


def repeat_command(name: str, options: RunOptions, *more: str) -> str:
    """Return a command line with the task and all options of a run.

    Args:
      name: Of the command.
      options: Of the run.
      *more: Words after the task.
    """
    words = [name, options.task, *more, *option_words(options.data, options.metadata, options.root)]
    for assignment in options.assignments:
        words += ["--set", assignment]
    words += ["--beam-runner", options.beam_runner] if options.beam_runner != "direct" else []
    for argument in options.beam_args:
        words.append(f"--beam-arg={argument}")  # it begins with --
    return skewless_command(*words)


def beam_arguments(options: RunOptions, path: str) -> list[str]:
    """Return Beam's arguments, checked before TensorFlow is loaded; a worker's container must have the task, too."""
    folders = {"--root": options.root, "--data": options.data}
    found = beam.runner_arguments(options.beam_runner, options.beam_args, folders)
    if beam.NO_CONTAINER not in found:
        check_installed(path)
    beam.check_endpoint(options.beam_args)
    return found
