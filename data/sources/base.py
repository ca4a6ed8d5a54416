"""The contract of a source, and what the sources share."""

from __future__ import annotations

import abc
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from data.errors import UsageError
from data.fields import check_fields
from data.records import Outcome
from data.spec import Feature, Label

# Records read, checked and encoded together: bounds memory, and lets one part decode while the one before is written.
CHUNK = 64
BLOCK = 64  # neighbouring rows that travel together in the shuffle of row-based files, so that reads stay sequential

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Plan:
    """What there is to read.

    Attributes:
      splits: items by split name; under "" those whose split is decided by their content. An item is the source's
        own: a file with its class, or a range of rows.
      records_per_item: 1, or the rows of a block.
      not_pictures: files passed over, by name or suffix (`.DS_Store`).
      unused: pictures or data files passed over, by where they lie ("in extra/").
      classes: those that are known beforehand; each must end up with a record.
      layout: which folder or files each split is read from, where names told it.
      notes: what else a user should know of how the data were understood, a sentence each.
    """

    splits: dict[str, Sequence[Any]]
    records_per_item: int = 1
    not_pictures: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source(abc.ABC):
    """Files that hold examples.

    Attributes:
      folder: the folder below the data folder (`--data`); may hold TFX's `{SPAN}`, `{VERSION}` and
        `{YYYY}{MM}{DD}`, for example "day-{SPAN}/v{VERSION}": the latest is taken.
    """

    folder: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "source")
        if self.folder.startswith("/") or ".." in self.folder.split("/"):
            raise UsageError(
                f"source.folder must lie below the data folder, got '{self.folder}'",
                hint="--data DIR may name any folder.",
            )

    @abc.abstractmethod
    def split_names(self, folder: str) -> frozenset[str]:
        """The splits that `plan` will find, from names alone: "train", "eval", "test"; "" where the content decides.

        Raises:
          DataError: no folder, or splits that are not plain.
        """

    @abc.abstractmethod
    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists the work below `folder`, without reading the data.

        Raises:
          DataError: there is nothing to train on: no folder, no files, no class.
        """

    @abc.abstractmethod
    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Reads, checks and encodes the items of one shard in the order given; rows within them in `rng`'s order."""


def blocks(count: int) -> list[tuple[int, int]]:
    """Cuts `count` rows into (first, last + 1) ranges of `BLOCK` rows."""
    return [(first, min(first + BLOCK, count)) for first in range(0, count, BLOCK)]


def shuffled_rows(ranges: Sequence[tuple[int, int]], rng: np.random.Generator) -> np.ndarray:
    """All rows of the ranges, int64, in a random order."""
    return rng.permutation(np.concatenate([np.arange(first, last) for first, last in ranges]))


def chunks(items: Any, size: int = CHUNK) -> Iterator[Any]:
    """Slices of at most `size` items of a sequence or array."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def ahead(work: Callable[[T], R], inputs: Iterable[T], depth: int = 2) -> Iterator[tuple[T, R]]:
    """Each input with its result, in order; the next `depth` are worked out in threads while the caller uses this one.

    TensorFlow's decoders leave the interpreter free, so that reading and record-making share the cores.
    """
    pending: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(depth) as pool:
        for one in inputs:
            pending.append((one, pool.submit(work, one)))
            if len(pending) > depth:
                done, result = pending.popleft()
                yield done, result.result()
        for done, result in pending:
            yield done, result.result()
