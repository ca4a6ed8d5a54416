"""`skewless report`: draw the page of a run, or of two runs side by side, from what the runs recorded."""

from __future__ import annotations

import os
import posixpath
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from data.errors import UsageError, describe_error
from data.files.atomic import write_aside
from data.files.remote import is_remote
from data.names import printable
from pipeline.paths import Paths
from pipeline.report.run_files import find_run
from pipeline.report.waiting import Waiting, loading


@dataclass(frozen=True)
class ReportOptions:
    """The options of `skewless report`.

    Attributes:
      run: The run to draw, as `pipeline.report.run_files.find_run` takes it; "" for the latest.
      against: The run to compare it with; "" for none.
      opens: Open the page in the browser, if there is one.
      output: File to write; "" for one in the folder of the run.
    """

    run: str = ""
    against: str = ""
    opens: bool = True
    output: str = ""


def draw_report(paths: Paths, options: ReportOptions) -> str:
    """Draw the page, print its path, and open it.

    Args:
      paths: Of the task.
      options: Of the command.

    Returns:
      The path of the page.

    Raises:
      UsageError: If there is no such run, its record cannot be read, or the page cannot be written.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    file = find_run(paths, options.run)
    against = find_run(paths, options.against, after=file) if options.against else ""
    with loading():
        from pipeline.report.page.redraw import compare_records, draw_record
    with errors.status(Waiting("drawing the page")):
        drawn = compare_records(file, against) if against else draw_record(file)
    for note in drawn.notes:
        errors.print(f"[yellow]note[/] {escape(printable(note))}")
    path = options.output or posixpath.join(_folder(paths, file, drawn.run_id), drawn.name)
    _write(path, drawn.html)
    click.echo(path)
    if options.opens:
        open_page(path)
    return path


def open_page(path: str) -> bool:
    """Open a local page in the browser, and return whether there is one.

    Linux without a display has no browser but those of the terminal, which would hide the path; BROWSER names one.
    """
    has_display = sys.platform != "linux" or any(os.environ.get(one) for one in ("DISPLAY", "WAYLAND_DISPLAY"))
    if is_remote(path) or not (has_display or os.environ.get("BROWSER")):
        return False
    try:
        return webbrowser.open(Path(path).absolute().as_uri())
    except (webbrowser.Error, OSError):
        return False


def _folder(paths: Paths, file: str, run_id: str) -> str:
    """Return the folder to write to: that of the run; of a remote run a folder on this machine, for the browser."""
    if is_remote(file):
        return posixpath.join(paths.local_folder, "runs", run_id)
    folder = posixpath.dirname(file)
    return paths.run(run_id) if folder == paths.folder else folder


def _write(path: str, page: str) -> None:
    try:
        write_aside(path, page)
    except Exception as error:  # of a bucket, TensorFlow's
        reason = describe_error(error)
        raise UsageError(f"cannot write {printable(path)}: {reason}", hint="Give another file: -o FILE.") from None
