"""What a terminal shows during a wait: a spinner, a text, and the seconds that have passed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from pipeline.report.quiet import TerminalConsole, logged_to

_SHOWN_FROM_S = 3  # shorter waits need no clock


class Waiting:
    """A text for `rich.console.Console.status` that adds the seconds since it was made, each time that it is drawn."""

    def __init__(self, markup: str) -> None:
        """Start the clock.

        Args:
          markup: What the user waits for, in rich's markup.
        """
        self.markup = markup
        self._started = time.monotonic()

    def __rich__(self) -> Text:
        seconds = int(time.monotonic() - self._started)
        clock = f"  [dim]{seconds} s[/]" if self.markup and seconds >= _SHOWN_FROM_S else ""
        return Text.from_markup(self.markup + clock)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Show on the terminal that TensorFlow is being loaded, and discard what is printed in the block."""
    with logged_to(Path(os.devnull)) as terminal, TerminalConsole(terminal).status(Waiting("loading TensorFlow")):
        yield
