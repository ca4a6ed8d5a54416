"""Read CSV and TSV files. The separator, and whether there is a header, are found out.

A row may have line breaks inside quotes. Without a header, the form is that of Vertex AI's import files:
`[TRAINING|VALIDATION|TEST|UNASSIGNED,]path,label[,label...]`; the columns are `ml_use`, `path` and `label`, and the
value of `label` is the list of all cells behind the path.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data.errors import DataError
from data.files.open_file import opened
from data.images.formats import SUFFIXES, UNSUPPORTED, suffix
from data.tables.lines import Lines, check_text
from data.tables.rows import ML_USE, BadRow, Row, RowRange, Table, check_columns

SEPARATORS = ",;\t|"
NO_HEADER = (ML_USE, "path", "label")
_USES = frozenset({"training", "train", "validation", "validate", "test", "unassigned"})
_NO_HEADER_HINT = (
    "A table without a header has the path of a picture first, or TRAINING, VALIDATION or TEST and then the path."
)


class DelimitedTable(Table):
    """A CSV or TSV file."""

    def __init__(self, path: str, wanted: Sequence[str]) -> None:
        """Read the first row.

        Args:
          path: of the file.
          wanted: the columns that will be read.

        Raises:
          DataError: If it is not text in UTF-8, or a column is missing or repeated.
        """
        with opened(path) as file:
            head = file.read(4)
            super().__init__(path, ())
            check_text(head, self.name)
            firsts = {separator: _first_row(Lines(file, self.name), self.name, separator) for separator in SEPARATORS}
        self._separator = max(SEPARATORS, key=lambda one: (set(wanted) <= set(firsts[one][0]), len(firsts[one][0])))
        self.columns, self._begin = firsts[self._separator]
        if not set(wanted) <= set(self.columns) and set(wanted) <= set(NO_HEADER):
            self._recognize_no_header(firsts)
        if self.has_header:
            check_columns(self.name, self.columns, wanted, _NO_HEADER_HINT)

    def _recognize_no_header(self, firsts: dict[str, tuple[tuple[str, ...], RowRange]]) -> None:
        """Take the first row as data if it has the path of a picture where a table without a header has it."""
        for separator, (cells, begin) in firsts.items():
            split, path, labels = _without_header(cells)
            if labels and _is_picture(path) and not any(map(_is_picture, labels)):
                self._separator, self.columns, self.has_header = separator, NO_HEADER, False
                self._begin = begin._replace(last=begin.first)
                return

    def rows(self, names: Sequence[str], ranges: Sequence[RowRange] | None = None) -> Iterator[Row]:
        """Read rows; blank lines are no rows.

        Raises:
          DataError: If a quote is not closed, or the file changed.
        """
        pick = self._picker(names)
        with opened(self.path) as file:
            end = file.seek(0, 2)
            begin = self._begin.last, self._begin.number + (1 if self.has_header else 0)
            for part, (first, last, number) in enumerate(ranges or [RowRange(begin[0], end, begin[1])]):
                lines = Lines(file, self.name, first, number)
                for start, stop, line, cells in _parse(lines, self.name, self._separator, last):
                    if isinstance(cells, BadRow):
                        yield Row(part, start, stop, line, cells)
                    elif len(cells) > 1 or any(cells):
                        yield Row(part, start, stop, line, pick(cells))

    def _picker(self, names: Sequence[str]) -> Callable[[list[str]], tuple[Any, ...] | BadRow]:
        """Return a function from the cells of a row to the values of the columns."""
        if not self.has_header:
            return lambda cells: tuple(_values_without_header(cells)[name] for name in names)
        width, indices = len(self.columns), [self.columns.index(name) for name in names]

        def pick(cells: list[str]) -> tuple[Any, ...] | BadRow:
            if len(cells) != width and (len(cells) < width or any(one.strip() for one in cells[width:])):
                return BadRow(f"{len(cells)} fields, but the header has {width}")
            return tuple([cells[index].strip() for index in indices])

        return pick


def _first_row(lines: Lines, name: str, separator: str) -> tuple[tuple[str, ...], RowRange]:
    """Return the cells of the first row that is not blank, and its place."""
    found = _parse(lines, name, separator, 1 << 62)
    for start, stop, number, cells in found:
        if isinstance(cells, BadRow):
            raise DataError(
                f"{name}:{number} is not a row of a table: {cells}", hint="Save it as UTF-8 with line feeds (\\n)."
            )
        if any(one.strip() for one in cells):
            # A header with a line break has more lines: the next row begins on the line that comes now.
            return tuple(one.strip() for one in cells), RowRange(start, stop, lines.number - 1)
    raise DataError(f"{name} has no rows: the file is empty", hint="Write or fetch it again.")


def _parse(lines: Lines, name: str, separator: str, last: int) -> Iterator[tuple[int, int, int, list[str] | BadRow]]:
    """Yield start, stop, line and cells of each row that begins before `last`.

    Raises:
      DataError: If a quote is not closed.
    """
    reader = csv.reader(lines.texts(), delimiter=separator, skipinitialspace=True)
    while lines.position < last:
        start, number = lines.position, lines.number
        cells: list[str] | BadRow
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise _open_quote(name, number) from None
            cells = BadRow(str(error).partition(" - ")[0])
        if lines.ended and cells:  # the parser looked for the end of a quote
            raise _open_quote(name, number)
        yield start, lines.position, number, cells


def _open_quote(name: str, number: int) -> DataError:
    return DataError(
        f"{name}:{number}: a quote is opened and not closed, or a cell is longer than {csv.field_size_limit():,}"
        " characters",
        hint='Close the quote; a quote inside quotes is written twice: "".',
    )


def _without_header(cells: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return the word for the split ("" for none), the path and the labels of a row of a table without a header."""
    cells = [one.strip() for one in cells]
    if len(cells) > 1 and (not cells[0] or cells[0].lower() in _USES) and not _is_picture(cells[0]):
        return cells[0], cells[1], [one for one in cells[2:] if one]
    return "", cells[0], [one for one in cells[1:] if one]


def _values_without_header(cells: Sequence[str]) -> dict[str, Any]:
    return dict(zip(NO_HEADER, _without_header(cells), strict=True))


def _is_picture(text: str) -> bool:
    return "://" in text or suffix(text) in SUFFIXES | UNSUPPORTED
