"""Find records with equal content: in training and in another split, or with different labels."""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.files.atomic import atomic_path
from data.ingest.shards import ShardFile, ShardReport, checksum
from data.names import from_bytes
from data.sources.splits import SPLITS

_NONE = "no label"
NAMED = 20  # duplicates of each kind that a report names by their paths
_HELD_OUT = 1  # splits from here on are others than training


Place = tuple[str, int, int]
"""Where a record is: its split, the number of its shard, and its position in the file."""


@dataclass
class RecordKeys:
    """What the check for duplicates needs of some records of one file.

    Attributes:
      split: split of the records.
      shard: number of the shard.
      positions: positions of the records in the file, int32.
      digests: content digests of the records, uint64.
      label_ids: labels of the records, int32, as indices into `label_sets`.
      label_sets: the different labels: the names of a record, in order; () also stands for any number.
    """

    split: str
    shard: int
    positions: NDArray[np.int32]
    digests: NDArray[np.uint64]
    label_ids: NDArray[np.int32]
    label_sets: list[tuple[str, ...]]


@dataclass
class DuplicatePair:
    """Two records with equal content.

    Attributes:
      first: place of one record.
      second: place of the other record.
      labels: the names of both records.
    """

    first: Place
    second: Place
    labels: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass
class Duplicates:
    """The records with equal content, of all records or of one range of contents.

    Attributes:
      across: number of records outside of training with the content of a training record.
      across_pairs: the first `NAMED` of them, each with its training record first, in the order of the records.
      contradictions: number of records whose content also has another label.
      contradiction_pairs: the first `NAMED` pairs with different labels, in the order of the records.
    """

    across: int = 0
    across_pairs: list[DuplicatePair] = field(default_factory=list)
    contradictions: int = 0
    contradiction_pairs: list[DuplicatePair] = field(default_factory=list)


@dataclass
class Redundant:
    """Records of one file to remove.

    Attributes:
      split: split of the records.
      shard: number of the shard.
      positions: positions of the records in the file.
      labels: the names of the records.
    """

    split: str
    shard: int
    positions: list[int]
    labels: list[tuple[str, ...]]


def keys_by_range(report: ShardReport, ranges: int) -> Iterator[tuple[int, RecordKeys]]:
    """Yield the keys of a shard's records by range of contents: equal contents are in the same range.

    Args:
      report: the report of the shard.
      ranges: number of ranges, which are of about the same size.
    """
    for split, digests in report.digests.items():
        numbers = (digests >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)
        for number in np.unique(numbers):
            positions = np.flatnonzero(numbers == number)
            ids, own = np.unique(report.label_ids[split][positions], return_inverse=True)
            sets = [report.label_sets[split][one] for one in ids.tolist()]
            places, own = positions.astype(np.int32), own.astype(np.int32)
            yield int(number), RecordKeys(split, report.index, places, digests[positions], own, sets)


def join_ranges(parts: Sequence[Duplicates]) -> Duplicates:
    """Return the duplicates of all records from those of each range, given in any order."""
    across = sorted((one for part in parts for one in part.across_pairs), key=lambda one: _order(one.second))
    contradictions = sorted(
        (one for part in parts for one in part.contradiction_pairs), key=lambda one: _order(one.first)
    )
    return Duplicates(
        sum(part.across for part in parts),
        across[:NAMED],
        sum(part.contradictions for part in parts),
        contradictions[:NAMED],
    )


def _order(place: Place) -> tuple[int, int, int]:
    """Return the order of records: training first, then by shard and position."""
    split, shard, position = place
    return SPLITS.index(split), shard, position


