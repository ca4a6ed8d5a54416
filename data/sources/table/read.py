"""Read the rows of a table's items, and the pictures that they name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.errors import DataError
from data.images.formats import read_header
from data.images.validate import Checked, check_files
from data.names import printable, to_utf8
from data.records import LabelValue, Outcome, Rejected, image_record
from data.sources.base import chunks, prefetch
from data.sources.labels import InvalidLabel, indicated_names, label_order, parse_label, shorten_value
from data.sources.table.items import RowBlock, SharedPaths, TableItem
from data.sources.table.paths import InvalidPath, PathResolver
from data.sources.table.scan import NO_SPLIT, TWO_SPLITS, UNKNOWN_SPLIT
from data.sources.table.splits import UNASSIGNED, UNKNOWN, role_of
from data.spec import Image, Label, Labels
from data.tables.rows import BadRow, Row, RowRange, Table

_FAULTS = {
    TWO_SPLITS: "its rows are in two splits",
    NO_SPLIT: "the row names no split, but others do",
    UNKNOWN_SPLIT: "'{}' is not a word for a split",
}


@dataclass(frozen=True)
class ListedPicture:
    """A row that can be used.

    Attributes:
      source: table, row and path, for reports.
      table: path of the table below the data folder.
      path: the path as it is in the row, normalized.
      label: the label.
      extras: the columns to keep, by name.
    """

    source: str
    table: str
    path: str
    label: LabelValue
    extras: Mapping[str, str]


@dataclass
class TableReader:
    """Reads the rows of items, then their pictures.

    Attributes:
      paths: resolves the paths.
      label: the task's label.
      columns: columns of the label.
      separator: between the labels in a cell.
      indicators: whether the columns of the label hold 0 and 1.
      found: what the rows are whose path is in one row, or which are rejected anyway.
      shared: the other rows by path.
    """

    paths: PathResolver
    label: Label
    columns: tuple[str, ...]
    separator: str
    indicators: bool
    found: list[ListedPicture | Rejected] = field(default_factory=list)
    shared: dict[str, list[ListedPicture]] = field(default_factory=dict)

    @property
    def _is_several(self) -> bool:
        return isinstance(self.label, Labels)

    @staticmethod
    def tables_of(items: Sequence[TableItem]) -> Iterator[str]:
        """Yield the tables of items, with repetitions."""
        for item in items:
            yield from (item.table,) if isinstance(item, RowBlock) else (table for table, _, _ in item.rows)

    def add_rows(
        self,
        name: str,
        table: Table,
        columns: tuple[str, ...],
        split: str,
        slices: tuple[str, ...],
        items: Sequence[TableItem],
    ) -> None:
        """Read the rows of all items that are in a table.

        Args:
          name: path of the table below the data folder.
          table: the open table.
          columns: the columns to read: path, split if there is one, those of the label, and the slices.
          split: column of the split; "" for none.
          slices: columns to keep.
          items: items of any tables.

        Raises:
          DataError: If the table has changed since it was planned.
        """
        parts = sorted(_parts(name, items), key=lambda part: part[0].first)
        skips = [frozenset(item.skip) if isinstance(item, RowBlock) else frozenset() for _, item in parts]
        seen: set[int] = set()
        for row in table.rows(columns, [rows for rows, _ in parts]):
            seen.add(row.part)
            item = parts[row.part][1]
            if row.start in skips[row.part]:
                continue
            if isinstance(item, RowBlock) and _role(row, split) != item.role:
                continue
            self._add(row, name, item, split, slices)
        if len(seen) < len(parts):
            raise DataError(f"{table.name} changed while it was read", hint="Run again when the file is complete.")

    def _add(self, row: Row, name: str, item: TableItem, split: str, slices: tuple[str, ...]) -> None:
        source = f"{name}:{row.number}"
        if isinstance(row.values, BadRow):
            self.found.append(Rejected(source, "not a row", row.values))
            return
        values = list(row.values)
        value, use = values.pop(0), values.pop(0) if split else None
        source = f"{source} {to_utf8(shorten_value(_text(value)))}".rstrip()
        if item.fault:
            self.found.append(Rejected(source, item.fault, _FAULTS[item.fault].format(shorten_value(_text(use)))))
            return
        try:
            path = self.paths.normalize(value)
            label = self._parse(values[: len(self.columns)])
        except InvalidPath as error:
            self.found.append(Rejected(source, "no path", str(error)))
            return
        except InvalidLabel as error:
            self.found.append(Rejected(source, "unknown label", str(error)))
            return
        extras = dict(zip(slices, map(_text, values[len(self.columns) :]), strict=True))
        listed = ListedPicture(source, name, path, label, {key: to_utf8(text) for key, text in extras.items() if text})
        if isinstance(item, SharedPaths):
            self.shared.setdefault(self.paths.key(path, name), []).append(listed)
        else:
            self.found.append(listed)

    def _parse(self, values: Sequence[Any]) -> LabelValue:
        """Return the label that the values of the label's columns mean.

        Raises:
          InvalidLabel: If they are no label of the task's kind.
        """
        if self.indicators:
            return parse_label(indicated_names(values, self.columns), self.label)
        value = values[0]
        if value is None or value != value or (isinstance(value, (str, bytes)) and not value.strip()):
            raise InvalidLabel("empty; no label is [] in a list, or columns of 0" if self._is_several else "empty")
        if isinstance(value, (list, tuple)):
            return parse_label(value, self.label)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if self._is_several and self.separator and isinstance(value, str):
            return parse_label([one for one in value.split(self.separator) if one.strip()] or [""], self.label)
        return parse_label([value], self.label)

    def all_rows(self) -> list[ListedPicture | Rejected]:
        """Return what all rows are, after the last one was added."""
        found = list(self.found)
        for rows in self.shared.values():
            found.extend(_merge(rows) if isinstance(self.label, Labels) else _choose(rows))
        return found

    def outcomes(self, feature: Image, rng: np.random.Generator) -> Iterator[Outcome]:
        """Yield a record for each picture, in a random order, or the reason why it cannot be used.

        Args:
          feature: the task's feature.
          rng: draws the order.
        """
        found = self.all_rows()
        order = rng.permutation(len(found)).tolist()
        yield from (one for one in found if isinstance(one, Rejected))
        listed = [one for index in order if isinstance(one := found[index], ListedPicture)]
        for chunk, checked in prefetch(lambda part: self._check(part, feature), chunks(listed)):
            for row, (file, (contents, size, reason, message)) in zip(chunk, checked, strict=True):
                if reason:
                    yield Rejected(row.source, reason, message, contents)
                else:
                    yield image_record(contents, size, read_header(contents), row.label, file, extras=row.extras)

    def _check(self, rows: Sequence[ListedPicture], feature: Image) -> list[tuple[str, Checked]]:
        """Find, read and decode the pictures of rows; return the path of each below the data folder, and the result."""
        files = [self.paths.locate(row.path, row.table) for row in rows]
        paths = [self.paths.full(file) for file in files]
        checked = check_files(paths, feature.channels, feature.max_pixels, feature.background)
        return [(file, self._explain(file, one)) for file, one in zip(files, checked, strict=True)]

    def _explain(self, file: str, checked: Checked) -> Checked:
        """Return the result with a better reason if there is no such file."""
        if checked.reason != "unreadable" or self.paths.exists(file):
            return checked
        return checked._replace(reason="missing file", message=f"there is no file {printable(self.paths.full(file))}")


def _parts(name: str, items: Sequence[TableItem]) -> Iterator[tuple[RowRange, TableItem]]:
    """Yield the ranges of rows of a table that items have, each with its item."""
    for item in items:
        if isinstance(item, SharedPaths):
            for table, place, number in item.rows:
                if table == name:
                    yield RowRange(place, place + 1, number), item
        elif item.table == name:
            yield item.rows, item


def _role(row: Row, split: str) -> str:
    if isinstance(row.values, BadRow):
        return UNKNOWN
    return role_of(row.values[1]) if split else UNASSIGNED


def _text(value: Any) -> str:
    """Return a value of any type as text; "" for a missing one."""
    if value is None or value != value:
        return ""
    return (value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)).strip()


def _merge(rows: Sequence[ListedPicture]) -> Iterator[ListedPicture]:
    """Yield one picture with the labels of all its rows; otherwise it is that of the first row."""
    labels = [name for row in rows if isinstance(row.label, tuple) for name in row.label]
    first = rows[0]
    yield dataclasses.replace(first, label=tuple(label_order(set(labels))))


def _choose(rows: Sequence[ListedPicture]) -> Iterator[ListedPicture | Rejected]:
    """Yield the first row of a picture and reject the others; reject all if their labels differ."""
    first = rows[0]
    other = next((row for row in rows if row.label != first.label), None)
    if other is not None:
        for row in rows:
            twin = other if row.label == first.label else first
            yield Rejected(row.source, "two labels", f"'{row.label}', but '{twin.label}' in {twin.source}")
        return
    yield first
    for row in rows[1:]:
        yield Rejected(row.source, "listed twice", f"also in {first.source}, with the same label")
