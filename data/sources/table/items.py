"""The plan of a table: ranges of rows by split, and the rows whose path is in several rows, as compact arrays."""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Union, overload

import numpy as np
from numpy.typing import NDArray

from data.sources.base import BLOCK
from data.tables.rows import RowRange


class RowBlock(NamedTuple):
    """An item of a plan: the rows of a range that have one role.

    Attributes:
      table: path of the table below the data folder.
      rows: the range.
      role: role of the rows to read, see `data.sources.table.splits`; rows of other roles in the range belong to other
        items.
      fault: why all of them are rejected; "" if they are not.
      skip: places of rows in the range that other items have, because their path is in several rows.
    """

    table: str
    rows: RowRange
    role: str
    fault: str
    skip: tuple[int, ...]


class SharedPaths(NamedTuple):
    """An item of a plan: rows whose paths are in several rows; all rows of a path are in one item.

    Attributes:
      rows: (table, place, number) of each row.
      fault: why all of them are rejected; "" if their labels decide.
    """

    rows: tuple[tuple[str, int, int], ...]
    fault: str


TableItem = Union[RowBlock, SharedPaths]


class BlockCutter:
    """Cuts the rows of one role into ranges of `BLOCK` rows, as they are found."""

    def __init__(self) -> None:
        self._bounds = array("q")
        self._count = 0

    def add(self, start: int, stop: int, number: int) -> None:
        """Add the next row: its place, the place behind it, and its number."""
        if self._count % BLOCK == 0:
            self._bounds.extend((start, stop, number))
        else:
            self._bounds[-2] = stop
        self._count += 1

    def blocks(self) -> NDArray[np.int64]:
        """Return first, last and number of each range, and how many of the rows are in it: int64 [N, 4]."""
        found = np.frombuffer(self._bounds, np.int64).reshape(-1, 3)
        counts = np.minimum(BLOCK, self._count - BLOCK * np.arange(len(found)))
        return np.concatenate([found, counts[:, np.newaxis]], axis=1)


@dataclass
class BlockPart:
    """The blocks of one table and role.

    Attributes:
      table, role, fault: see `RowBlock`.
      blocks: int64 [N, 4], from `BlockCutter.blocks`.
      skip: places of the rows of this table that other items have, int64, sorted.
    """

    table: str
    role: str
    fault: str
    blocks: NDArray[np.int64]
    skip: NDArray[np.int64]

    def drop_empty(self, own_skip: NDArray[np.int64]) -> None:
        """Remove the blocks of which all rows are skipped.

        Args:
          own_skip: places of the rows of this table and role that other items have, int64, sorted.
        """
        first, last, _, count = self.blocks.T
        skipped = np.searchsorted(own_skip, last) - np.searchsorted(own_skip, first)
        self.blocks = self.blocks[skipped < count]


@dataclass
class SharedPart:
    """Rows whose paths are in several rows.

    Attributes:
      tables: paths of the tables.
      fault: see `SharedPaths`.
      rows: (index of the table, place, number) of each row, int64 [N, 3]; rows of a path are neighbours.
      bounds: index of the first row of each item, and the number of rows, int64.
    """

    tables: tuple[str, ...]
    fault: str
    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]


@dataclass
class TableItems(Sequence[TableItem]):
    """The items of one split, made when they are asked for: a million rows take 32 bytes for each block of 64.

    Attributes:
      blocks, shared: the parts, in order.
    """

    blocks: list[BlockPart] = field(default_factory=list)
    shared: list[SharedPart] = field(default_factory=list)

    def _ends(self) -> list[int]:
        sizes = [*(len(one.blocks) for one in self.blocks), *(len(one.bounds) - 1 for one in self.shared)]
        return [0, *np.cumsum(sizes).tolist()]

    def __len__(self) -> int:
        return int(self._ends()[-1])

    @overload
    def __getitem__(self, index: int) -> TableItem: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TableItem]: ...

    def __getitem__(self, index: int | slice) -> TableItem | Sequence[TableItem]:
        """Return an item, or a list of them."""
        ends = self._ends()
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(ends[-1]))]
        at = int(index) + (ends[-1] if index < 0 else 0)
        if not 0 <= at < ends[-1]:
            raise IndexError(index)
        part = bisect(ends, at) - 1
        if part < len(self.blocks):
            return _block(self.blocks[part], at - ends[part])
        return _shared(self.shared[part - len(self.blocks)], at - ends[part])


def _block(part: BlockPart, index: int) -> RowBlock:
    first, last, number, _ = part.blocks[index].tolist()
    low, high = np.searchsorted(part.skip, [first, last])
    return RowBlock(
        part.table, RowRange(first, last, number), part.role, part.fault, tuple(part.skip[low:high].tolist())
    )


def _shared(part: SharedPart, index: int) -> SharedPaths:
    rows = part.rows[part.bounds[index] : part.bounds[index + 1]].tolist()
    return SharedPaths(tuple((part.tables[table], place, number) for table, place, number in rows), part.fault)


def shared_part(tables: Sequence[str], fault: str, rows: NDArray[np.int64], group: NDArray[np.int64]) -> SharedPart:
    """Return rows whose paths are in several rows as a part: the groups in the order of their first rows.

    Args:
      tables: paths of the tables.
      fault: see `SharedPaths`.
      rows: int64 [N, 3], see `SharedPart.rows`.
      group: number of the group of each row, int64 [N]; rows of a group have the same path.
    """
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, group = rows[order], group[order]
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    order = np.lexsort((np.arange(len(rows)), first[inverse]))
    rows, ranks = rows[order], first[inverse][order]
    starts = np.flatnonzero(np.concatenate([[True], ranks[1:] != ranks[:-1]]))
    return SharedPart(tuple(tables), fault, rows, np.append(starts[::BLOCK], len(rows)).astype(np.int64))
