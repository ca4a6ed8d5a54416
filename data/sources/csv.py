"""CSV files with numeric columns and a header line."""

from __future__ import annotations

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.errors import DataError, UsageError
from data.files.open_file import opened
from data.names import printable
from data.records import Outcome, Rejected, vector_record
from data.sources.base import BLOCK, Plan
from data.sources.labels import NoLabel, label_of, number_of
from data.sources.split_files import shown, split_files
from data.sources.splits import SplitSource
from data.spec import Feature, Label, Vector

KIND = "*.csv"
_LONGEST_LINE = 1 << 20  # bytes; a file whose lines end in CR alone is one line


@dataclass(frozen=True)
class _Header:
    """Where a file's values are: the number of its columns, and the indices of the features' and of the label's."""

    columns: int
    features: tuple[int, ...]
    label: int


@dataclass(frozen=True)
class Csv(SplitSource):
    """Rows of numbers: every `.csv` in the folder, in UTF-8, with a header; the names of folders and files tell the
    splits (`data.sources.splits`). A row is one line: line breaks inside quotes are not understood. A row whose number
    of fields is not the header's is rejected; empty ones at its end may be more.

    Attributes:
      label: the label's column.
      columns: the features' columns, in the model's order; empty: all others, in the file's order.
    """

    label: str = "label"
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.label or not all(self.columns):
            raise UsageError("source.label and source.columns must not hold an empty name")
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if twice or self.label in self.columns:
            raise UsageError(f"source.columns names '{twice[0] if twice else self.label}' twice, or the label")

    def split_names(self, folder: str) -> frozenset[str]:
        """The splits, from the names of folders and files."""
        return frozenset(split_files(self, folder, _is_csv, KIND)[0])

    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists blocks of lines, (file below `folder`, first byte, last byte + 1, first line's number), by split.

        Raises:
          DataError: no file, one that is not UTF-8 with a line for each row, columns that are missing or there twice,
            or splits that are not plain.
        """
        by_split, unused = split_files(self, folder, _is_csv, KIND)
        plan = Plan({}, records_per_item=BLOCK, unused=unused)
        for split, names in by_split.items():
            plan.splits[split] = [item for name in names for item in self._blocks(folder, name, feature)]
            if not plan.splits[split]:
                raise DataError(f"no rows: {shown(names)} in {printable(folder)} has a header and no lines below it")
            if split:
                plan.layout[split] = shown(names)
        return plan

    def _blocks(self, folder: str, name: str, feature: Feature) -> list[tuple[str, int, int, int]]:
        """One pass over the lines: where each block of them begins and ends."""
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
        """The columns that the first line names.

        Raises:
          DataError: the file is not UTF-8, a column is missing or there twice, or there are more or fewer columns
            than the feature wants.
        """
        if not isinstance(feature, Vector):
            raise UsageError("a Csv gives numbers: the task's feature must be a Vector")
        names = _fields(_header_text(line, name))
        wanted = self.columns or tuple(column for column in names if column != self.label)
        shown_name = printable(name)
        missing = [column for column in (*wanted, self.label) if column not in names]
        if missing:
            other = next((mark for mark in ";\t|" if mark in "".join(names)), "")
            hint = f"It has: {_few(names)}." + (f" Its fields are separated by {other!r}, not by ','." if other else "")
            raise DataError(f"{shown_name} has no column '{missing[0]}'", hint=hint)
        twice = [column for column, count in Counter(names).items() if count > 1 and column in (*wanted, self.label)]
        if twice:
            raise DataError(
                f"{shown_name} has the column '{twice[0]}' {names.count(twice[0])} times",
                hint="Rename or remove all but one; or name the features' columns in the source's `columns`.",
            )
        if len(wanted) != feature.size:
            raise DataError(
                f"{shown_name} has {len(wanted)} feature columns, the task's feature has size {feature.size}",
                hint=f"They are: {_few(wanted)}.",
            )
        return _Header(len(names), tuple(map(names.index, wanted)), names.index(self.label))

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Reads the lines of the blocks in a random order; a row that is not all numbers is rejected."""
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
                    f"{printable(name)} became shorter while it was read", hint="Run again when it is whole."
                )
            lines = block.removesuffix(b"\n").split(b"\n")
            rows.extend((name, line_number + offset, line) for offset, line in enumerate(lines) if line.strip())
        for index in rng.permutation(len(rows)):
            name, number, line = rows[index]
            yield _row(line, headers[name], label, f"{name}:{number}")


def _is_csv(name: str) -> bool:
    return name.lower().endswith(".csv")


def _header_text(line: bytes, name: str) -> str:
    """The first line as text.

    Raises:
      DataError: the file is not UTF-8, or has no line ends.
    """
    if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{printable(name)} is UTF-16, not UTF-8", hint="Save it as UTF-8.")
    if b"\r" in line.rstrip(b"\r\n"):
        raise DataError(
            f"{printable(name)} has lines that end in a carriage return alone", hint="Save it with line feeds (\\n)."
        )
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(name)} is not UTF-8: byte {error.start} of its header is 0x{line[error.start]:02x}",
            hint="Save it as UTF-8.",
        ) from None


def _fields(text: str) -> list[str]:
    try:
        return [column.strip() for column in next(csv.reader([text.replace("\0", "")]), [])]
    except csv.Error:
        return []


def _few(names: Sequence[str]) -> str:
    listed = [name if len(name) <= 60 else f"{name[:57]}..." for name in names[:8]]
    return ", ".join(listed) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "no header"


def _row(line: bytes, header: _Header, label: Label, source: str) -> Outcome:
    try:
        text = line.decode("utf-8-sig")  # a mark stands at the start of a file that was appended to another
    except UnicodeDecodeError as error:
        return Rejected(source, "not UTF-8", f"byte {error.start} of the line is 0x{line[error.start]:02x}")
    try:
        values = next(csv.reader(io.StringIO(text.rstrip("\r"), newline=""), strict=True))
    except (csv.Error, StopIteration) as error:
        return Rejected(source, "not a row", str(error) or "a byte-order mark and nothing else")
    if len(values) < header.columns or any(one.strip() for one in values[header.columns :]):
        return Rejected(source, "not a row", f"{len(values)} fields, the header has {header.columns}")
    try:
        numbers = [number_of(values[index]) for index in header.features]
    except NoLabel as error:
        return Rejected(source, "not numeric", str(error))
    try:
        name = label_of([values[header.label]], label)
    except NoLabel as error:
        return Rejected(source, "unknown label", str(error))
    return vector_record(numbers, name, source)
