"""Redirection of what TensorFlow, TFX and Beam print to a file: thousands of lines in a run, from Python and C++."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console

from data.silence import redirect_descriptors


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[TextIO]:
    """Redirect file descriptors 1 and 2, and Python's logging, to a file.

    Args:
      path: Of the file. It is created with its folder; an existing one is continued.

    Yields:
      A stream to the terminal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    with terminal, path.open("ab") as log, redirect_descriptors(log.fileno(), 1, 2), _logging_to_stderr():
        yield terminal


@contextlib.contextmanager
def _logging_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(open(2, "w", closefd=False))  # noqa: SIM115 - the file must stay open
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers, root.level = [handler], logging.INFO
    try:
        yield
    finally:
        root.handlers, root.level = before


@contextlib.contextmanager
def quiet_console() -> Iterator[Console]:
    """Yield a console on the terminal, and discard what libraries print."""
    with tempfile.TemporaryDirectory() as folder, logged_to(Path(folder, "log")) as stream:
        yield Console(file=stream, highlight=False, soft_wrap=True)
