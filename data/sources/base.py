"""The contract of a source, and what the sources share."""

from __future__ import annotations

import abc
import posixpath
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from data.errors import DataError, UsageError
from data.fields import check_fields
from data.records import Outcome
from data.spec import Classes, Feature, Label

# Records read, checked and encoded together: bounds memory, and lets one part decode while the one before is written.
CHUNK = 64
BLOCK = 64  # neighbouring rows that travel together in the shuffle of row-based files, so that reads stay sequential

T = TypeVar("T")
R = TypeVar("R")

# Split of the folders that people make, first match wins.
TRAIN_FOLDERS = ("train", "training")
EVAL_FOLDERS = ("validation", "valid", "val", "eval", "test", "testing")


@dataclass
class Plan:
    """What there is to read.

    Attributes:
      splits: items by split name; under "" those whose split is decided by their content. An item is the source's
        own: a file with its class, or a range of rows.
      records_per_item: 1, or the rows of a block.
      not_pictures: files passed over, by name or suffix (`.DS_Store`).
      classes: those that are known beforehand; each must end up with a record.
    """

    splits: dict[str, Sequence[Any]]
    records_per_item: int = 1
    not_pictures: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)


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

    # A default until each source says it itself.
    def split_names(self, folder: str) -> frozenset[str]:
        """Names of the splits that `folder` has, from the names of its files alone; {""}: the content decides."""
        return frozenset({"train", "eval"})

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


def list_folder(folder: str) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the files in `folder`; local or remote.

    Raises:
      DataError: it does not exist or is not a folder.
    """
    if not tf.io.gfile.isdir(folder):
        raise DataError(f"no data folder at {folder}", hint="Give the folder that holds the data with --data DIR.")
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
    folders = [name for name in names if tf.io.gfile.isdir(posixpath.join(folder, name))]
    present = set(folders)
    return folders, [name for name in names if name not in present]


def split_folders(folders: Sequence[str]) -> dict[str, str]:
    """Split name to folder name where `folders` are explicit splits (`train` and `validation`, say), else empty.

    With both a validation and a test folder, the former becomes `eval` and the latter `test`.
    """
    by_lower = {name.lower(): name for name in folders}
    train = [by_lower[name] for name in TRAIN_FOLDERS if name in by_lower]
    held_out = [by_lower[name] for name in EVAL_FOLDERS if name in by_lower]
    if not train or not held_out:
        return {}
    splits = {"train": train[0], "eval": held_out[0]}
    if len(held_out) > 1:
        splits["test"] = held_out[1]
    return splits


def split_stem(files: Sequence[str]) -> dict[str, list[str]]:
    """Files by split, told by the first words of their names (`train.csv`, `validation-00000`); else all under "".

    Raises:
      DataError: some files name a split and others none, or not that of training: they would be lost in silence.
    """
    words = {file: re.split(r"[^a-z]", file.lower())[0] for file in files}
    splits = split_folders(sorted(set(words.values())))
    named = {split: [file for file in files if words[file] == word] for split, word in splits.items()}
    strays = sorted(set(files) - {file for found in named.values() for file in found})
    if splits and strays:
        raise DataError(
            f"{strays[0]} belongs to no split, though other files do ({named['train'][0]})",
            hint="Name it after its split, or take it out of the folder.",
        )
    return named or {"": list(files)}


def label_name(value: Any, label: Label) -> str | float | None:
    """A class's name for a label as it was read: `label.names` by index, or its own text; a float for a number.

    None: an index outside of `label.names`, or no finite float32 where a number is wanted.
    """
    if not isinstance(label, Classes):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if abs(number) <= np.finfo(np.float32).max else None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and label.names:
        return label.names[value] if 0 <= value < len(label.names) else None
    return str(value)


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
