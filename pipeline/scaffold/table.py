"""Find a table of pictures in a folder, and the columns of the path, the label and the split."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from data.errors import DataError
from data.files.listing import FOLDER, entries, is_visible
from data.files.remote import is_remote
from data.names import list_names, printable
from data.sources import ImageTable
from data.sources.labels import InvalidLabel, indicated_names
from data.sources.table.files import find_tables
from data.sources.table.items import SharedPaths
from data.sources.table.paths import InvalidPath, PathResolver, has_suffix
from data.sources.table.read import ListedPicture
from data.sources.table.splits import UNASSIGNED, UNKNOWN, role_of
from data.spec import Classes, Image, Labels
from data.tables.open_table import is_table, open_table
from data.tables.rows import BadRow, Table

_SAMPLE = 200  # first rows that are looked at
_TRIED = 20  # of these, rows whose files are looked for
_FOUND = 0.5  # share of them with a file, in the path's column
_FOLDERS = 100  # folders that paths may be relative to
_VALUES = 1000  # different values of a column at most that may be labels
_LABELS = ("label", "labels", "class", "classes", "class_name", "category", "categories", "target", "tags", "tag", "y")
_SEPARATORS = "|;,"
_IN_NAMES = ","  # separators that names of classes have, too


@dataclass
class PictureTable:
    """A table of pictures.

    Attributes:
      name: Path of the table below the folder; of several, the first and the number of the others.
      source: Reads it.
      label: The kind of label.
      notes: What a user may want to change, a sentence each.
    """

    name: str
    source: ImageTable
    label: Union[Classes, Labels]
    notes: list[str] = field(default_factory=list)


@dataclass
class _Column:
    """The values of a column.

    Attributes:
      first: Those of the first rows.
      distinct: All different ones as text, up to `_VALUES` and one more.
      has_lists: Whether values are lists.
    """

    first: list[Any] = field(default_factory=list)
    distinct: dict[str, None] = field(default_factory=dict)
    has_lists: bool = False

    def add(self, value: Any) -> None:
        if len(self.first) < _SAMPLE:
            self.first.append(value)
        self.has_lists = self.has_lists or isinstance(value, list)
        if len(self.distinct) <= _VALUES:
            self.distinct.setdefault(str(value).strip())

    @property
    def may_be_label(self) -> bool:
        """Whether the values are few enough, and not all the same."""
        return self.has_lists or 2 <= len(self.distinct) <= _VALUES

    @property
    def is_indicator(self) -> bool:
        """Whether the values are 0 and 1."""
        try:
            return (
                bool(self.distinct)
                and len(self.distinct) <= 4
                and all(indicated_names([one], ["x"]) is not None for one in self.distinct)
            )
        except InvalidLabel:
            return False

    @property
    def shows_splits(self) -> bool:
        """Whether each value is a word for a split, and there are training and other rows."""
        if len(self.distinct) > 20:
            return False
        roles = {role_of(value) for value in self.distinct}
        return "train" in roles and len(roles) > 1 and not roles & {UNKNOWN, UNASSIGNED}


def find_picture_table(folder: str) -> PictureTable | None:
    """Return the table that lists the pictures of a folder; None if there is none.

    Raises:
      DataError: If several tables list them, or a table lists pictures without a label.
    """
    if not any(is_table(entry.name) for entry in _shallow(folder)):
        return None
    found = []
    for file, names in _choices(folder):
        table = _inspect(folder, file, names)
        if table:
            found.append(table)
    if len(found) > 1:
        listed = list_names([printable(one.name) for one in found], 4)
        raise DataError(
            f"several tables list the pictures of {printable(folder)}: {listed}",
            hint=f'Write the task by hand: source=ImageTable(file="{printable(found[0].name)}", ...).',
        )
    return found[0] if found else None


def _shallow(folder: str) -> Iterator[Any]:
    """Yield the files in a folder and in the folders in it."""
    for entry in entries(folder):
        if entry.kind == FOLDER and is_visible(entry.name):
            yield from entries(posixpath.join(folder, entry.name), is_file=lambda name: "." in name)
        else:
            yield entry


def _choices(folder: str) -> list[tuple[str, list[str]]]:
    """Return `source.file` and the tables it means: all tables together if their names show splits, else each."""
    try:
        by_split = find_tables(folder, "", has_split=False)
        return [("", [name for names in by_split.values() for name in names])]
    except DataError:
        names = find_tables(folder, "", has_split=True)[""]
        return [(name, [name]) for name in names]


def _inspect(folder: str, file: str, names: Sequence[str]) -> PictureTable | None:
    """Return a table with its columns, or None if it does not list pictures.

    Raises:
      DataError: If it does, but no column can be the label.
    """
    table = _open(posixpath.join(folder, names[0]))
    if table is None:
        return None
    columns = _read_columns(table)
    path, images = _path_column(folder, names[0], columns)
    if not path:
        return None
    source = ImageTable(file=file, images=images)
    if table.has_header and "imageGcsUri" not in table.columns:
        source = dataclasses.replace(source, path=path)
    else:
        columns = {name: columns[name] for name in ("path", "label")}
    splits = [name for name, column in columns.items() if name != path and column.shows_splits]
    if splits:
        source = dataclasses.replace(source, split=splits[0])
    rest = {name: column for name, column in columns.items() if name not in (path, source.split)}
    label, others = _label_columns(rest, table.name)
    source = dataclasses.replace(source, label=label if len(label) > 1 else label[0])
    kind, source = _kind(folder, source, columns)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return PictureTable(f"{names[0]}{more}", source, kind, list(_notes(source, table, others)))


def _open(path: str) -> Table | None:
    """Open a table, with a header or without; return None if that is not possible."""
    for wanted in (("path", "label"), ()):
        try:
            table = open_table(path, wanted)
        except DataError:
            continue
        if wanted or table.has_header:
            return table
    return None


def _read_columns(table: Table) -> dict[str, _Column]:
    """Return all columns with their values, from one pass over the table."""
    names = [name for name in dict.fromkeys(table.columns) if name and table.columns.count(name) == 1]
    found = {name: _Column() for name in names}
    for row in table.rows(names):
        if not isinstance(row.values, BadRow):
            for column, value in zip(found.values(), row.values, strict=True):
                column.add(value)
    return found


def _path_column(folder: str, name: str, columns: dict[str, _Column]) -> tuple[str, str]:
    """Return the column with the most paths of files, and the folder that they are relative to; "" for none."""
    best = (_FOUND, "", "")
    for images in _image_folders(folder):
        paths = PathResolver(folder, images, "")
        for column, values in columns.items():
            rows = values.first[:: max(1, len(values.first) // _TRIED)][:_TRIED]
            if rows and not values.has_lists:
                best = max(
                    best, (sum(_names_file(paths, one, name) for one in rows) / len(rows), column, images), key=_rank
                )
        if best[0] == 1:
            break
    return best[1], best[2]


def _rank(choice: tuple[float, str, str]) -> float:
    return choice[0]


def _names_file(paths: PathResolver, value: Any, table: str) -> bool:
    try:
        path = paths.normalize(value)
    except InvalidPath:
        return False
    if is_remote(path):
        return has_suffix(path)
    return any(has_suffix(one) and paths.exists(one) for one in paths.candidates(path, table))


def _image_folders(folder: str) -> list[str]:
    """Return "" and the folders below a folder, down to the second level."""
    found = [""]
    for entry in entries(folder, is_file=lambda name: "." in name)[:10_000]:
        if entry.kind == FOLDER and is_visible(entry.name):
            found.append(entry.name)
            inner = entries(posixpath.join(folder, entry.name), is_file=lambda name: "." in name)
            found += [posixpath.join(entry.name, one.name) for one in inner if one.kind == FOLDER]
    return found[:_FOLDERS]


def _label_columns(columns: dict[str, _Column], table: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns of the label, and those of the others whose values could be slices.

    Raises:
      DataError: If no column can be the label.
    """
    named = sorted(
        (name for name, column in columns.items() if name.lower() in _LABELS and column.may_be_label),
        key=lambda name: _LABELS.index(name.lower()),
    )
    indicators = [name for name, column in columns.items() if column.is_indicator]
    several = [name for name, column in columns.items() if column.may_be_label]
    if named:
        label: tuple[str, ...] = (named[0],)
    elif len(indicators) > 1:
        label = tuple(indicators)
    elif several:
        label = (several[0],)
    else:
        raise DataError(
            f"{table} lists pictures, but no column can be the label: {list_names(list(columns), 8) or 'none left'}",
            hint=f"A label has 2 to {_VALUES:,} different values. Write the task by hand: ImageTable(label=...).",
        )
    return label, [name for name in several if name not in label and len(columns[name].distinct) <= 50]


