"""`skewless predict`: predict pictures in files, in folders or on stdin. Loads no TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from data.errors import UsageError
from data.images.formats import SUFFIXES, suffix
from data.names import printable
from serving.client import Client, InvalidPicture, Prediction, Tls, UnreadablePicture
from serving.client.pictures import LoadedPicture, encode_picture

STDIN = "-"
NO_LABEL = "none"
MANY = 20  # pictures from which on a progress bar is shown
INTERRUPTED = 130


@dataclass(frozen=True)
class PredictOptions:
    """The options of `skewless predict`.

    Attributes:
      files: Paths of files and folders, or "-" for a picture on stdin.
      server: Address, in any form that `serving.client.Client` takes.
      model: Name of the model on the server.
      version, label: Version of the model; the newest if both are None.
      top: Number of classes to print; None for the best one or for the labels above their thresholds, and in JSON
        for all.
      as_json: Whether to print a JSON object per line.
      timeout: Seconds for each request.
      ca, certificate, key: Files for TLS, as `serving.client.Tls` takes them.
    """

    files: Sequence[str]
    server: str
    model: str
    version: int | None = None
    label: str | None = None
    top: int | None = None
    as_json: bool = False
    timeout: float = 60.0
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def client(self) -> Client:
        """A client with these options."""
        tls = Tls(self.ca, self.certificate, self.key)
        secure = tls if tls != Tls() else False
        return Client(self.server, self.model, self.timeout, version=self.version, label=self.label, tls=secure)


def predict_files(options: PredictOptions) -> int:
    """Predict all pictures and print the answers in their order; errors of single pictures go to stderr.

    Returns:
      The exit status: 0, 130 after Ctrl-C, or that of the worst picture without an answer.

    Raises:
      UsageError: If a folder has no pictures, or the server's address is not valid.
      ServingError: If the server cannot be reached, or does not have the model.
    """
    names = list_pictures(options.files)
    faults: list[InvalidPicture] = []
    with options.client as client, _terminal(len(names)) as terminal:
        answers = client.predict_each(map(_given, names))
        for done, name in enumerate(names):
            try:
                answer = next(answers)
            except KeyboardInterrupt:
                terminal.complain(f"interrupted after {done} of {len(names)} pictures")
                return INTERRUPTED
            if isinstance(answer, InvalidPicture):
                known = any(fault.hint == answer.hint for fault in faults)
                terminal.complain(str(answer), "" if known else answer.hint)
                faults.append(answer)
            for line in _lines(name, answer, options):
                terminal.print_line(line)
            terminal.advance()
        if faults and len(names) > 1:
            terminal.complain(f"{len(faults)} of {len(names)} pictures have no answer")
    return max((fault.exit_code for fault in faults), default=0)


def list_pictures(files: Sequence[str]) -> list[str]:
    """List the pictures in order: a folder stands for the pictures in and below it, except hidden ones.

    Links to folders are followed, but each folder is read once, because links can form a circle. A folder that cannot
    be read is listed under its own name, and fails later as a picture that cannot be read.

    Raises:
      UsageError: If a folder has no pictures.
    """
    found: list[str] = []
    for file in files:
        if not os.path.isdir(file):
            found.append(file)
            continue
        inside = list(_below(file))
        if not inside:
            hint = f"In folders, pictures need one of the suffixes {', '.join(sorted(SUFFIXES))}."
            raise UsageError(f"no picture in {file}", hint=hint)
        found += inside
    return found


def _below(folder: str) -> Iterator[str]:
    unreadable: list[str] = []
    seen: set[tuple[int, int]] = set()
    for path, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda error: unreadable.append(error.filename)
    ):
        found = os.stat(path)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()  # a link to a folder that was read already
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if suffix(name) in SUFFIXES and not name.startswith("."):
                yield os.path.join(path, name)
    yield from unreadable


def _given(name: str) -> str | LoadedPicture:
    if name != STDIN:
        return name
    try:
        if sys.stdin is None:
            raise UnreadablePicture("cannot read -: standard input is closed")
        return LoadedPicture(STDIN, encode_picture(sys.stdin.buffer))
    except InvalidPicture as error:
        return LoadedPicture(STDIN, b"", error)


def _lines(name: str, answer: Prediction | InvalidPicture, options: PredictOptions) -> Iterator[str]:
    """Yield the lines to print on stdout for an answer."""
    if options.as_json and isinstance(answer, InvalidPicture):
        yield json.dumps({"file": name, "error": str(answer)})
    elif options.as_json and isinstance(answer, Prediction):
        yield json.dumps({"file": name, **_json_answer(answer, options.top)})
    elif isinstance(answer, Prediction) and answer.thresholds and not options.top:
        labels = ", ".join(f"{label} {answer.scores[label]:.4f}" for label in answer.labels)
        yield f"{labels or NO_LABEL}\t{printable(name)}"
    elif isinstance(answer, Prediction):
        for label, score in answer.top(options.top or 1):
            yield f"{label}\t{score:.4f}\t{printable(name)}"


def _json_answer(answer: Prediction, top: int | None) -> dict[str, Any]:
    scores = dict(answer.top(top)) if top else answer.scores
    found: dict[str, Any] = {"label": answer.label, "score": answer.score, "scores": scores}
    if answer.thresholds:
        found["labels"] = answer.labels
        found["thresholds"] = {name: answer.thresholds[name] for name in scores}
    return found


@dataclass(frozen=True)
class _Terminal:
    """Functions that print answers, errors and progress."""

    errors: Console
    print_line: Callable[[str], Any]
    advance: Callable[[], Any]

    def complain(self, text: str, hint: str = "") -> None:
        self.errors.print(f"[red]error:[/] {escape(text)}")
        if hint:
            self.errors.print(f"[dim]{escape(hint)}[/]")


@contextlib.contextmanager
def _terminal(count: int) -> Iterator[_Terminal]:
    """Show a progress bar on stderr if that is a terminal and there are many pictures."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if not errors.is_terminal or count < MANY:
        yield _Terminal(errors, click.echo, lambda: None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("", total=count)

        def print_above(line: str) -> None:  # on the same terminal, lines must go through the bar's console
            errors.print(line, markup=False)

        print_line = print_above if sys.stdout.isatty() else click.echo
        yield _Terminal(errors, print_line, lambda: progress.advance(bar))
