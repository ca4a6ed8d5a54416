"""Write the records of one shard so that no reader sees a partial file."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import posixpath
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import UsageError
from data.fields import check_fields
from data.images.headers import without_handled
from data.images.previews import Preview
from data.ingest.plan_files import Shard
from data.ingest.previews import ShardPreviews
from data.records import Record, Rejected
from data.sources.base import Source
from data.spec import Feature, Label

MAX_BUCKETS = 2**30 - 1  # TFX adds the buckets as int32


@dataclass(frozen=True)
class Ingest:
    """Settings for reading data into shards.

    Attributes:
      train_buckets: if no names show the splits, the hash of the content decides: `train_buckets` of
        `train_buckets + eval_buckets` equal parts go to training, as in TFX's `SplitConfig`.
      eval_buckets: number of these parts that go to evaluation.
      seed: seed of the order of the examples in the shards.
      max_quarantine: share of the images that may be broken, 0..1; if more are, the run stops before training.
      duplicates: "keep" only reports equal images. "remove" drops all copies of an image that has two labels, the
        training copy of an image that is in training and in another split, and all but the first of other copies.
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
            raise UsageError(f"ingest.seed must be at least 0, got {self.seed}")
        if not 0 <= self.max_quarantine <= 1:
            raise UsageError(f"ingest.max_quarantine must be a share, 0 to 1, got {self.max_quarantine}")
        if self.duplicates not in ("keep", "remove"):
            raise UsageError(f"ingest.duplicates must be keep or remove, got '{self.duplicates}'")


@dataclass
class ShardFile:
    """A written file with records of one split.

    Attributes:
      file: path below the folder of the shards.
      examples: number of records.
      bytes: size of the file.
      sha256: checksum of the file, hex.
      labels: number of records by name; a record with several names counts for each. Empty if the label is a number.
      unlabelled: number of records without a name; all of them if the label is a number.
    """

    file: str
    examples: int
    bytes: int
    sha256: str
    labels: dict[str, int]
    unlabelled: int = 0


@dataclass
class ShardReport:
    """The result of one shard.

    Attributes:
      index: number of the shard.
      files: by split, the file written; only splits that have records.
      digests: by split, the content digests of the records, uint64, in the order written.
      label_ids: by split, the labels of the records, int32, as indices into `label_sets`.
      label_sets: by split, the different labels: the names of a record, in order; () also stands for any number.
      rejected: the inputs that are in no file, without their contents.
      remarks: number of images by the property that decoding ignores silently, a key of `headers.REMARKS`.
      previews: small pictures of some of the rejected inputs, by source.
    """

    index: int
    files: dict[str, ShardFile] = field(default_factory=dict)
    digests: dict[str, NDArray[np.uint64]] = field(default_factory=dict)
    label_ids: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    label_sets: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    previews: dict[str, Preview] = field(default_factory=dict)


def write_shard(
    shard: Shard,
    folder: str,
    target: str,
    source: Source,
    feature: Feature,
    label: Label,
    ingest: Ingest,
) -> ShardReport:
    """Read the items of a shard and write their records, one file per split.

    A file is renamed to its final path when it is complete; writing a shard again replaces its files.

    Args:
      shard: the items to read.
      folder: the data folder.
      target: the folder of the shards; the files are `Split-<split>/data_tfrecord-<index>-of-<count>` in it.
      source: the task's source.
      feature: the task's feature.
      label: the task's label.
      ingest: the task's settings.
    """
    report = ShardReport(shard.index)
    previews = ShardPreviews(shard.count)
    buckets = {"train": ingest.train_buckets, "eval": ingest.eval_buckets}
    writers: dict[str, _ShardWriter] = {}
    rng = np.random.default_rng((ingest.seed, shard.index))
    try:
        for outcome in source.read(folder, shard.read_items(), feature, label, rng):
            if isinstance(outcome, Rejected):
                previews.add(outcome)
                report.rejected.append(dataclasses.replace(outcome, contents=b""))
                continue
            split = shard.split or assign_split(outcome.digest, buckets)
            if split not in writers:
                writers[split] = _ShardWriter(target, split, shard)
            writers[split].write(outcome)
            report.remarks.update(without_handled(outcome.remarks, feature))
        for split, writer in sorted(writers.items()):
            report.files[split] = writer.finish()
            report.digests[split], report.label_ids[split] = writer.digests(), writer.label_ids()
            report.label_sets[split] = list(writer.label_codes)
        report.previews = previews.found
    finally:
        for writer in writers.values():
            writer.discard()
    return report


