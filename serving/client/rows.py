"""What is asked about in one call, as rows: one thing given where several are wanted is a list of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from serving.client.errors import TOO_LONG, InvalidPicture, InvalidRequest
from serving.client.examples import features_of
from serving.client.pictures import pictures_of
from serving.client.tensor import buffer_of, dtype_of, tensor_of
from serving.client.transport import Features

Answer = TypeVar("Answer")


class Named(Protocol):
    """A row with a name for messages."""

    @property
    def name(self) -> str:
        """One line."""


OneRow = TypeVar("OneRow", bound=Named)


@dataclass(frozen=True)
class Example:
    """A row on its way as a tf.Example."""

    name: str
    features: Features


def numbers_of(given: Any) -> list[Any]:
    """Rows of numbers: a list of rows, or of numbers that are a row each.

    Raises:
      InvalidRequest: a string, a mapping, a set, or what holds nothing.
    """
    if isinstance(given, (int, float)):
        return [given]
    if buffer_of(given) is not None and not isinstance(given, (bytes, bytearray)):
        listed = tensor_of(given).tolist()
        return listed if isinstance(listed, list) else [listed]
    if isinstance(given, (str, bytes, bytearray, Mapping, Set)) or not isinstance(given, Iterable):
        raise InvalidRequest(f"a {type(given).__name__} is no rows of numbers", hint="Give [[1.0, 2.0], ...].")
    return [row.tolist() if hasattr(row, "tolist") else row for row in given]


def examples_of(given: Any) -> list[Example]:
    """The rows of Classify and Regress: of mappings, of numbers, or of pictures.

    Raises:
      InvalidRequest: one of them is none.
    """
    if isinstance(given, (Mapping, int, float)):
        rows: Iterable[Any] = [given]
    elif not isinstance(given, (str, bytes, bytearray)) and _holds_numbers(given):
        rows = numbers_of(given)
    else:
        rows = pictures_of(given)
    return [Example(f"rows[{number}]", features_of(row)) for number, row in enumerate(rows)]


def _holds_numbers(given: Any) -> bool:
    view = buffer_of(given)
    return view is not None and dtype_of(view)[0] != "'" and view.format != "B"


def to_the_fault(
    ask: Callable[[Sequence[OneRow]], list[Answer]], rows: Sequence[OneRow]
) -> list[Answer | InvalidPicture]:
    """One request; where a picture is at fault, halves of it, down to that picture: its answer is its error."""
    try:
        return list(ask(rows))
    except InvalidRequest as error:
        is_too_long = bool(TOO_LONG.search(str(error)))
        if not isinstance(error, InvalidPicture) and not (is_too_long and len(rows) == 1):
            raise
        if len(rows) == 1:
            return [InvalidPicture(f"{error} ({rows[0].name})", hint=error.hint)]
    half = len(rows) // 2
    return to_the_fault(ask, rows[:half]) + to_the_fault(ask, rows[half:])
