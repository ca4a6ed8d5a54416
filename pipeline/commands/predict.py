"""`skewless predict`: pictures in files, in folders or on stdin, and a line for each. Loads no TensorFlow."""

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
from data.images.formats import SUFFIXES
from serving.client import Client, InvalidPicture, Prediction, Tls, UnreadablePicture
from serving.client.pictures import Picture, encode_picture, printable_path

STDIN = "-"
MANY = 20
"""So many pictures are worth a progress bar."""
INTERRUPTED = 130


@dataclass(frozen=True)
class PredictOptions:
    """What a user asked for, as it was typed.

    Attributes:
      files: paths of files and folders, or "-" for a picture on stdin.
      server: the address, in any form that `serving.client.Client` takes.
      model: its name on the server.
      version, label: the version to ask; the newest if both are None.
      top: how many classes to tell; None for the best alone, and in JSON for all of them.
      as_json: an object in each line.
      timeout: seconds for each request.
      ca, certificate, key: files for TLS, as `serving.client.Tls` takes them.
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
        """The one to ask."""
        tls = Tls(self.ca, self.certificate, self.key)
        secure = tls if tls != Tls() else False
        return Client(self.server, self.model, self.timeout, version=self.version, label=self.label, tls=secure)


def predict_files(options: PredictOptions) -> int:
    """Asks about all pictures and prints the answers in their order.

    Returns:
      The exit status: 0, 130 after Ctrl-C, or that of the worst picture without an answer; each was told on stderr.

    Raises:
      UsageError: a folder without pictures, or a server's address that is none.
      ServingError: the server cannot be reached, or has no such model.
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
                terminal.say(line)
            terminal.advance()
        if faults and len(names) > 1:
            terminal.complain(f"{len(faults)} of {len(names)} pictures have no answer")
    return max((fault.exit_code for fault in faults), default=0)


def list_pictures(files: Sequence[str]) -> list[str]:
    """The pictures' names in order: folders become the pictures in and below them; hidden ones are passed over.

    Links to folders are followed, but each folder is looked into once: links may run in a circle. A folder that cannot
    be read stands in the list by its own name, and is told with the pictures that cannot be read.

    Raises:
      UsageError: a folder without any.
    """
    found: list[str] = []
    for file in files:
        if not os.path.isdir(file):
            found.append(file)
            continue
        inside = list(_below(file))
        if not inside:
            raise UsageError(f"no picture in {file}", hint=f"Pictures in folders end in {', '.join(sorted(SUFFIXES))}.")
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
            folders.clear()  # a link in a circle, or a second one to the same folder
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(tuple(SUFFIXES)) and not name.startswith("."):
                yield os.path.join(path, name)
    yield from unreadable


def _given(name: str) -> str | Picture:
    if name != STDIN:
        return name
    try:
        if sys.stdin is None:
            raise UnreadablePicture("cannot read -: standard input is closed")
        return Picture(STDIN, encode_picture(sys.stdin.buffer))
    except InvalidPicture as error:
        return Picture(STDIN, b"", error)


def _lines(name: str, answer: Prediction | InvalidPicture, options: PredictOptions) -> Iterator[str]:
    """What is printed of an answer on stdout."""
    if options.as_json and isinstance(answer, InvalidPicture):
        yield json.dumps({"file": name, "error": str(answer)})
    elif options.as_json and isinstance(answer, Prediction):
        scores = dict(answer.top(options.top)) if options.top else answer.scores
        yield json.dumps({"file": name, "label": answer.label, "score": answer.score, "scores": scores})
    elif isinstance(answer, Prediction):
        for label, score in answer.top(options.top or 1):
            yield f"{label}\t{score:.4f}\t{printable_path(name)}"


@dataclass(frozen=True)
class _Terminal:
    """Where answers, faults and progress go."""

    errors: Console
    say: Callable[[str], Any]
    advance: Callable[[], Any]

    def complain(self, text: str, hint: str = "") -> None:
        self.errors.print(f"[red]error:[/] {escape(text)}")
        if hint:
            self.errors.print(f"[dim]{escape(hint)}[/]")


@contextlib.contextmanager
def _terminal(count: int) -> Iterator[_Terminal]:
    """With a progress bar on stderr, if that is a terminal and there is something to wait for."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if not errors.is_terminal or count < MANY:
        yield _Terminal(errors, click.echo, lambda: None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("", total=count)

        def above(line: str) -> None:  # on one terminal the lines must pass the bar, or they would be drawn over
            errors.print(line, markup=False)

        say = above if sys.stdout.isatty() else click.echo
        yield _Terminal(errors, say, lambda: progress.advance(bar))
