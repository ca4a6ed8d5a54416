"""Find the tables of a data folder, and the splits that the names of several tables show."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator

from data.errors import DataError
from data.files.listing import FILE, entries, is_visible
from data.files.stream import visible_files
from data.names import list_names, printable
from data.sources.base import list_found
from data.sources.splits import group_files_by_split
from data.tables.open_table import KIND, is_table

_SHOWN = 4


def find_tables(folder: str, pattern: str, *, has_split: bool) -> dict[str, list[str]]:
    """Return the tables by the split that their names show; "" if they show none.

    Args:
      folder: the data folder.
      pattern: path below it, or a pattern with `*`, `?` or `[]`; "": the tables in the folder, or, if there are none,
        in the folders below it.
      has_split: whether a column shows the split, so that the names are not asked.

    Raises:
      DataError: If there is no table, or there are several and their names do not show splits.
    """
    names = sorted(_matching(folder, pattern) if pattern else _all_tables(folder))
    if not names:
        found = [entry.name for entry in entries(folder) if is_visible(entry.name)]
        what = f"matches '{pattern}' (source.file)" if pattern else f"is named {KIND}"
        raise DataError(
            f"no table in {printable(folder)}: no file {what}",
            hint=f"Found: {list_found(found)}. Name the folder with --data, or the table with --set source.file=NAME.",
        )
    if has_split or len(names) == 1:
        return {"": names}
    try:
        by_split = group_files_by_split(names, folder)
    except DataError as error:
        raise _several(folder, names, f": {error}") from None
    if "" in by_split and not pattern:
        raise _several(folder, names, "")
    return by_split


def _several(folder: str, names: list[str], why: str) -> DataError:
    listed = list_names([printable(name) for name in names], _SHOWN)
    return DataError(
        f"several tables in {printable(folder)} ({listed}){why}",
        hint=f"Name the one to read: --set source.file={printable(names[0])}, or a column that shows the splits:"
        " --set source.split=COLUMN.",
    )


def _matching(folder: str, pattern: str) -> list[str]:
    here, _, name = pattern.rpartition("/")
    if not any(mark in pattern for mark in "*?["):
        return [pattern for entry in _entries(folder, here) if entry == name]
    if not any(mark in here for mark in "*?["):
        return [posixpath.join(here, entry) for entry in _entries(folder, here) if fnmatch.fnmatchcase(entry, name)]
    return [path for path in visible_files(folder) if fnmatch.fnmatchcase(path, pattern)]


def _entries(folder: str, below: str) -> Iterator[str]:
    for entry in entries(posixpath.join(folder, below) if below else folder):
        if entry.kind == FILE and is_visible(entry.name):
            yield entry.name


def _all_tables(folder: str) -> list[str]:
    here = [name for name in _entries(folder, "") if is_table(name)]
    return here or [path for path in visible_files(folder) if is_table(path)]
