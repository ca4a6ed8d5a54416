"""The errors that a user can cause, each with the exit status of the command that meets it.

SkewlessError (1)
├── UsageError (2)     a wrong name, setting or argument
├── DataError (3)      data that cannot be trained on
├── QualityError (4)   a model that is below a limit or worse than the one before
├── SkewError (5)      a model that answers otherwise than it should, by one route or another
└── ServingError (6)   a server that does not answer, or refuses
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class SkewlessError(Exception):
    """A fault that one line explains: what is wrong, where, and what to do next.

    Attributes:
      hint: what to do next, shown on a line of its own; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SkewlessError):
    """A name, setting or argument that does not exist or is out of range."""

    exit_code = 2


class DataError(SkewlessError):
    """Data that cannot be trained on: none, of one class, too much of it broken."""

    exit_code = 3


class QualityError(SkewlessError):
    """A model that misses a threshold, or is worse than the blessed one."""

    exit_code = 4


class SkewError(SkewlessError):
    """The same records, by two routes, get different answers."""

    exit_code = 5


class ServingError(SkewlessError):
    """A server that cannot be reached, or that refuses a request."""

    exit_code = 6


def unknown(kind: str, name: str, legal: Iterable[str]) -> UsageError:
    """The error for a misspelt name: tells the nearest and all legal ones."""
    names = sorted(legal)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    return UsageError(f"no {kind} '{name}'.{guess}", hint=f"Legal: {', '.join(names)}")


_REFUSAL = (
    "StringToNumberOp could not correctly convert string: "  # before the words of `data.images.pixel_limit.unless`
)
# Names of nodes and ops; and what TensorFlow 2.21 puts before the words of an op that ran in `Dataset.map`.
_INSIDES = re.compile(
    r"\{\{[^}]*\}\} ?|\[\[[^\]]*\]\] ?| ?\[Op:.*"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
)
_TRACE = ("Graph execution error:", "Detected at node", "<stack traces unavailable>", "Traceback ", "File ")


def own_words(message: str) -> str:
    """What an op of TensorFlow says, on one line, without the names of nodes and ops around it."""
    words = message.partition(_REFUSAL)[2] or message
    lines = [_INSIDES.sub("", line).strip() for line in words.splitlines()]
    return next((line for line in lines if line and not line.startswith(_TRACE)), "")
