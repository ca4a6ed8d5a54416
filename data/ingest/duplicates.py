"""Pictures with equal content: in training and in another split, or under two labels."""

from __future__ import annotations

import dataclasses
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data.files.atomic import atomic_path
from data.ingest.shards import ShardFile, ShardReport, checksum
from data.names import from_bytes

NAMED = 20  # of each kind, with their paths
_HELD_OUT = 1  # rank of the splits that are not training


@dataclass
class DuplicatePair:
    """A record with the content of another: both places, as (split, number of the record in the split)."""

    first: tuple[str, int]
    second: tuple[str, int]


class ContentIndex:
    """The contents of all records of all splits.

    Attributes:
      splits: their names, training first.
    """

    def __init__(self, reports: Sequence[ShardReport]) -> None:
        """Args:
        reports: in the order of the shards.
        """
        found = {split for report in reports for split in report.files}
        self.splits = sorted(found, key=("train", "eval", "test").index)
        self._names = sorted({name for report in reports for file in report.files.values() for name in file.labels})
        codes = {name: code for code, name in enumerate(self._names)}
        digests, labels, splits, places = [], [], [], []
        self._files: list[tuple[str, ShardFile]] = []
        for rank, split in enumerate(self.splits):
            for file, report in ((report.files[split], report) for report in reports if split in report.files):
                own = np.array([codes[name] for name in file.labels], np.int64)
                ids = report.label_ids[split]
                digests.append(report.digests[split])
                labels.append(own[ids] if len(own) else np.zeros(len(ids), np.int64))
                splits.append(np.full(len(ids), rank, np.int64))
                places.append(np.stack([np.full(len(ids), len(self._files)), np.arange(len(ids))], axis=1))
                self._files.append((split, file))
        self._digests = np.concatenate(digests or [np.empty(0, np.uint64)])
        self._labels = np.concatenate(labels or [np.empty(0, np.int64)])
        self._splits = np.concatenate(splits or [np.empty(0, np.int64)])
        self._places = np.concatenate(places or [np.empty((0, 2), np.int64)])
        # Equal contents side by side: by label, then training first, then in the order of the records.
        order = np.lexsort((np.arange(len(self._digests)), self._splits, self._labels, self._digests))
        ordered = self._digests[order]
        bounds = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
        several = np.flatnonzero(np.diff(bounds) > 1)
        self._groups = [order[bounds[index] : bounds[index + 1]] for index in several]

    def across(self) -> tuple[int, list[DuplicatePair]]:
        """How many records outside of training have a content of training; the first of them, with their twins."""
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
        """How many records have a content that also stands under another label; the first pairs."""
        count, found = 0, []
        for group in self._groups:
            labels = self._labels[group]
            if labels[0] != labels[-1]:
                count += len(group)
                found.append((int(group[0]), int(group[np.argmax(labels != labels[0])])))
        found.sort()
        return count, [DuplicatePair(self._at(one), self._at(other)) for one, other in found[:NAMED]]

    def label_at(self, place: tuple[str, int]) -> str:
        """The class of a record."""
        index = int(np.flatnonzero(self._splits == self.splits.index(place[0]))[place[1]])
        return self._names[self._labels[index]]

    def superfluous(self) -> dict[str, np.ndarray]:
        """The records to remove, by file, their positions in it.

        Of a content under two labels all: which is right is not known. Of one in training and in another split those
        of training: the measurement stays comparable. Of one several times in a split all but the first.
        """
        out: list[int] = []
        for group in self._groups:
            labels, splits = self._labels[group], self._splits[group]
            if labels[0] != labels[-1]:
                out += group.tolist()
                continue
            seen: set[int] = {0} if splits.max() >= _HELD_OUT and self.splits[0] == "train" else set()
            for index, split in zip(group.tolist(), splits.tolist(), strict=True):
                if split in seen:
                    out.append(index)
                seen.add(split)
        by_file: dict[str, list[int]] = {}
        for file, position in self._places[sorted(out)].tolist():
            by_file.setdefault(self._files[file][1].file, []).append(position)
        return {file: np.array(positions) for file, positions in by_file.items()}

    def _at(self, index: int) -> tuple[str, int]:
        """Split, and number within it, of a record."""
        rank = self._splits[index]
        return self.splits[rank], int(index - np.searchsorted(self._splits, rank))


def remove_records(file: ShardFile, positions: np.ndarray, label_ids: np.ndarray, folder: str) -> ShardFile | None:
    """Rewrites a shard without the records at the positions; None where nothing is left, and the file is gone.

    Args:
      file: as its report has it.
      positions: of records, from 0.
      label_ids: of all records of the file, indices into its labels.
      folder: that the file's name is relative to.

    Raises:
      RuntimeError: the file is not what the report says, as after an attempt that was broken off.
    """
    path = posixpath.join(folder, file.file)
    if checksum(path)[0] != file.sha256:
        raise RuntimeError(f"{path} has changed since it was written: run again")
    gone = set(positions.tolist())
    if len(gone) == file.examples:
        tf.io.gfile.remove(path)
        return None
    aside = posixpath.join(folder, ".partial", file.file.replace("/", "-"))
    tf.io.gfile.makedirs(posixpath.dirname(aside))
    with atomic_path(path, aside):
        with tf.io.TFRecordWriter(aside) as writer:
            for number, record in enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator()):
                if number not in gone:
                    writer.write(record)
        sha256, size = checksum(aside)
    names = list(file.labels)
    lost = Counter(names[code] for code in label_ids[positions].tolist()) if names else Counter()
    left = {name: count - lost[name] for name, count in file.labels.items() if count > lost[name]}
    return dataclasses.replace(file, examples=file.examples - len(gone), bytes=size, sha256=sha256, labels=left)


def read_source(files: Sequence[ShardFile], number: int, folder: str) -> str:
    """`image/source` of a split's record number `number`; its shard and place where it has none."""
    for file in files:
        if number < file.examples:
            dataset = tf.data.TFRecordDataset(posixpath.join(folder, file.file)).skip(number)
            example = tf.train.Example.FromString(next(iter(dataset)).numpy())
            values = example.features.feature["image/source"].bytes_list.value
            return from_bytes(values[0]) if values else f"{file.file}[{number}]"
        number -= file.examples
    raise IndexError(number)
