"""Errors that cross a process: written by the process that fails, read by the one that started it.

A `SkewlessError` travels as one line of JSON, so that it keeps its kind (and with it the exit status), its message and
its hint. Of any other failure only a traceback is printed; its last exception is the reason.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from data import errors
from data.errors import SkewlessError

_PREFIX = "skewless error: "
_WHILE = " [while running"  # Beam appends the name of the step
# The last line of a traceback, or what gRPC prints below it.
_RAISED = re.compile(r'(?:details = "(.+)"|([A-Za-z_][\w.]*(?:Error|Exception|Exit|Failed)): ([^<].*))$')


class Raised(NamedTuple):
    """An exception, read from the text of a traceback.

    Attributes:
      kind: Dotted name of the class; empty for a status of gRPC.
      message: First line of its text.
    """

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.kind else self.message


def error_line(error: BaseException) -> str:
    """Return the line to print for an error, without a line break.

    Args:
      error: A SkewlessError keeps its kind and hint; any other error becomes a SkewlessError that names its class.
    """
    if isinstance(error, SkewlessError):
        kind = next(one.__name__ for one in type(error).__mro__ if getattr(errors, one.__name__, None) is one)
        content = {"kind": kind, "message": str(error), "hint": error.hint}
    else:
        content = {"kind": "SkewlessError", "message": f"{type(error).__name__}: {error}", "hint": ""}
    return f"{_PREFIX}{json.dumps(content)}"


@contextlib.contextmanager
def printing_errors() -> Iterator[None]:
    """Print the line of a `SkewlessError` to standard error while it propagates, for the process that started this."""
    try:
        yield
    except SkewlessError as error:
        print(error_line(error), file=sys.stderr, flush=True)
        raise


def parse_error_line(line: str) -> SkewlessError | None:
    """Return the error of a line of `error_line`, or None for any other line."""
    if not line.startswith(_PREFIX):
        return None
    content = json.loads(line.removeprefix(_PREFIX))
    error: SkewlessError = getattr(errors, content["kind"])(content["message"], content["hint"])
    return error


def last_raised(text: str) -> Raised | None:
    """Return the last exception of the tracebacks in a text, or None if there is none."""
    found = [match for match in map(_RAISED.match, map(str.strip, text.splitlines())) if match]
    if not found:
        return None
    details, kind, message = found[-1].groups()
    return Raised(kind or "", details or message)


def read_error(printed: str) -> SkewlessError | None:
    """Return the error that a process printed before it ended, or None if it printed neither a line nor a traceback.

    Args:
      printed: Everything that the process printed. The last `error_line` counts; without one the last exception.
    """
    lines = [found for found in map(parse_error_line, printed.splitlines()) if found]
    if lines:
        return lines[-1]
    raised = last_raised(printed)
    if raised is None:
        return None
    message = raised.message.partition(_WHILE)[0]
    kind = getattr(errors, raised.kind.rpartition(".")[2], None)
    if isinstance(kind, type) and issubclass(kind, SkewlessError):
        return kind(message)
    return SkewlessError(f"{raised.kind}: {message[:300]}" if raised.kind else message[:300])
