"""Read pictures that a table lists: a path, a label, perhaps a split and further columns in each row."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.errors import DataError, UsageError
from data.names import list_names, printable
from data.records import FACTS, Outcome, Rejected
from data.sources.base import BLOCK, Plan, Source
from data.sources.table.files import find_tables
from data.sources.table.paths import PathResolver
from data.sources.table.read import ListedPicture, TableReader
from data.sources.table.scan import TableScan, add_files, fill_plan
from data.sources.table.splits import ROLES, UNASSIGNED, role_of, splits_of_roles
from data.spec import IMAGE, LABEL, VECTOR, Feature, Image, Label, Number
from data.tables.open_table import open_table
from data.tables.repeats import Entries
from data.tables.rows import ML_USE, Table


@dataclass(frozen=True)
class ImageTable(Source):
    """Source of pictures listed in a table: CSV, TSV, JSON Lines or Parquet, as Keras' `flow_from_dataframe` has it.

    CSV and TSV are UTF-8; the separator (`,`, `;`, `|` or a tab) and whether there is a header are found out. Without a
    header, and in JSON Lines with `imageGcsUri`, the form is that of Vertex AI's import files.

    Rows without a file, label or path are rejected, and so are those of a picture with two labels, all but the first of
    rows that are equal, and rows without a word for a split, if other rows have one. With several labels for a picture
    (`Labels`), the rows of one path are one record.

    A run is repeated if a table or any file in the data folder has changed. A change of a picture elsewhere (`gs://`,
    or an absolute path) is not seen: change the table, or take another --root.

    Attributes:
      file: path of the table below the data folder, or a pattern (`*`, `?`) of several; empty: the only one there, or
        one for each split, such as train.csv and test.csv.
      path: column of the picture's path: absolute, a URI such as `gs://bucket/1.jpg`, or relative.
      label: column of the label. A tuple of columns: each is 1 if its name is a label of the picture, otherwise 0.
      separator: text between the labels in a cell, if the task's label is `Labels`; empty: a cell is one label.
      split: column of the split, with words such as train, validation and test; empty: none.
      slices: further columns, which become features of the records, and slices of the evaluation.
      images: folder below the data folder that paths are relative to; empty: the table's folder, then the data folder.
      suffix: suffix that the files have and the paths have not, such as ".jpg"; empty: it is found for each picture.
    """

    file: str = ""
    path: str = "path"
    label: str | tuple[str, ...] = "label"
    separator: str = "|"
    split: str = ""
    slices: tuple[str, ...] = ()
    images: str = ""
    suffix: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("file", self.file), ("images", self.images)):
            if value.startswith("/") or ".." in value.split("/"):
                raise UsageError(f"source.{name} must be below the data folder, got '{value}'")
        if not self.path or not all((*self.labels, *self.slices)) or not self.labels:
            raise UsageError("source.path, source.label and source.slices must not contain an empty name")
        if self.path in self.labels or self.path == self.split or self.split in self.labels:
            raise UsageError(f"source.path, source.label and source.split must be different columns, got '{self.path}'")
        for name in self.slices:
            if name in (IMAGE, LABEL, VECTOR, *FACTS) or self.slices.count(name) > 1 or name in self.labels:
                what = "twice" if self.slices.count(name) > 1 else "which the records have already"
                raise UsageError(f"source.slices names '{name}' {what}", hint="Remove it.")
        if self.suffix and not self.suffix.startswith("."):
            raise UsageError(f"source.suffix must begin with a dot, got '{self.suffix}'")

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the label."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def extra_features(self) -> tuple[str, ...]:
        """The columns that become features of the records."""
        return self.slices

    def check_label(self, label: Label) -> None:
        """Check that columns of 0 and 1 are not used for a number.

        Raises:
          UsageError: If they are.
        """
        if isinstance(label, Number) and not isinstance(self.label, str):
            raise UsageError(
                "source.label names columns of 0 and 1, but the task's label is a Number",
                hint='Name one column: label="COLUMN"; or use Labels() or Classes().',
            )

    def split_names(self, folder: str) -> frozenset[str]:
        """Return the splits that the column of the split shows, or else the names of the tables."""
        by_file = find_tables(folder, self.file, has_split=bool(self.split))
        found: dict[str, str] = {}
        for names in by_file.values():
            for name in names:
                table = self._open(folder, name)
                split = self._split_column(table)
                for row in table.rows((split,)) if split else ():
                    if isinstance(row.values, tuple):
                        found.setdefault(role_of(row.values[0]), str(row.values[0]))
                    if len(found) == len(ROLES):
                        break
        splits = splits_of_roles(found, self._where(by_file)) if found else {}
        return frozenset(splits.values() or by_file)

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List ranges of the tables' rows by split, in one pass over the tables, and count the files in no row.

        The memory depends on the number of paths that are in several rows, not on that of the rows.

        Raises:
          DataError: If there is no table, a column is missing, or the splits are not complete.
        """
        if not isinstance(feature, Image):
            raise UsageError("ImageTable reads pictures: the task's feature must be an Image")
        by_file = find_tables(folder, self.file, has_split=bool(self.split))
        plan, scan, paths = Plan({}, records_per_item=BLOCK), TableScan(), self._paths(folder)
        file_split: list[str] = []
        with Entries() as found:
            for split, names in by_file.items():
                for name in names:
                    table = self._open(folder, name)
                    scan.add_table(name, table, self.path, self._split_column(table), paths, found)
                    file_split.append(split)
                    if not table.has_header:
                        plan.notes.append(
                            f"{table.name} has no header: its columns are read as the path and the label, after the"
                            " split if a row begins with TRAINING, VALIDATION or TEST"
                        )
            self._check_rows(scan, folder)
            splits = splits_of_roles(scan.examples, self._where(by_file)) if scan.examples else {}
            split_of = {
                (table, role): splits.get(role, "") if splits else split
                for table, split in enumerate(file_split)
                for role in (splits or (UNASSIGNED,))
            }
            fill_plan(plan, scan, found, split_of, add_files(folder, found))
        plan.layout.update(self._layout(by_file, scan, splits))
        return plan

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read the rows in a random order; read, check and decode their pictures as `ImageFolder` does."""
        assert isinstance(feature, Image)
        yield from self._read_rows(folder, items, label).outcomes(feature, rng)

    def list_rows(self, folder: str, items: Sequence[Any], label: Label) -> list[ListedPicture | Rejected]:
        """Return what the rows of items are, without reading their pictures.

        Args:
          folder: the data folder.
          items: items of `plan`.
          label: the task's label.
        """
        return self._read_rows(folder, items, label).all_rows()

    def locate(self, folder: str, row: ListedPicture) -> str:
        """Return the path of a row's picture, to open it."""
        paths = self._paths(folder)
        return paths.full(paths.locate(row.path, row.table))

    def _read_rows(self, folder: str, items: Sequence[Any], label: Label) -> TableReader:
        reader = TableReader(self._paths(folder), label, self.labels, self.separator, isinstance(self.label, tuple))
        for name in dict.fromkeys(reader.tables_of(items)):
            table = self._open(folder, name)
            split = self._split_column(table)
            columns = (self.path, *((split,) if split else ()), *self.labels, *self.slices)
            reader.add_rows(name, table, columns, split, self.slices, items)
        return reader

    def _paths(self, folder: str) -> PathResolver:
        return PathResolver(folder.rstrip("/"), self.images.strip("/"), self.suffix)

    def _open(self, folder: str, name: str) -> Table:
        wanted = dict.fromkeys((self.path, *self.labels, *self.slices, *((self.split,) if self.split else ())))
        return open_table(posixpath.join(folder, name), tuple(wanted))

    def _split_column(self, table: Table) -> str:
        return self.split or (ML_USE if ML_USE in table.columns and self._is_vertex(table) else "")

    @staticmethod
    def _is_vertex(table: Table) -> bool:
        """Return whether a table has the form of Vertex AI's import files, which have a split without a name."""
        return not table.has_header or "imageGcsUri" in table.columns

    def _where(self, by_file: dict[str, list[str]]) -> str:
        names = [printable(name) for names in by_file.values() for name in names]
        column = f"the column '{self.split}'" if self.split else "the split"
        return f"{column} of {list_names(names, 2)}"

    def _layout(self, by_file: dict[str, list[str]], scan: TableScan, splits: dict[str, str]) -> dict[str, str]:
        """Return the description of each split, if a column or the names of the tables show them."""
        if splits:
            column = self.split or "rows with"
            names = list_names([printable(name) for name in scan.tables], 1)
            return {split: f"{names} ({column} {printable(scan.examples[role])})" for role, split in splits.items()}
        return {split: list_names([printable(name) for name in names], 1) for split, names in by_file.items() if split}

    @staticmethod
    def _check_rows(scan: TableScan, folder: str) -> None:
        """Check that there is a row in each table.

        Raises:
          DataError: If there is none.
        """
        filled = {table for table, _ in scan.cutters}
        empty = [printable(name) for index, name in enumerate(scan.tables) if index not in filled]
        if empty:
            raise DataError(
                f"no rows in {empty[0]} in {printable(folder)}: only a header", hint="Write or fetch the table again."
            )
