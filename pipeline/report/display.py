"""What is seen on the terminal: one line a component, and beneath it what is going on now."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from components.progress import LOGGER


class Display(logging.Handler):
    """Shows the lines of `components.progress` beside a spinner, and each component when it is done.

    Where the output is no terminal (CI, a file), the lines of the components alone are printed.
    """

    def __init__(self, console: Console) -> None:
        """Args:
        console: where to print; not stdout, which goes to the log during a run.
        """
        super().__init__()
        self._console = console
        self._status = console.status("")
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
        """Makes room for the components' names, where there may be longer ones than TFX's own."""
        self._width = max([self._width, *map(len, names)])

    def started(self, component: str) -> None:
        """A component begins."""
        self._component = component
        self._status.update(f"[bold]{component}[/]")

    def done(self, component: str, state: str, why: str, seconds: float) -> None:
        """A component ended: its state ("executed", "cached", "failed"), why, and how long it took."""
        mark = {"executed": "[green]done  [/]", "cached": "[cyan]cached[/]"}.get(state, "[red]failed[/]")
        name = component.ljust(self._width)
        self._console.print(f"{mark} {name} {seconds:6.1f} s  [dim]{escape(why)}[/]", highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        """A line from within a component."""
        self._status.update(f"[bold]{self._component}[/]  [dim]{escape(record.getMessage())}[/]")
