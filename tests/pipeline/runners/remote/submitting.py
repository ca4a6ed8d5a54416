"""Shared by the tests of `skewless submit`: compiled files, and the command line in this process and in others."""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.task.reference import TaskReference
from pipeline.cli import cli, report_errors
from pipeline.commands.compile import write_compiled
from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline
from tests.pipeline.conftest import COMMAND, PROJECT, environment

LINE = "pipeline.tasks.linear_regression:TASK"
SUFFIXES = {"vertex": "json", "kubeflow": "yaml"}


@functools.lru_cache
def _job(target: Any) -> str:
    labels = {"team": "flowers"} if target == "vertex" else {}
    return json.dumps(
        compile_pipeline(TaskReference(LINE), PlatformOptions(target, "host/image:1", "gs://b/root", labels=labels))
    )


def job_of(target: str) -> dict[str, Any]:
    """Compile the linear regression; its `data` must be given at submission."""
    return json.loads(_job(target))


def compiled_file(folder: Path, target: str, job: dict[str, Any] | None = None) -> str:
    """Write it, or a changed one, as `skewless compile` does."""
    file = str(folder / f"line.{SUFFIXES[target]}")
    write_compiled(job or job_of(target), file, target)
    return file


@dataclass(frozen=True)
class CommandResult:
    """What a user sees of a command: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    def assert_error(self, status: int, words: str, hint: str = "") -> None:
        """Check the error: one line says what is wrong, the next ones what to do; no traceback."""
        first, _, rest = self.err.partition("\n")
        assert self.status == status, self
        assert first.startswith("error: ") and words in first and hint in rest, self
        assert "Traceback" not in self.err and len(first) < 600

    @property
    def address(self) -> str:
        return next(line.split()[1] for line in self.out.splitlines() if line.startswith("console"))


class Caller:
    """Return a function that calls `skewless` in this process, which saves the imports."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> CommandResult:
        self._capture.readouterr()
        status = 0
        try:
            # The output goes through file descriptors, as in a separate process, not straight to pytest.
            with (
                open(1, "w", closefd=False) as out,
                open(2, "w", closefd=False) as err,
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                report_errors(),
            ):
                sys.exit(cli(list(arguments), standalone_mode=False) or 0)
        except SystemExit as end:
            status = int(end.code or 0)
        return CommandResult(status, *self._capture.readouterr())


@contextlib.contextmanager
def started(*arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Start `skewless` in a separate process, which gets Ctrl-C even if the tests run in the background."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=PROJECT,
        env=environment(**more),
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupted(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """Press Ctrl-C after the SchemaGen has ended.

    Returns:
      The lines until then, and all of stderr.
    """
    assert process.stdout and process.stderr
    seen = [""]
    while not seen[-1].startswith("done   SchemaGen"):
        seen.append(process.stdout.readline())
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    return seen[1:], process.communicate(timeout=60)[1]
