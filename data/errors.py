"""The errors that a user can cause, each with the exit status that the command line returns for it.

SkewlessError (1)
├── UsageError (2)     a wrong name, setting or argument
├── DataError (3)      data that the model cannot be trained on
├── QualityError (4)   a model below a threshold, or worse than the blessed one
├── SkewError (5)      different answers to the same records by two routes
└── ServingError (6)   a server that does not answer, or rejects a request
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class SkewlessError(Exception):
    """An error that one line explains: what is wrong, where, and what to do next.

    Attributes:
      hint: what to do next, printed on a separate line; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows instead of a traceback: IPython calls this."""
        return [f"error: {self}", *self.hint.splitlines()]


class UsageError(SkewlessError):
    """A name, setting or argument that does not exist or is out of range."""

    exit_code = 2


class DataError(SkewlessError):
    """Data that the model cannot be trained on: no examples, one class only, too many broken files."""

    exit_code = 3


class QualityError(SkewlessError):
    """A model that misses a threshold, or is worse than the blessed one."""

    exit_code = 4


class SkewError(SkewlessError):
    """Different answers to the same records by two routes."""

    exit_code = 5


class ServingError(SkewlessError):
    """A server that cannot be reached, or that rejects a request."""

    exit_code = 6


def unknown(kind: str, name: str, legal: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the closest match as a suggestion and all legal names as a hint."""
    names = sorted(legal)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    return UsageError(f"no {kind} '{name}'.{guess}", hint=f"Legal: {', '.join(names)}")


REFUSAL_PREFIX = (
    "StringToNumberOp could not correctly convert string: "  # precedes the texts of `data.images.pixel_limit.fail_if`
)
# Names of nodes and ops; and what TensorFlow 2.21 puts before the text of an op that ran in `Dataset.map`.
_INTERNALS = re.compile(
    r"\{\{[^}]*\}\} ?|\[\[[^\]]*\]\] ?| ?\[Op:.*"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
)
_TRACE = ("Graph execution error:", "Detected at node", "<stack traces unavailable>", "Traceback ", 'File "')
_LONGEST = 300  # characters of a line: an error is printed in a terminal


def op_message(message: str) -> str:
    """Return the text that a TensorFlow op raised, on one line, without the names of nodes and ops around it.

    Args:
      message: text of a `tf.errors.OpError`, or of a server's answer that quotes one.
    """
    text = message.partition(REFUSAL_PREFIX)[2] or message
    lines = [_INTERNALS.sub("", line).strip() for line in text.splitlines()]
    return next((line for line in lines if line and not line.startswith(_TRACE)), "")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text that is not blank, or the class's name if there is none.

    Of a `tf.errors.OpError` it is the `op_message`. At most 300 characters.
    """
    message = getattr(error, "message", None)
    if isinstance(message, str):
        found = op_message(message)
    else:
        found = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return found[:_LONGEST] or type(error).__name__


def describe_error(error: BaseException) -> str:
    """Return the reason of a failure on one line: the system's text of an `OSError`, otherwise `first_line`."""
    return getattr(error, "strerror", None) or first_line(error)
