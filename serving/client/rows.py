"""Convert the arguments of a call to rows. A single row is accepted in place of a list of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from serving.client.errors import TOO_LONG, InvalidPicture, InvalidRequest
from serving.client.examples import to_features
from serving.client.pictures import list_pictures
from serving.client.tensor import dtype_name, get_buffer, to_tensor
from serving.client.transport import Features

Answer = TypeVar("Answer")


class _Named(Protocol):
    """A row with a name for error messages."""

    @property
    def name(self) -> str:
        """Name on one line."""


NamedRow = TypeVar("NamedRow", bound=_Named)


@dataclass(frozen=True)
class Example:
    """A row that is sent as a tf.Example."""

    name: str
    features: Features


def to_number_rows(given: Any) -> list[Any]:
    """Return rows of numbers: a list of rows, or of numbers that are one row each.

    Raises:
      InvalidRequest: If `given` is a string, a mapping, a set, or no collection.
    """
    if isinstance(given, (int, float)):
        return [given]
    if get_buffer(given) is not None and not isinstance(given, (bytes, bytearray)):
        listed = to_tensor(given).tolist()
        return listed if isinstance(listed, list) else [listed]
    if isinstance(given, (str, bytes, bytearray, Mapping, Set)) or not isinstance(given, Iterable):
        raise InvalidRequest(f"not rows of numbers: {type(given).__name__}", hint="Pass [[1.0, 2.0], ...].")
    return [row.tolist() if hasattr(row, "tolist") else row for row in given]


def to_examples(given: Any) -> list[Example]:
    """Return the rows of Classify and Regress: mappings, numbers or pictures.

    Raises:
      InvalidRequest: If one of them is nothing of these.
    """
    if isinstance(given, (Mapping, int, float)):
        rows: Iterable[Any] = [given]
    elif not isinstance(given, (str, bytes, bytearray)) and _holds_numbers(given):
        rows = to_number_rows(given)
    else:
        rows = list_pictures(given)
    return [Example(f"rows[{number}]", to_features(row)) for number, row in enumerate(rows)]


def _holds_numbers(given: Any) -> bool:
    view = get_buffer(given)
    return view is not None and dtype_name(view)[0] != "'" and view.format != "B"


def isolate_invalid(
    call: Callable[[Sequence[NamedRow]], list[Answer]], rows: Sequence[NamedRow]
) -> list[Answer | InvalidPicture]:
    """Answer each row; a picture that the server rejects gets its error as the answer.

    Sends all rows in one request. If it fails because of a picture, sends each half of the rows, and so on down to that
    picture.
    """
    try:
        return list(call(rows))
    except InvalidRequest as error:
        is_too_long = bool(TOO_LONG.search(str(error)))
        if not isinstance(error, InvalidPicture) and not (is_too_long and len(rows) == 1):
            raise
        if len(rows) == 1:
            return [InvalidPicture(f"{error} ({rows[0].name})", hint=error.hint)]
    half = len(rows) // 2
    return isolate_invalid(call, rows[:half]) + isolate_invalid(call, rows[half:])
