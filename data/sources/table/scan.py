"""One pass over the tables: where the rows of each split are, which paths are in several rows, which files in none."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files.stream import visible_files
from data.names import to_bytes
from data.sources.base import Plan
from data.sources.table.items import BlockCutter, BlockPart, TableItems, shared_part
from data.sources.table.paths import InvalidPath, PathResolver, has_suffix
from data.sources.table.splits import ROLES, UNASSIGNED, UNKNOWN, role_of
from data.tables.repeats import Entries
from data.tables.rows import BadRow, Table

TWO_SPLITS, NO_SPLIT, UNKNOWN_SPLIT = "two splits", "no split", "unknown split"
_USED = 1 << 20  # code of a file that a row may name; those of rows are smaller
_FILE = 1 << 21  # code of a file


@dataclass
class TableScan:
    """The rows of all tables.

    Attributes:
      tables: paths of the tables below the data folder.
      cutters: the ranges of rows by table and role.
      examples: a value of the split's column for each role that occurs.
    """

    tables: list[str] = field(default_factory=list)
    cutters: dict[tuple[int, str], BlockCutter] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add_table(self, below: str, table: Table, path: str, split: str, paths: PathResolver, entries: Entries) -> None:
        """Read the paths and the splits of all rows of a table.

        Args:
          below: path of the table below the data folder.
          table: the open table.
          path: column of the path.
          split: column of the split; "" for none.
          paths: resolves the paths.
          entries: gets the paths of the rows.
        """
        index = len(self.tables)
        self.tables.append(below)
        codes = {role: index * len(ROLES) + code for code, role in enumerate(ROLES)}
        for row in table.rows((path, split) if split else (path,)):
            role, value = self._role(row.values, split)
            if (index, role) not in self.cutters:
                self.cutters[index, role] = BlockCutter()
            self.cutters[index, role].add(row.start, row.stop, row.number)
            if role != UNKNOWN:
                _add_path(value, below, row.start, row.number, codes[role], paths, entries)

    def _role(self, values: tuple[Any, ...] | BadRow, split: str) -> tuple[str, Any]:
        """Return the role and the path of a row."""
        if isinstance(values, BadRow):
            return UNKNOWN, None
        if not split:
            return UNASSIGNED, values[0]
        role = role_of(values[1])
        if role not in self.examples:
            self.examples[role] = str(values[1])
        return role, values[0]


def _add_path(
    value: Any, below: str, place: int, number: int, code: int, paths: PathResolver, entries: Entries
) -> None:
    """Add the path of a row, and the paths below the data folder that it may mean."""
    try:
        path = paths.normalize(value)
    except InvalidPath:
        return
    key = paths.key(path, below)
    entries.add(to_bytes(key), place, number, code)
    if len(paths.bases(below)) > 1:
        for name in paths.candidates(path, below, try_suffixes=False):
            if name != key:
                entries.add(to_bytes(name), 0, 0, _USED)


def add_files(folder: str, entries: Entries) -> int:
    """Add the pictures of the data folder, to find those that no row names; return their number."""
    count = 0
    for file in visible_files(folder):
        if has_suffix(file):
            count += 1
            for name in (file, posixpath.splitext(file)[0]):  # the row may have it without suffix
                entries.add(to_bytes(name), 0, 0, _FILE)
    return count


@dataclass
class _Repeats:
    """Rows whose paths are in several rows, as arrays of the same length, and the number of files that rows name."""

    table: NDArray[np.int64]
    role: NDArray[np.int64]
    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    listed: int


def _find_repeats(entries: Entries, ignored: Sequence[str]) -> _Repeats:
    """Find the rows whose paths are in several rows.

    Args:
      entries: of rows and files.
      ignored: roles of rows that are rejected anyway.
    """
    found: list[NDArray[np.void]] = []
    groups: list[NDArray[np.int64]] = []
    listed = total = 0
    wrong = [ROLES.index(role) for role in ignored]
    for part, group in entries.groups():
        code, size = part["code"], int(group[-1]) + 1
        used = np.bincount(group[code <= _USED], minlength=size)
        listed += int(np.count_nonzero(used[group[code == _FILE]]))
        usable = (code < _USED) & ~np.isin(code % len(ROLES), wrong)
        several = usable & (np.bincount(group[usable], minlength=size)[group] > 1)
        found.append(part[several])
        groups.append(group[several] + total)
        total += size
    every = np.concatenate(found) if found else np.empty(0, [("code", "<i8"), ("place", "<i8"), ("number", "<i8")])
    table = every["code"] // len(ROLES)
    rows = np.stack([table, every["place"], every["number"]], axis=1)
    return _Repeats(table, every["code"] % len(ROLES), rows, np.concatenate(groups or [np.empty(0, np.int64)]), listed)


def fill_plan(plan: Plan, scan: TableScan, entries: Entries, split_of: dict[tuple[int, str], str], files: int) -> None:
    """Add the items of all splits, and the number of files that no row names, to a plan.

    Args:
      plan: gets the items.
      scan: the rows.
      entries: the paths of the rows, and the files.
      split_of: split by table and role; rows of other roles are rejected, together with those for training.
      files: number of the files.
    """
    divided = "train" in split_of.values()
    by_column = any(role != UNASSIGNED for _, role in split_of)
    repeats = _find_repeats(entries, (UNASSIGNED,) if by_column else ())
    home = "train" if divided else ""
    items: dict[str, TableItems] = {split: TableItems() for split in dict.fromkeys(split_of.values())}
    for (table, role), cutter in sorted(scan.cutters.items()):
        skip = np.sort(repeats.rows[repeats.table == table, 1])
        own = np.sort(repeats.rows[(repeats.table == table) & (repeats.role == ROLES.index(role)), 1])
        fault = "" if (table, role) in split_of else UNKNOWN_SPLIT if role == UNKNOWN else NO_SPLIT
        part = BlockPart(scan.tables[table], role, fault, cutter.blocks(), skip)
        part.drop_empty(own)
        items[split_of.get((table, role), home)].blocks.append(part)
    _add_shared(items, home, scan, repeats, split_of)
    plan.splits.update(items)
    unlisted = files - min(files, repeats.listed)
    if unlisted:
        plan.unused.update(Counter({"in no row of the table": unlisted}))


def _add_shared(
    items: dict[str, TableItems],
    home: str,
    scan: TableScan,
    repeats: _Repeats,
    split_of: dict[tuple[int, str], str],
) -> None:
    """Add the rows whose paths are in several rows to their split, or to `home` if they are in several splits."""
    names = list(items)
    lookup = np.zeros((len(scan.tables), len(ROLES)), np.int64)
    for (table, role), split in split_of.items():
        lookup[table, ROLES.index(role)] = names.index(split)
    splits = lookup[repeats.table, repeats.role]
    _, group = np.unique(repeats.group, return_inverse=True)
    count = int(group.max()) + 1 if len(group) else 0
    low, high = np.full(count, len(names)), np.full(count, -1)
    np.minimum.at(low, group, splits)
    np.maximum.at(high, group, splits)
    for mixed in (False, True):
        for index, name in enumerate(names):
            chosen = (low[group] != high[group]) if mixed else (low[group] == high[group]) & (splits == index)
            if mixed and name != home:
                continue
            if chosen.any():
                fault = TWO_SPLITS if mixed else ""
                part = shared_part(scan.tables, fault, repeats.rows[chosen], group[chosen])
                items[name].shared.append(part)
