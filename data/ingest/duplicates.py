"""Find records with equal content: in training and in another split, or with different labels."""

from __future__ import annotations

import dataclasses
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.files.atomic import atomic_path
from data.ingest.shards import ShardFile, ShardReport, checksum
from data.names import from_bytes

_NONE = "no label"
NAMED = 20  # duplicates of each kind that a report names by their paths
_HELD_OUT = 1  # ranks from here on are splits other than training


@dataclass
class DuplicatePair:
    """Two records with equal content.

    Attributes:
      first: place of one record, as (split, number of the record in the split).
      second: place of the other record.
    """

    first: tuple[str, int]
    second: tuple[str, int]


class ContentIndex:
    """The contents of all records of all splits, grouped by equal content.

    Attributes:
      splits: names of the splits, training first.

    Args:
      reports: the reports of all shards, in the order of the shards.
    """

    def __init__(self, reports: Sequence[ShardReport]) -> None:
        found = {split for report in reports for split in report.files}
        self.splits = sorted(found, key=("train", "eval", "test").index)
        sets = (found for report in reports for label_sets in report.label_sets.values() for found in label_sets)
        self._label_sets = sorted(set(sets))
        codes = {names: code for code, names in enumerate(self._label_sets)}
        digests, labels, splits, places = [], [], [], []
        self._files: list[tuple[str, ShardFile]] = []
        for rank, split in enumerate(self.splits):
            for file, report in ((report.files[split], report) for report in reports if split in report.files):
                own = np.array([codes[names] for names in report.label_sets[split]], np.int64)
                ids = report.label_ids[split]
                digests.append(report.digests[split])
                labels.append(own[ids])
                splits.append(np.full(len(ids), rank, np.int64))
                places.append(np.stack([np.full(len(ids), len(self._files)), np.arange(len(ids))], axis=1))
                self._files.append((split, file))
        self._digests = np.concatenate(digests or [np.empty(0, np.uint64)])
        self._labels = np.concatenate(labels or [np.empty(0, np.int64)])
        self._splits = np.concatenate(splits or [np.empty(0, np.int64)])
        self._places = np.concatenate(places or [np.empty((0, 2), np.int64)])
        # Equal contents become neighbours: sorted by label, then training first, then in the order of the records.
        order = np.lexsort((np.arange(len(self._digests)), self._splits, self._labels, self._digests))
        ordered = self._digests[order]
        bounds = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
        several = np.flatnonzero(np.diff(bounds) > 1)
        self._groups = [order[bounds[index] : bounds[index + 1]] for index in several]

    def across(self) -> tuple[int, list[DuplicatePair]]:
        """Find records outside of training with the content of a training record.

        Returns:
          The number of such records, and the first `NAMED` of them, each with its training record first.
        """
        count, found = 0, []
        for group in self._groups:
            held_out = group[self._splits[group] >= _HELD_OUT] if self.splits[:1] == ["train"] else group[:0]
            train = group[self._splits[group] == 0]
            if len(train) and len(held_out):
                count += len(held_out)
                found += [(int(one), int(train.min())) for one in held_out]
        found.sort()
        return count, [DuplicatePair(self._at(train), self._at(one)) for one, train in found[:NAMED]]

    def contradictions(self) -> tuple[int, list[DuplicatePair]]:
        """Find records whose content also has another label.

        Returns:
          The number of such records, and the first `NAMED` pairs with different labels.
        """
        count, found = 0, []
        for group in self._groups:
            labels = self._labels[group]
            if labels[0] != labels[-1]:
                count += len(group)
                found.append((int(group[0]), int(group[np.argmax(labels != labels[0])])))
        found.sort()
        return count, [DuplicatePair(self._at(one), self._at(other)) for one, other in found[:NAMED]]

    def label_at(self, place: tuple[str, int]) -> str:
        """Return the names of the record at a place, (split, number of the record in the split), as text."""
        index = int(np.flatnonzero(self._splits == self.splits.index(place[0]))[place[1]])
        return describe_labels(self._label_sets[self._labels[index]])

    def redundant(self) -> dict[str, NDArray[np.int64]]:
        """Return the positions of the records to remove, by file.

        If a content has two labels, all its records are redundant, because it is not known which label is right. If it
        is in training and in another split, those of training are, so that evaluations stay comparable. If it is
        several times in a split, all but the first are.
        """
        redundant: list[int] = []
        for group in self._groups:
            labels, splits = self._labels[group], self._splits[group]
            if labels[0] != labels[-1]:
                redundant += group.tolist()
                continue
            seen: set[int] = {0} if splits.max() >= _HELD_OUT and self.splits[0] == "train" else set()
            for index, split in zip(group.tolist(), splits.tolist(), strict=True):
                if split in seen:
                    redundant.append(index)
                seen.add(split)
        by_file: dict[str, list[int]] = {}
        for file, position in self._places[sorted(redundant)].tolist():
            by_file.setdefault(self._files[file][1].file, []).append(position)
        return {file: np.array(positions) for file, positions in by_file.items()}

    def _at(self, index: int) -> tuple[str, int]:
        """Return the place of a record: its split, and its number in the split."""
        rank = self._splits[index]
        return self.splits[rank], int(index - np.searchsorted(self._splits, rank))


def describe_labels(names: Sequence[str]) -> str:
    """Return the names of a record, separated by commas; a name that would be mistaken for several is quoted."""
    return ", ".join(repr(name) if "," in name or name == _NONE else name for name in names) or _NONE


def remove_records(
    file: ShardFile, positions: NDArray[np.int64], labels: Sequence[tuple[str, ...]], folder: str
) -> ShardFile | None:
    """Rewrite a shard without the records at the positions.

    Args:
      file: the shard, from its report.
      positions: positions of the records to remove, int64, from 0.
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
    removed = set(positions.tolist())
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


def read_named(files: Sequence[ShardFile], number: int, folder: str) -> tuple[str, tf.train.Example]:
    """Return the `image/source` of a record, or its shard and position if it has none, and the record.

    Args:
      files: the shards of the split.
      number: number of the record in the split.
      folder: the folder of the shards.
    """
    for file in files:
        if number < file.examples:
            dataset = tf.data.TFRecordDataset(posixpath.join(folder, file.file)).skip(number)
            example = tf.train.Example.FromString(next(iter(dataset)).numpy())
            values = example.features.feature["image/source"].bytes_list.value
            return from_bytes(values[0]) if values else f"{file.file}[{number}]", example
        number -= file.examples
    raise IndexError(number)
