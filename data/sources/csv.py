"""Read CSV files with numeric columns and a header line."""

from __future__ import annotations

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data.errors import DataError, UsageError
from data.files.open_file import opened
from data.names import list_names, printable
from data.records import Outcome, Rejected, vector_record
from data.sources.base import BLOCK, require_one_label
from data.sources.labels import InvalidLabel, parse_label, parse_number, shorten_value
from data.sources.split_files import FileSource
from data.spec import Feature, Label, Vector

_LONGEST_LINE = 1 << 20  # bytes; a file whose lines end in CR only is a single line


@dataclass(frozen=True)
class _Header:
    """The columns of a file.

    Attributes:
      columns: number of columns.
      features: indices of the features' columns, in the model's order.
      label: index of the label's column.
    """

    columns: int
    features: tuple[int, ...]
    label: int


@dataclass(frozen=True)
class Csv(FileSource):
    """Source of rows of numbers: every `.csv` in the folder, in UTF-8, with a header.

    The names of folders and files show the splits (`data.sources.splits`). A row is one line: line breaks inside quotes
    are not supported. A row with another number of fields than the header is rejected; extra empty fields at its end
    are allowed.

    Attributes:
      label: name of the label's column.
      columns: names of the features' columns, in the model's order; empty: all other columns, in the file's order.
    """

    KIND: ClassVar[str] = "*.csv"
    NO_RECORDS: ClassVar[str] = "only a header"

    label: str = "label"
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label or not all(self.columns):
            raise UsageError("source.label and source.columns must not contain an empty name")
        repeated = [name for name, count in Counter(self.columns).items() if count > 1]
        if repeated:
            raise UsageError(f"source.columns names '{repeated[0]}' twice", hint="Remove one of them.")
        if self.label in self.columns:
            raise UsageError(f"source.columns names '{self.label}', which is the label", hint="Leave the label out.")

    def check_label(self, label: Label) -> None:
        """Check that a row has one label.

        Raises:
          UsageError: If the label is `Labels`.
        """
        hint = "Rows of numbers with several labels: Arrays (a matrix of 0 and 1) or TFRecords."
        require_one_label(label, "Csv reads one label a row", hint)

    @staticmethod
    def is_data_file(name: str) -> bool:
        """Return whether the name ends in ".csv", in any case."""
        return name.lower().endswith(".csv")

    def list_blocks(self, folder: str, name: str, feature: Feature) -> list[tuple[str, int, int, int]]:
        """Find where each block of lines begins and ends, in one pass over the file.

        Returns:
          (file below `folder`, first byte, last byte + 1, number of the first line) of each block.

        Raises:
          DataError: If the file is not UTF-8 with one line for each row, or a column is missing or repeated.
        """
        found, count = [], 0
        with opened(posixpath.join(folder, name)) as file:
            self._header(file.readline(_LONGEST_LINE), name, feature)
            start = position = file.tell()
            while line := file.readline():
                position += len(line)
                count += 1
                if count % BLOCK == 0:
                    found.append((name, start, position, count - BLOCK + 2))
                    start = position
        if position > start:
            found.append((name, start, position, count - count % BLOCK + 2))
        return found

    def _header(self, line: bytes, name: str, feature: Feature) -> _Header:
        """Return the columns that the first line names.

        Raises:
          DataError: If the file is not UTF-8, a column is missing or repeated, or the number of columns is not the
            size of the feature.
        """
        if not isinstance(feature, Vector):
            raise UsageError("Csv reads numbers: the task's feature must be a Vector")
        names = _split_header(_decode_header(line, name))
        wanted = self.columns or tuple(column for column in names if column != self.label)
        shown_name = printable(name)
        missing = [column for column in (*wanted, self.label) if column not in names]
        if missing:
            other = next((mark for mark in ";\t|" if mark in "".join(names)), "")
            separator = f" Its fields are separated by {other!r}, not by ','." if other else ""
            raise DataError(
                f"{shown_name} has no column '{missing[0]}'", hint=f"It has: {_list_columns(names)}.{separator}"
            )
        counts = Counter(names)
        repeated = [column for column in counts if counts[column] > 1 and column in (*wanted, self.label)]
        if repeated:
            raise DataError(
                f"{shown_name} has the column '{repeated[0]}' {counts[repeated[0]]} times",
                hint="Rename or remove all but one, or name the features' columns in the source's `columns`.",
            )
        if len(wanted) != feature.size:
            raise DataError(
                f"{shown_name} has {len(wanted)} feature columns, but the task's feature has size {feature.size}",
                hint=f"The columns are: {_list_columns(wanted)}.",
            )
        return _Header(len(names), tuple(map(names.index, wanted)), names.index(self.label))

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read the lines of the blocks in a random order; reject a row whose features are not all numbers."""
        rows: list[tuple[str, int, bytes]] = []
        headers: dict[str, _Header] = {}
        for name, start, stop, line_number in items:
            with opened(posixpath.join(folder, name)) as file:
                if name not in headers:
                    headers[name] = self._header(file.readline(_LONGEST_LINE), name, feature)
                file.seek(start)
                block = file.read(stop - start)
            if len(block) < stop - start:
                raise DataError(
                    f"{printable(name)} became shorter while it was read", hint="Run again when the file is complete."
                )
            lines = block.removesuffix(b"\n").split(b"\n")
            rows.extend((name, line_number + offset, line) for offset, line in enumerate(lines) if line.strip())
        for index in rng.permutation(len(rows)):
            name, number, line = rows[index]
            yield _parse_row(line, headers[name], label, f"{name}:{number}")


def _decode_header(line: bytes, name: str) -> str:
    """Decode the first line of a file.

    Raises:
      DataError: If the file is not UTF-8, or has no line feeds.
    """
    if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{printable(name)} is UTF-16, not UTF-8", hint="Save it as UTF-8.")
    if b"\r" in line.rstrip(b"\r\n"):
        raise DataError(
            f"{printable(name)} has lines that end in a carriage return only", hint="Save it with line feeds (\\n)."
        )
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(name)} is not UTF-8: byte {error.start} of its header is 0x{line[error.start]:02x}",
            hint="Save it as UTF-8.",
        ) from None


def _split_header(text: str) -> list[str]:
    try:
        return [column.strip() for column in next(csv.reader([text.replace("\0", "")]), [])]
    except csv.Error:
        return []


def _list_columns(names: Sequence[str]) -> str:
    return list_names([shorten_value(name) for name in names], 8) or "no header"


def _parse_row(line: bytes, header: _Header, label: Label, source: str) -> Outcome:
    try:
        text = line.decode("utf-8-sig")  # a file that was appended to another brings its byte-order mark
    except UnicodeDecodeError as error:
        return Rejected(source, "not UTF-8", f"byte {error.start} of the line is 0x{line[error.start]:02x}")
    try:
        values = next(csv.reader(io.StringIO(text.rstrip("\r"), newline=""), strict=True))
    except (csv.Error, StopIteration) as error:
        return Rejected(source, "not a row", str(error) or "only a byte-order mark")
    if len(values) < header.columns or any(one.strip() for one in values[header.columns :]):
        return Rejected(source, "not a row", f"{len(values)} fields, but the header has {header.columns}")
    try:
        numbers = [parse_number(values[index]) for index in header.features]
    except InvalidLabel as error:
        return Rejected(source, "not numeric", str(error))
    try:
        name = parse_label([values[header.label]], label)
    except InvalidLabel as error:
        return Rejected(source, "unknown label", str(error))
    return vector_record(numbers, name, source)