def _kind(folder: str, source: ImageTable, columns: dict[str, _Column]) -> tuple[Classes | Labels, ImageTable]:
    """Return whether a picture has one label or several, and the source with the separator of a cell's labels."""
    if not isinstance(source.label, str):
        return _kind_of_indicators([columns[name].first for name in source.label]), source
    column = columns[source.label]
    if column.has_lists:
        several = any(isinstance(one, list) and len(one) != 1 for one in column.first)
        return Labels() if several else Classes(), source
    for separator in _SEPARATORS:
        if _separates(separator, column.distinct):
            return Labels(), dataclasses.replace(source, separator=separator)
    return (Labels() if _has_repeats(folder, source) else Classes()), source


def _kind_of_indicators(columns: Sequence[Sequence[Any]]) -> Classes | Labels:
    names = [str(index) for index in range(len(columns))]
    counts = {len(indicated_names(row, names)) for row in zip(*columns, strict=True)}
    return Classes() if counts == {1} else Labels()


def _separates(separator: str, values: dict[str, None]) -> bool:
    """Return whether values are several labels; if names may have the separator, their parts must occur elsewhere."""
    parts = {part.strip() for value in values for part in value.split(separator)} - {""}
    joined = any(separator in value.strip(separator) for value in values)
    return joined and (separator not in _IN_NAMES or len(parts) < len(values) or parts <= {*values})


def _has_repeats(folder: str, source: ImageTable) -> bool:
    """Return whether several pictures are in rows with different labels."""
    plan = source.plan(folder, Image(1, 1))
    shared = [item for items in plan.splits.values() for item in items if isinstance(item, SharedPaths)]
    rows = source.list_rows(folder, shared[:4], Labels())
    labels = [row.label for row in rows if isinstance(row, ListedPicture)]
    return sum(isinstance(one, tuple) and len(one) > 1 for one in labels) > 1


def _notes(source: ImageTable, table: Table, others: Sequence[str]) -> Iterator[str]:
    if table.has_header and not isinstance(source.label, str):
        yield f"the labels are the columns with 0 and 1: {list_names(source.label, 6)}"
    elif table.has_header and source.label != "label":
        yield f"the label is the column '{printable(str(source.label))}': change source.label if it is another one"
    usable = [name for name in others if re.fullmatch(r"[\w .-]+", name)]
    if usable:
        names = ", ".join(f'"{name}"' for name in usable[:3])
        names += "," if len(usable) == 1 else ""
        yield f"to see the quality for each value of other columns, add slices=({names}) to the source"
