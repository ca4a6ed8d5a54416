"""The interface of a source, and helpers that the sources share."""

from __future__ import annotations

import abc
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.errors import UsageError
from data.fields import check_fields
from data.names import list_names, printable
from data.records import Outcome
from data.spec import Feature, Label, Labels

# Records read, checked and encoded together. It bounds memory, and lets one chunk decode while the one before it is
# written.
CHUNK = 64
BLOCK = 64  # neighbouring rows that stay together when row-based files are shuffled, so that reads stay sequential

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Plan:
    """The work that a source has found in a folder.

    Attributes:
      splits: items by split name; the items under "" are assigned to a split by their content. Each source defines its
        own kind of item: a file with its class, or a range of rows.
      records_per_item: 1, or the rows of a block.
      in_order: whether every listing of the same data gives the items in this order; otherwise their texts (`repr`)
        decide their order in the shards.
      not_pictures: ignored files that are not images, counted by name or suffix (`.DS_Store`).
      unused: ignored images or data files, counted by their place ("in extra/").
      classes: classes known from the names of folders; each must have at least one record in the end.
      layout: the folder or files of each split, if their names decide the splits.
      notes: how the source interpreted unusual data, a sentence each, to show to the user.
    """

    splits: dict[str, Sequence[Any]]
    records_per_item: int = 1
    in_order: bool = True
    not_pictures: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source(abc.ABC):
    """Files that hold examples.

    A source plans its work without reading the data (`plan`), and then reads one shard of it at a time (`read`).
    `tests/data/sources/test_contract.py` checks every source.

    Attributes:
      folder: the folder below the data folder (`--data`); may contain TFX's `{SPAN}`, `{VERSION}` and
        `{YYYY}{MM}{DD}`, for example "day-{SPAN}/v{VERSION}": the latest one is used.
    """

    folder: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "source")
        if self.folder.startswith("/") or ".." in self.folder.split("/"):
            raise UsageError(
                f"source.folder must be below the data folder, got '{self.folder}'",
                hint="Use --data DIR for any other folder.",
            )

    @property
    def extra_features(self) -> tuple[str, ...]:
        """Names of the further features of the records, a text each, which a record may lack."""
        return ()

    @abc.abstractmethod
    def split_names(self, folder: str) -> frozenset[str]:
        """Return the splits that `plan` will find, from the names of files and folders alone.

        Args:
          folder: the data folder, local or remote.

        Returns:
          "train", "eval" and perhaps "test"; or "" alone, if the content decides the split.

        Raises:
          DataError: If the folder is missing, or the splits are ambiguous.
        """

    def check_label(self, label: Label) -> None:  # noqa: B027  # most sources have labels of all kinds
        """Check that the source can hold labels of this kind, before anything is read.

        Args:
          label: the task's label.

        Raises:
          UsageError: If it cannot.
        """

    @abc.abstractmethod
    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List the work below `folder`, without reading the data.

        Args:
          folder: the data folder, local or remote.
          feature: the task's feature.
          label: the task's label; None stands for `Classes`.

        Raises:
          DataError: If there is nothing to train on: no folder, no files, or no class.
        """

    @abc.abstractmethod
    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read, check and encode the items of one shard, in the order given.

        Args:
          folder: the data folder, local or remote.
          items: items of `plan`, all of one split.
          feature: the task's feature.
          label: the task's label.
          rng: draws the order of the rows within the items.

        Yields:
          A `Record` for each example, or a `Rejected` with the reason why it cannot be used.
        """


def require_one_label(label: Label, what: str, hint: str) -> None:
    """Check that the label is not `Labels`.

    Args:
      label: the task's label.
      what: what the source reads, for the error.
      hint: which sources read several labels.

    Raises:
      UsageError: If it is.
    """
    if isinstance(label, Labels):
        raise UsageError(f"{what}: the label must be Classes or Number, not Labels", hint=hint)


def list_found(names: Iterable[str]) -> str:
    """Return the first eight names and the number of others, to tell the user what a folder holds."""
    return list_names([printable(name) for name in names], 8) or "nothing"


def blocks(count: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into ranges (first, last + 1) of `BLOCK` rows."""
    return ((first, min(first + BLOCK, count)) for first in range(0, count, BLOCK))


def shuffled_rows(ranges: Sequence[tuple[int, int]], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return all rows of the ranges, int64, in a random order."""
    return rng.permutation(np.concatenate([np.arange(first, last) for first, last in ranges]))


def chunks(items: Any, size: int = CHUNK) -> Iterator[Any]:
    """Yield slices of at most `size` items of a sequence or an array."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most `size` items of any iterable, as Python 3.12's `itertools.batched` does with tuples."""
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def prefetch(work: Callable[[T], R], inputs: Iterable[T], depth: int = 2) -> Iterator[tuple[T, R]]:
    """Yield each input with its result, in order, while threads work on the next `depth` inputs.

    TensorFlow's decoders release the interpreter's lock, so that decoding and record-making share the cores.
    """
    pending: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(depth) as pool:
        for item in inputs:
            pending.append((item, pool.submit(work, item)))
            if len(pending) > depth:
                done, result = pending.popleft()
                yield done, result.result()
        for done, result in pending:
            yield done, result.result()
