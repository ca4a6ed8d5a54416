"""Redirection of what TensorFlow, TFX and Beam print to a file: thousands of lines in a run, from Python and C++."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.status import Status

from data.silence import redirect_descriptors


class TerminalConsole(Console):
    """Console on the terminal of a process whose other output goes to a log."""

    def __init__(self, file: TextIO) -> None:
        """Create a console that neither marks numbers nor breaks lines: paths and commands can be copied.

        Args:
          file: The terminal.
        """
        super().__init__(file=file, highlight=False, soft_wrap=True)

    def status(self, status: RenderableType, **style: Any) -> Status:
        """Return a status that shows only what it is given."""
        return _QuietStatus(status, console=self, **style)


class _QuietStatus(Status):
    """Status that leaves `sys.stdout` as it is: rich's own shows on the terminal what libraries print meanwhile."""

    def __init__(self, status: RenderableType, *, console: Console, **style: Any) -> None:
        super().__init__(status, console=console, **style)
        self._live = Live(
            self.renderable,
            console=console,
            refresh_per_second=12.5,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[TextIO]:
    """Redirect file descriptors 1 and 2, Python's streams and its logging to a file.

    The streams of a notebook's kernel do not write to these descriptors.

    Args:
      path: Of the file. It is created with its folder; an existing one is continued.

    Yields:
      A stream to the terminal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    with terminal, path.open("ab") as log, redirect_descriptors(log.fileno(), 1, 2):
        stream = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - a thread of a library may still log to it
        with _logging_to(stream), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield terminal


@contextlib.contextmanager
def _logging_to(stream: TextIO) -> Iterator[None]:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers, root.level = [handler], logging.INFO
    tensorflow = logging.getLogger("tensorflow")  # its own handler keeps the stream of its import
    own, tensorflow.handlers = tensorflow.handlers, []
    try:
        yield
    finally:
        tensorflow.handlers = own
        root.handlers, root.level = before


@contextlib.contextmanager
def quiet_console() -> Iterator[Console]:
    """Yield a console on the terminal, and discard what libraries print."""
    with tempfile.TemporaryDirectory() as folder, logged_to(Path(folder, "log")) as stream:
        yield TerminalConsole(stream)