def assign_split(digest: int, buckets: Mapping[str, int]) -> str:
    """Return the split of a content digest, as TFX's ExampleGen does; equal content is in the same split.

    Args:
      digest: `Record.digest`.
      buckets: number of buckets of each split.
    """
    bounds = np.cumsum(list(buckets.values())).tolist()
    return list(buckets)[bisect.bisect(bounds, digest % bounds[-1])]


class _ShardWriter:
    """Writes one file of records, which readers of the split do not see before it is complete.

    Not `data.files.atomic`: the writers of several splits are open at once, and are finished or discarded together.
    """

    def __init__(self, target: str, split: str, shard: Shard) -> None:
        name = f"data_tfrecord-{shard.index:05d}-of-{shard.count:05d}"
        self._file = posixpath.join(f"Split-{split}", name)
        self._path = posixpath.join(target, self._file)
        # A unique name: a runner may try a shard on two workers at once.
        self._aside = posixpath.join(target, ".partial", f"{split}-{name}-{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(posixpath.dirname(self._path))
        tf.io.gfile.makedirs(posixpath.dirname(self._aside))
        self._writer = tf.io.TFRecordWriter(self._aside)
        self._digests: list[int] = []
        self._labels: Counter[str] = Counter()
        self.label_codes: dict[tuple[str, ...], int] = {}
        self._label_ids: list[int] = []

    def write(self, record: Record) -> None:
        self._writer.write(record.example)
        self._digests.append(record.digest)
        self._label_ids.append(self.label_codes.setdefault(record.labels, len(self.label_codes)))
        self._labels.update(record.labels)

    def digests(self) -> NDArray[np.uint64]:
        return np.array(self._digests, np.uint64)

    def label_ids(self) -> NDArray[np.int32]:
        return np.array(self._label_ids, np.int32)

    def finish(self) -> ShardFile:
        """Rename the file to its final path, and return it."""
        self._writer.close()
        sha256, size = checksum(self._aside)
        tf.io.gfile.rename(self._aside, self._path, overwrite=True)
        unlabelled = self._label_ids.count(self.label_codes.get((), -1))
        return ShardFile(self._file, len(self._digests), size, sha256, dict(self._labels), unlabelled)

    def discard(self) -> None:
        """Remove the file if it was not finished."""
        self._writer.close()
        if tf.io.gfile.exists(self._aside):
            tf.io.gfile.remove(self._aside)


def checksum(path: str) -> tuple[str, int]:
    """Return the SHA-256 (hex) and the size in bytes of a file, which is read in pieces."""
    sha256, size = hashlib.sha256(), 0
    for piece in _read_pieces(path):
        sha256.update(piece)
        size += len(piece)
    return sha256.hexdigest(), size


def _read_pieces(path: str, size: int = 1 << 20) -> Iterator[bytes]:
    with tf.io.gfile.GFile(path, "rb") as file:
        while piece := file.read(size):
            yield piece


def shard_paths(target: str, files: Sequence[ShardFile]) -> list[str]:
    """Return the full paths of shards.

    Args:
      target: the folder of the shards, which holds the manifest.
      files: the shards, from the manifest.
    """
    return [posixpath.join(target, shard.file) for shard in files]