class ContentIndex:
    """The records whose content occurs several times, grouped by content.

    Args:
      keys: keys of the records; of each content, those of all records.
    """

    def __init__(self, keys: Iterable[RecordKeys]) -> None:
        found = list(keys)
        repeated = _repeated(found)
        self._label_sets = sorted({names for one in found for names in one.label_sets})
        codes = {names: code for code, names in enumerate(self._label_sets)}
        digests, labels, places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], [np.empty((0, 3), np.int64)]
        for one in found:
            here = np.flatnonzero(np.isin(one.digests, repeated))
            digests.append(one.digests[here])
            labels.append(np.array([codes[names] for names in one.label_sets], np.int64)[one.label_ids[here]])
            place = (np.full(len(here), SPLITS.index(one.split)), np.full(len(here), one.shard), one.positions[here])
            places.append(np.stack(place, axis=1))
        self._labels, self._places = np.concatenate(labels), np.concatenate(places)
        contents = np.concatenate(digests)
        # Equal contents become neighbours: sorted by label, then training first, then in the order of the records.
        order = np.lexsort((*self._places.T[::-1], self._labels, contents))
        ordered = contents[order]
        bounds = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        self._groups = np.split(order, bounds) if len(order) else []

    def duplicates(self) -> Duplicates:
        """Return the numbers of equal records, and the first pairs."""
        across, contradictions = self._across(), self._contradictions()
        return Duplicates(*across, *contradictions)

    def _across(self) -> tuple[int, list[DuplicatePair]]:
        count, found = 0, []
        for group in self._groups:
            held_out = self._places[group, 0] >= _HELD_OUT
            if held_out.any() and not held_out.all():
                train = min(group[~held_out], key=self._key)
                count += int(held_out.sum())
                found += [(one, train) for one in group[held_out]]
        found.sort(key=lambda pair: self._key(pair[0]))
        return count, [self._pair(train, one) for one, train in found[:NAMED]]

    def _contradictions(self) -> tuple[int, list[DuplicatePair]]:
        count, found = 0, []
        for group in self._groups:
            labels = self._labels[group]
            if labels[0] != labels[-1]:
                count += len(group)
                found.append((group[0], group[np.argmax(labels != labels[0])]))
        found.sort(key=lambda pair: self._key(pair[0]))
        return count, [self._pair(one, other) for one, other in found[:NAMED]]

    def redundant(self) -> list[Redundant]:
        """Return the records to remove, by file.

        If a content has two labels, all its records are redundant, because it is not known which label is right. If it
        is in training and in another split, those of training are, so that evaluations stay comparable. If it is
        several times in a split, all but the first are.
        """
        by_file: dict[tuple[int, int], Redundant] = {}
        for index in itertools.chain.from_iterable(map(self._redundant_of, self._groups)):
            rank, shard, position = self._places[index].tolist()
            file = by_file.setdefault((rank, shard), Redundant(SPLITS[rank], shard, [], []))
            file.positions.append(position)
            file.labels.append(self._label_sets[self._labels[index]])
        return list(by_file.values())

    def _redundant_of(self, group: NDArray[np.int64]) -> list[int]:
        labels, splits = self._labels[group], self._places[group, 0]
        found: list[int] = group.tolist()
        if labels[0] != labels[-1]:
            return found
        seen: set[int] = {0} if splits.max() >= _HELD_OUT else set()
        repeated = []
        for index, split in zip(found, splits.tolist(), strict=True):
            if split in seen:
                repeated.append(index)
            seen.add(split)
        return repeated

    def _key(self, index: int) -> list[int]:
        key: list[int] = self._places[index].tolist()
        return key

    def _pair(self, first: int, second: int) -> DuplicatePair:
        labels = (self._label_sets[self._labels[first]], self._label_sets[self._labels[second]])
        return DuplicatePair(self._at(first), self._at(second), labels)

    def _at(self, index: int) -> Place:
        rank, shard, position = self._places[index].tolist()
        return SPLITS[rank], shard, position


def _repeated(keys: Sequence[RecordKeys]) -> NDArray[np.uint64]:
    """Return the digests that occur several times: most occur once, and need no further work."""
    ordered = np.sort(np.concatenate([np.empty(0, np.uint64), *(one.digests for one in keys)]))
    found: NDArray[np.uint64] = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return found


def describe_labels(names: Sequence[str]) -> str:
    """Return the names of a record, separated by commas; a name that would be mistaken for several is quoted."""
    return ", ".join(repr(name) if "," in name or name == _NONE else name for name in names) or _NONE


def remove_records(
    file: ShardFile, positions: Sequence[int], labels: Sequence[tuple[str, ...]], folder: str
) -> ShardFile | None:
    """Rewrite a shard without the records at the positions.

    Args:
      file: the shard, from its report.
      positions: positions of the records to remove, from 0.
      labels: the names of these records.
      folder: the folder of the shards.

    Returns:
      The new file; None if no record remains, and the file is deleted.

    Raises:
      RuntimeError: If the file has changed since its report, for example in an earlier attempt that was interrupted.
    """
    path = posixpath.join(folder, file.file)
    if checksum(path)[0] != file.sha256:
        raise RuntimeError(f"{path} has changed since it was written: run again")
    removed = set(positions)
    if len(removed) == file.examples:
        tf.io.gfile.remove(path)
        return None
    aside = posixpath.join(folder, ".partial", file.file.replace("/", "-"))
    tf.io.gfile.makedirs(posixpath.dirname(aside))
    with atomic_path(path, aside):
        with tf.io.TFRecordWriter(aside) as writer:
            for number, record in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator()):
                if number not in removed:
                    writer.write(record)
        sha256, size = checksum(aside)
    lost = Counter(name for names in labels for name in names)
    left = {name: count - lost[name] for name, count in file.labels.items() if count > lost[name]}
    return dataclasses.replace(
        file,
        examples=file.examples - len(removed),
        bytes=size,
        sha256=sha256,
        labels=left,
        unlabelled=file.unlabelled - labels.count(()),
    )


def read_named(path: str, position: int, file: str) -> tuple[str, tf.train.Example]:
    """Return the `image/source` of a record, or its file and position if it has none, and the record.

    Args:
      path: the file.
      position: position of the record in it.
      file: name of the file in reports.
    """
    example = tf.train.Example.FromString(next(iter(tf.data.TFRecordDataset(path).skip(position))).numpy())
    values = example.features.feature["image/source"].bytes_list.value
    return from_bytes(values[0]) if values else f"{file}[{position}]", example
