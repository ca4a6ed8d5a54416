"""`skewless` without a command: what to do next in this folder. Loads no TensorFlow."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data.files.remote import is_remote
from pipeline.next_steps import NextStep, print_next, skewless_command
from pipeline.paths import DEFAULT_ROOT, Paths, absolute_path
from pipeline.registry import task_modules
from pipeline.report.run_files import RECORD, RunFile, is_active, read_run

_HELP = NextStep(skewless_command("--help"), "all commands")
_ENDS = {
    "pushed": "pushed a model",
    "unchanged": "changed nothing",
    "not pushed": "pushed no model",
    "failed": "failed",
    "interrupted": "was interrupted",
}


def print_start(folder: str, console: Console | None = None) -> None:
    """Print where the user is, and at most three commands.

    Args:
      folder: The current folder.
      console: Where to print; stdout if None.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    run, module = _latest_run(), _latest_module(folder)
    if module and (run is None or module.stat().st_mtime > os.path.getmtime(run.path)):
        console.print(f"{escape(module.name)} has a task; it has not run since it was written")
        steps = [_run_step(module.stem), NextStep(skewless_command("tune", "--help"), "search for its settings"), _HELP]
    elif run is not None:
        console.print(escape(_describe(run)))
        steps = _steps_after(run)
    else:
        console.print("nothing has run in this folder yet")
        steps = [
            NextStep(skewless_command("demo"), "train, serve and ask a model of digits: a minute, offline"),
            NextStep("skewless new NAME --data DIR", "write a task for pictures in one subfolder per class"),
            _HELP,
        ]
    print_next(console, steps)


def _latest_run() -> RunFile | None:
    """Return the latest run of any task in the usual root."""
    if is_remote(DEFAULT_ROOT):
        return None
    files = glob.glob(os.path.join(glob.escape(absolute_path(DEFAULT_ROOT)), "*", RECORD))
    return read_run(max(files, key=os.path.getmtime)) if files else None


def _latest_module(folder: str) -> Path | None:
    return max((Path(folder, f"{name}.py") for name in task_modules(folder)), key=os.path.getmtime, default=None)


def _describe(run: RunFile) -> str:
    found = run.found
    if run.problem:
        return f"{run.path}: {run.problem}"
    end = "is running" if _is_running(run) else _ENDS.get(str(found.get("status")), "did not end")
    about = f"the last run of {found['task']} {end}"
    version = (found.get("pushed") or {}).get("version")
    return f"{about}: " + (
        f"version {version} is served" if version else found.get("error") or str(found.get("run_id"))
    )


def _is_running(run: RunFile) -> bool:
    """Return whether a run goes on; one that was killed keeps the status "running"."""
    return run.found.get("status") == "running" and is_active(Paths(absolute_path(DEFAULT_ROOT), _task(run)))


def _task(run: RunFile) -> str:
    return str(run.found.get("task", run.run_id))


def _steps_after(run: RunFile) -> list[NextStep]:
    task = _task(run)
    report = NextStep(skewless_command("report", task), "its page")
    if run.found.get("pushed"):
        serve = NextStep(skewless_command("serve", task), "gRPC on localhost:8500, until Ctrl-C")
        return [report, serve, _run_step(task)]
    return [report, _HELP] if _is_running(run) else [report, _run_step(task), _HELP]


def _run_step(task: str) -> NextStep:
    return NextStep(skewless_command("run", task), "train, evaluate, prove and push it")
