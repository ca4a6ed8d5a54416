"""The manifest: what a folder of shards holds, and what was left out of it and why."""

from __future__ import annotations

import dataclasses
import itertools
import json
import posixpath
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from data.errors import DataError
from data.names import from_bytes
from data.shards import ShardFile, ShardReport
from data.spec import Classes, Label

MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"
NAMED_DUPLICATES = 20


@dataclass
class Manifest:
    """What lies beside it.

    Attributes:
      splits: the shards of each split.
      quarantined: number of pictures left out, by reason; `quarantine.jsonl` beside the manifest names each.
      not_pictures: files passed over, by kind.
      duplicates: pictures that lie in training and in another split, both paths, the first twenty.
      duplicate_count: number of pictures outside of training whose content lies in training too.
      remarks: pictures by what decoding passes over in silence, in training and in serving: `headers.REMARKS`.
    """

    splits: dict[str, list[ShardFile]]
    quarantined: dict[str, int] = field(default_factory=dict)
    not_pictures: dict[str, int] = field(default_factory=dict)
    duplicates: list[dict[str, str]] = field(default_factory=list)
    duplicate_count: int = 0
    remarks: dict[str, int] = field(default_factory=dict)

    def examples(self, split: str | None = None) -> int:
        """Number of records in a split, or in all."""
        return sum(shard.examples for shard in self._shards(split))

    def bytes(self, split: str | None = None) -> int:
        """Size of the shards of a split, or of all."""
        return sum(shard.bytes for shard in self._shards(split))

    def labels(self, split: str | None = None) -> dict[str, int]:
        """Number of records by label, in a split or in all, in the labels' order."""
        counts: Counter[str] = Counter()
        for shard in self._shards(split):
            counts.update(shard.labels)
        return {name: counts[name] for name in label_order(counts)}

    def quarantine_share(self) -> float:
        """Share of the pictures that were left out, 0..1."""
        out = sum(self.quarantined.values())
        return out / max(1, out + self.examples())

    def _shards(self, split: str | None) -> list[ShardFile]:
        if split is not None:
            return self.splits.get(split, [])
        return list(itertools.chain.from_iterable(self.splits.values()))

    def save(self, folder: str) -> None:
        """Writes it into the folder of the shards, aside first."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        write_aside(posixpath.join(folder, MANIFEST), text)

    @classmethod
    def load(cls, folder: str) -> Manifest:
        """Reads the manifest of a folder of shards."""
        with tf.io.gfile.GFile(posixpath.join(folder, MANIFEST)) as file:
            values: dict[str, Any] = json.load(file)
        values["splits"] = {
            split: [ShardFile(**shard) for shard in shards] for split, shards in values["splits"].items()
        }
        known = {one.name for one in dataclasses.fields(cls)}  # another version may have written others
        return cls(**{name: value for name, value in values.items() if name in known})


def write_aside(path: str, text: str) -> None:
    """Writes a text file, and its folder, so that a reader finds it whole or not at all."""
    tf.io.gfile.makedirs(posixpath.dirname(path))
    with tf.io.gfile.GFile(f"{path}.partial", "w") as file:
        file.write(text)
    tf.io.gfile.rename(f"{path}.partial", path, overwrite=True)


def label_order(names: Sequence[str] | Counter[str]) -> list[str]:
    """Classes in the order of the model's outputs: sorted, as Keras does; whole numbers by their value."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def merge(reports: Sequence[ShardReport], not_pictures: dict[str, int], folder: str) -> Manifest:
    """Makes the manifest of a folder out of its shards' reports, and writes it and the quarantine report there."""
    ordered = sorted(reports, key=lambda report: report.index)
    manifest = Manifest({}, not_pictures=not_pictures)
    manifest.remarks = dict(sum((report.remarks for report in ordered), Counter()))
    for report in ordered:
        for split, shard in report.files.items():
            manifest.splits.setdefault(split, []).append(shard)
    rejected = [one for report in ordered for one in report.rejected]
    manifest.quarantined = dict(Counter(one.reason for one in rejected))
    lines = (json.dumps(dataclasses.asdict(one)) + "\n" for one in sorted(rejected, key=lambda one: one.source))
    write_aside(posixpath.join(folder, QUARANTINE), "".join(lines))
    _find_duplicates(manifest, ordered, folder)
    manifest.save(folder)
    return manifest


def _find_duplicates(manifest: Manifest, reports: Sequence[ShardReport], folder: str) -> None:
    """Fills in the contents that lie in training and in another split, by their digests."""
    digests = {
        split: np.concatenate([report.digests[split] for report in reports if split in report.digests])
        for split in manifest.splits
    }
    train = digests.pop("train", np.empty(0, np.uint64))
    for split, others in digests.items():
        common = np.flatnonzero(np.isin(others, train))
        manifest.duplicate_count += len(common)
        for position in common[: NAMED_DUPLICATES - len(manifest.duplicates)]:
            twin = int(np.flatnonzero(train == others[position])[0])
            manifest.duplicates.append(
                {
                    "train": _source_at(manifest.splits["train"], twin, folder),
                    split: _source_at(manifest.splits[split], int(position), folder),
                }
            )


def _source_at(shards: Sequence[ShardFile], position: int, folder: str) -> str:
    """`image/source` of a split's record number `position`."""
    for shard in shards:
        if position < shard.examples:
            dataset = tf.data.TFRecordDataset(posixpath.join(folder, shard.file)).skip(position)
            example = tf.train.Example.FromString(next(iter(dataset)).numpy())
            values = example.features.feature["image/source"].bytes_list.value
            return from_bytes(values[0]) if values else f"{shard.file}[{position}]"
        position -= shard.examples
    raise IndexError(position)


def check(manifest: Manifest, label: Label, planned: Collection[str] = ()) -> tuple[str, ...]:
    """The classes, in the order of the model's outputs; none for a number.

    Args:
      manifest: of all splits.
      label: the task's.
      planned: classes that the source knew of.

    Raises:
      DataError: a planned class of which no picture can be decoded, nothing to train on or to evaluate on, one class
        only, or a class that training never sees.
    """
    for split in ("train", "eval"):
        if not manifest.examples(split):
            out = sum(manifest.quarantined.values())
            raise DataError(
                f"no examples for {'training' if split == 'train' else 'evaluation'}"
                f" ({manifest.examples()} in all, {out} in quarantine)",
                hint="Give more data, or another share with --set ingest.eval_buckets=N.",
            )
    lost = sorted(set(planned) - set(manifest.labels()))
    if lost:
        raise DataError(f"class '{lost[0]}' has no picture that can be decoded", hint="Mend them or remove the folder.")
    if not isinstance(label, Classes):
        return ()
    train = manifest.labels("train")
    names = label.names or tuple(train)
    strange = [name for name in manifest.labels() if name not in names]
    if strange and label.names:
        raise DataError(f"label '{strange[0]}' is not among the task's label.names: {', '.join(label.names)}")
    unseen = [name for name in manifest.labels() if name not in train]
    if unseen:
        raise DataError(
            f"label '{unseen[0]}' is seen only in evaluation: the model cannot learn it",
            hint="Add training examples of it, or take it out.",
        )
    if len(train) < 2:
        raise DataError(f"only one class, '{next(iter(train))}': there is nothing to tell apart", hint="Add a second.")
    return names
