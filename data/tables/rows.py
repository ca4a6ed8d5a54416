"""What all tables have in common: rows with places, and columns with names."""

from __future__ import annotations

import abc
import posixpath
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from data.errors import DataError
from data.names import list_names, printable

ML_USE = "ml_use"  # the column of the split in Vertex AI's import files, which do not name it
MAX_SHOWN = 8  # columns that a message names


class BadRow(str):
    """The reason why a row cannot be read; takes the place of its values."""


class RowRange(NamedTuple):
    """A range of rows.

    Attributes:
      first: place of the first row: its offset in bytes, or its index in a Parquet file.
      last: the range ends before the first row at or after this place.
      number: number of the first row: its line, or its index plus 1 in a Parquet file.
    """

    first: int
    last: int
    number: int


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      part: index of the range that it was read for.
      start: its place, see `RowRange.first`.
      stop: place behind it.
      number: its line, or its index plus 1 in a Parquet file.
      values: the values of the columns that were asked for; None for one that the row lacks.
    """

    part: int
    start: int
    stop: int
    number: int
    values: tuple[Any, ...] | BadRow


class Table(abc.ABC):
    """A file with rows.

    Attributes:
      path: of the file, local or remote.
      name: of the file, for messages.
      columns: names of the columns; of JSON Lines, the keys of the first object.
      has_header: whether the file names its columns.
    """

    def __init__(self, path: str, columns: Collection[str], *, has_header: bool = True) -> None:
        self.path, self.name = path, printable(posixpath.basename(path))
        self.columns, self.has_header = tuple(columns), has_header

    @abc.abstractmethod
    def rows(self, names: Sequence[str], ranges: Sequence[RowRange] | None = None) -> Iterator[Row]:
        """Read rows, one after the other.

        Args:
          names: columns to read.
          ranges: the rows to read; None: all.

        Raises:
          DataError: If the file cannot be read, or its rows cannot be found.
        """


def check_columns(name: str, columns: Collection[str], wanted: Sequence[str], hint: str = "") -> None:
    """Check that a table has the columns, each once.

    Args:
      name: of the table.
      columns: the names of its columns.
      wanted: the columns to read.
      hint: a sentence about this form of table.

    Raises:
      DataError: If a column is missing or repeated.
    """
    shown = [printable(column) if len(column) <= 60 else f"{printable(column[:57])}..." for column in columns]
    for column in wanted:
        count = list(columns).count(column)
        if not count:
            listed = list_names(shown, MAX_SHOWN) or "none"
            raise DataError(
                f"{name} has no column '{printable(column)}'",
                hint=f"It has: {listed}. Name its columns in the source's settings (path, label, split, slices)."
                f"{hint and ' '}{hint}",
            )
        if count > 1:
            raise DataError(
                f"{name} has the column '{printable(column)}' {count} times", hint="Rename or remove all but one."
            )
