"""Shards: how the work is cut, and how one worker writes its part so that nothing half-written is ever read."""

from __future__ import annotations

import bisect
import hashlib
import posixpath
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from data.errors import UsageError
from data.fields import check_fields
from data.records import Record, Rejected
from data.sources.base import Plan, Source
from data.spec import Feature, Label

RECORDS_PER_SHARD = 4096
MIN_SHARDS = 8  # enough for a few workers, where there are enough records
RECORDS_PER_SMALL_SHARD = 128
MAX_BUCKETS = 2**30 - 1  # TFX adds them up as int32


@dataclass(frozen=True)
class Ingest:
    """How data are read into shards.

    Attributes:
      train_buckets, eval_buckets: where no folders say it, the content's hash decides the split; so many of
        `train_buckets + eval_buckets` parts go to training, as in TFX's `SplitConfig`.
      seed: of the order in which examples come to lie in the shards.
      max_quarantine: share of the pictures that may be broken, 0..1; above it the run stops before training.
      duplicates: "keep": equal pictures are told, and stay; "remove": of those under two labels all go, of those in
        training and in another split those of training, of repeated ones all but the first.
    """

    train_buckets: int = 4
    eval_buckets: int = 1
    seed: int = 0
    max_quarantine: float = 0.05
    duplicates: Literal["keep", "remove"] = "keep"

    def __post_init__(self) -> None:
        check_fields(self, "ingest")
        for name in ("train_buckets", "eval_buckets"):
            if not 1 <= getattr(self, name) <= MAX_BUCKETS:
                raise UsageError(f"ingest.{name} must be 1 to {MAX_BUCKETS}, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"ingest.seed must not be below 0, got {self.seed}")
        if not 0 <= self.max_quarantine <= 1:
            raise UsageError(f"ingest.max_quarantine is a share, 0 to 1, got {self.max_quarantine}")
        if self.duplicates not in ("keep", "remove"):
            raise UsageError(f"ingest.duplicates must be keep or remove, got '{self.duplicates}'")


@dataclass(frozen=True)
class Shard:
    """The part of a plan that one worker reads in one go.

    Attributes:
      index, count: this is number `index` of `count`; they name the files written.
      split: the split of all its records; "" where their content decides.
      items: the source's items, in the order to read them.
    """

    index: int
    count: int
    split: str
    items: tuple[Any, ...]


@dataclass
class ShardFile:
    """One written file: records of one split. `labels` counts them by class, and is empty for numbers."""

    file: str
    examples: int
    bytes: int
    sha256: str
    labels: dict[str, int]


@dataclass
class ShardReport:
    """What became of one shard.

    Attributes:
      files: the file written for each split that got records.
      digests: per split, the records' content digests, uint64, in the order written.
      label_ids: per split, the records' labels, int32, as indices into the labels of the file; 0 for numbers.
      rejected: what did not go in.
      remarks: pictures by what decoding passes over in silence, the keys of `headers.REMARKS`.
    """

    index: int
    files: dict[str, ShardFile] = field(default_factory=dict)
    digests: dict[str, np.ndarray] = field(default_factory=dict)
    label_ids: dict[str, np.ndarray] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)


