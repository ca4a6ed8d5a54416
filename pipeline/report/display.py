"""The terminal during a run: one line for each component that ended, and a spinner with the current progress."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from components.progress import LOGGER
from pipeline.report.waiting import Waiting


class Display(logging.Handler):
    """Handler of `components.progress` that shows progress next to a spinner, and a line when a component ends.

    If the output is not a terminal (CI, a file), only the lines of the components and announced lines are printed.
    """

    def __init__(self, console: Console) -> None:
        """Create a display; it shows something inside a `with` block.

        Args:
          console: Where to print; not stdout, which goes to the log during a run.
        """
        super().__init__()
        self._console = console
        self._waiting = Waiting("")
        self._status = console.status(self._waiting)
        self._component = ""
        self._width = len("ExampleValidator")

    def __enter__(self) -> Display:
        LOGGER.addHandler(self)
        LOGGER.setLevel(logging.INFO)
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
        LOGGER.removeHandler(self)

    def align(self, names: Iterable[str]) -> None:
        """Widen the column of the names to the longest of `names`; it fits TFX's own components already."""
        self._width = max([self._width, *map(len, names)])

    def started(self, component: str) -> None:
        """Show that a component runs."""
        self._component = component
        self._waiting = Waiting(f"[bold]{component}[/]")
        self._status.update(self._waiting)

    def done(self, component: str, state: str, why: str, seconds: float) -> None:
        """Print the line of a component that ended.

        Args:
          component: Its name.
          state: "executed", "cached" or "failed".
          why: What has changed, or that nothing has.
          seconds: Its duration.
        """
        mark = {"executed": "[green]done  [/]", "cached": "[cyan]cached[/]"}.get(state, "[red]failed[/]")
        name = component.ljust(self._width)
        self._component, self._waiting.markup = "", ""
        self._console.print(f"{mark} {name} {seconds:6.1f} s  [dim]{escape(why)}[/]", highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a component's progress: next to the spinner, or as a line that stays."""
        if getattr(record, "stays", False):
            self._console.print(f"       {escape(record.getMessage())}", highlight=False)
            return
        component = f"[bold]{self._component}[/]  " if self._component else ""
        self._waiting.markup = f"{component}[dim]{escape(record.getMessage())}[/]"
