"""A run in a notebook: one output of the cell with its progress, then the plots and the page of its record."""

from __future__ import annotations

import html
import io
import sys
import threading
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.status import Status
from rich.style import StyleType

if TYPE_CHECKING:
    from pipeline.report.record import RunRecord

_LINES = "<pre style='white-space: pre-wrap; font-family: monospace; line-height: normal'>{code}</pre>"
_PAGE = "<iframe srcdoc='{page}' title='{title}' style='width: 100%; height: 40em; border: 1px solid #ccc'></iframe>"
_BASE = "<base href='about:srcdoc'>"  # else a link to a section loads the notebook into the frame
_WIDTH = 640  # pixels of a plot
_LARGEST_PAGE = 4_000_000  # bytes; a notebook that embeds more is slow to load


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook; IPython in a terminal has none."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython(), "kernel") if ipython else False


class NotebookConsole(Console):
    """Console whose lines are one output of the cell; the current progress is its last line."""

    def __init__(self) -> None:
        """Create a console; its output appears in the cell that prints first."""
        super().__init__(file=io.StringIO(), force_jupyter=False, record=True, highlight=False, soft_wrap=True)
        self._output: Any = None  # IPython's DisplayHandle
        self._progress: RenderableType | None = None

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as a `Console` does, into the output of the cell."""
        super().print(*objects, **options)
        self.refresh()

    def status(
        self,
        status: RenderableType,
        *,
        spinner: str = "dots",
        spinner_style: StyleType = "status.spinner",
        speed: float = 1.0,
        refresh_per_second: float = 1.0,
    ) -> Status:
        """Return a status that is the last line of the output while it runs. It has no spinner."""
        return NotebookStatus(status, console=self, refresh_per_second=refresh_per_second)

    def set_progress(self, progress: RenderableType | None) -> None:
        """Set the last line of the output; None removes it."""
        self._progress = progress
        self.refresh()

    def refresh(self) -> None:
        """Draw the output again."""
        from IPython.display import display

        parts = [_render(self)]
        if self._progress is not None:
            last = Console(file=io.StringIO(), force_jupyter=False, record=True, highlight=False, soft_wrap=True)
            last.print(self._progress)
            parts.append(_render(last))
        text, code = ("".join(lines) for lines in zip(*parts, strict=True))
        shown = {"text/plain": text, "text/html": _LINES.format(code=code)}
        if self._output is None:
            self._output = display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)


class NotebookStatus(Status):
    """Status of a `NotebookConsole`. It is drawn every second: it may have a clock."""

    def __init__(self, status: RenderableType, *, console: NotebookConsole, refresh_per_second: float) -> None:
        """Create a status; it shows something between `start` and `stop`.

        Args:
          status: What to show.
          console: Where to show it.
          refresh_per_second: How often to draw it.
        """
        super().__init__(status, console=console)
        self._notebook = console
        self._interval = 1 / refresh_per_second
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Show the status."""
        self._stopped.clear()
        self._notebook.set_progress(self.status)
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Remove the status."""
        self._stopped.set()
        if self._thread is not None:  # it might still be drawing the status
            self._thread.join()
        self._notebook.set_progress(None)

    def update(self, status: RenderableType | None = None, **style: Any) -> None:
        """Show another status. A notebook shows no spinner, so its style is ignored."""
        if status is not None:
            self.status = status
        if not self._stopped.is_set():
            self._notebook.set_progress(self.status)

    def _draw(self) -> None:
        while not self._stopped.wait(self._interval):
            self._notebook.refresh()


def show_record(record: RunRecord) -> None:
    """Show the plots of a run as images, and its page in a frame.

    Args:
      record: Of the run. Files that no longer exist are left out.
    """
    from IPython.display import HTML, Image, display

    for path in record.plots:
        plot = _read(path)
        if plot:
            display(Image(plot, width=_WIDTH))
    page = _read(record.page) if record.page else b""
    if 0 < len(page) <= _LARGEST_PAGE:
        title = html.escape(f"the page of the run {record.run_id}", quote=True)
        content = page.decode().replace("<head>", f"<head>{_BASE}", 1)
        frame = HTML(_PAGE.format(page=html.escape(content, quote=True), title=title))
        display(frame, metadata={"skewless": {"page": record.page}})
    elif page:
        display(HTML(f"The page has {len(page) / 1e6:,.0f} MB. Open it: <code>{html.escape(record.page)}</code>"))


def _render(console: Console) -> tuple[str, str]:
    """Return what a console has printed, as text and as HTML."""
    return console.export_text(clear=False), console.export_html(clear=False, inline_styles=True, code_format="{code}")


def _read(path: str) -> bytes:
    """Return the content of a file, local or remote; empty if it does not exist."""
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read())
    except tf.errors.NotFoundError:
        return b""