def make_shards(plan: Plan, seed: int) -> list[Shard]:
    """Cuts a plan into shards, after one shuffle of its items with the seed; the same on every machine."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    for number, (split, items) in enumerate(sorted(plan.splits.items())):
        order = np.random.default_rng((seed, number)).permutation(len(items))
        per_shard = _items_per_shard(len(items), plan.records_per_item)
        for start in range(0, len(items), per_shard):
            found.append((split, tuple(items[index] for index in order[start : start + per_shard])))
    return [Shard(index, len(found), split, items) for index, (split, items) in enumerate(found)]


def _items_per_shard(items: int, records_per_item: int) -> int:
    records = items * records_per_item
    shards = max(-(-records // RECORDS_PER_SHARD), min(MIN_SHARDS, -(-records // RECORDS_PER_SMALL_SHARD)))
    return max(1, -(-items // shards))


def write_shard(
    shard: Shard,
    folder: str,
    target: str,
    source: Source,
    feature: Feature,
    label: Label,
    ingest: Ingest,
) -> ShardReport:
    """Reads a shard's items and writes their records, one file per split.

    A file is written aside and renamed when whole; a shard that is done again replaces its own files.

    Args:
      shard: what to read.
      folder: where the source's files lie.
      target: folder that gets `Split-<split>/data_tfrecord-<index>-of-<count>`.
      source, feature, label, ingest: the task's.
    """
    report = ShardReport(shard.index)
    buckets = {"train": ingest.train_buckets, "eval": ingest.eval_buckets}
    writers: dict[str, _Writer] = {}
    rng = np.random.default_rng((ingest.seed, shard.index))
    try:
        for outcome in source.read(folder, shard.items, feature, label, rng):
            if isinstance(outcome, Rejected):
                report.rejected.append(outcome)
                continue
            split = shard.split or split_of(outcome.digest, buckets)
            if split not in writers:
                writers[split] = _Writer(target, split, shard)
            writers[split].write(outcome)
            report.remarks.update(outcome.remarks)
        for split, writer in sorted(writers.items()):
            report.files[split], report.digests[split], report.label_ids[split] = writer.finish()
    finally:
        for writer in writers.values():
            writer.discard()
    return report


def split_of(digest: int, buckets: Mapping[str, int]) -> str:
    """The split of a content digest: equal content, equal split. The scheme is that of TFX's ExampleGen."""
    bounds = np.cumsum(list(buckets.values())).tolist()
    return list(buckets)[bisect.bisect(bounds, digest % bounds[-1])]


class _Writer:
    """One file of records, invisible to the readers of the split until it is whole."""

    def __init__(self, target: str, split: str, shard: Shard) -> None:
        name = f"data_tfrecord-{shard.index:05d}-of-{shard.count:05d}"
        self._file = posixpath.join(f"Split-{split}", name)
        self._path = posixpath.join(target, self._file)
        # Its own name: a runner may try a shard on two workers at once.
        self._aside = posixpath.join(target, ".partial", f"{split}-{name}-{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(posixpath.dirname(self._path))
        tf.io.gfile.makedirs(posixpath.dirname(self._aside))
        self._writer = tf.io.TFRecordWriter(self._aside)
        self._digests: list[int] = []
        self._labels: Counter[str] = Counter()
        self._codes: dict[str, int] = {}
        self._label_ids: list[int] = []

    def write(self, record: Record) -> None:
        self._writer.write(record.example)
        self._digests.append(record.digest)
        self._label_ids.append(self._codes.setdefault(record.label, len(self._codes)))
        if record.label:
            self._labels[record.label] += 1

    def finish(self) -> tuple[ShardFile, np.ndarray, np.ndarray]:
        self._writer.close()
        sha256, size = checksum(self._aside)
        tf.io.gfile.rename(self._aside, self._path, overwrite=True)
        file = ShardFile(self._file, len(self._digests), size, sha256, dict(self._labels))
        return file, np.array(self._digests, np.uint64), np.array(self._label_ids, np.int32)

    def discard(self) -> None:
        """Removes what was not finished."""
        self._writer.close()
        if tf.io.gfile.exists(self._aside):
            tf.io.gfile.remove(self._aside)


def checksum(path: str) -> tuple[str, int]:
    """SHA-256 (hex) and size of a file, read in pieces."""
    found, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def _pieces(path: str, size: int = 1 << 20) -> Iterator[bytes]:
    with tf.io.gfile.GFile(path, "rb") as file:
        while piece := file.read(size):
            yield piece


def shard_files(target: str, files: Sequence[ShardFile]) -> list[str]:
    """Full paths of shards below the folder that holds the manifest."""
    return [posixpath.join(target, shard.file) for shard in files]
