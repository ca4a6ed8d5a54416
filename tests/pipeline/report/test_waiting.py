"""What a terminal shows during a wait."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time

import pytest
from rich.console import Console

from components.progress import report
from pipeline.report.display import Display
from pipeline.report.quiet import TerminalConsole
from pipeline.report.waiting import Waiting, loading


def _shown(waiting: Waiting) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(waiting)
    return capture.get().rstrip()


def test_the_seconds_are_shown_once_there_are_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting("[bold]loading[/]")
    assert _shown(waiting) == "loading"
    begin = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begin + 75.5)
    assert _shown(waiting) == "loading  75 s"


def test_progress_does_not_start_the_clock_again(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=80)
    with console.capture() as capture, Display(console) as display:
        display.started("Trainer")
        begin = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: begin + 20)
        report("epoch [1/2]")
        display._status._live.refresh()
    assert "epoch [1/2]" in capture.get() and "20 s" in capture.get()
    assert logging.getLogger("skewless.progress").handlers == []


def test_what_is_printed_while_something_loads_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with loading():
        os.write(1, b"noise\n")
        os.write(2, b"noise\n")
    os.write(1, b"result\n")
    assert capfd.readouterr() == ("result\n", "")


def test_on_a_terminal_the_log_gets_what_libraries_print_during_a_wait() -> None:
    """Rich would print it above its spinner."""
    terminal, log = io.StringIO(), io.StringIO()
    console = TerminalConsole(terminal)
    console._force_terminal = True
    with contextlib.redirect_stdout(log), console.status(Waiting("training")):
        print("noise")
    assert log.getvalue() == "noise\n" and "noise" not in terminal.getvalue()
