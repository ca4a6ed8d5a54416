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
from data.files.atomic import write_aside
from data.ingest.duplicates import ContentIndex, read_source, remove_records
from data.ingest.shards import ShardFile, ShardReport
from data.names import listed
from data.sources.base import Plan
from data.sources.labels import InvalidLabel, label_order, resolve_class
from data.spec import Classes, Label

MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"


@dataclass
class Manifest:
    """What lies beside it.

    Attributes:
      splits: the shards of each split.
      quarantined: number of pictures left out, by reason; `quarantine.jsonl` beside the manifest names each.
      not_pictures: files passed over, by kind.
      unused: pictures and data files passed over, by where they lie.
      layout: which folder or files each split was read from, where names told it.
      notes: what else a user should know of how the data were understood.
      duplicates: pictures that lie in training and in another split, both paths, the first twenty.
      duplicate_count: number of pictures outside of training whose content lies in training too.
      contradictions: pictures with equal content under two labels, the path by label, the first twenty.
      contradiction_count: number of pictures whose content lies under another label, too.
      removed: records that were removed because their content lies elsewhere, too.
      remarks: pictures by what decoding passes over in silence, in training and in serving: `headers.REMARKS`.
    """

    splits: dict[str, list[ShardFile]]
    quarantined: dict[str, int] = field(default_factory=dict)
    not_pictures: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    duplicates: list[dict[str, str]] = field(default_factory=list)
    duplicate_count: int = 0
    contradictions: list[dict[str, str]] = field(default_factory=list)
    contradiction_count: int = 0
    removed: int = 0
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


def merge_reports(
    reports: Sequence[ShardReport],
    plan: Plan,
    folder: str,
    *,
    remove_duplicates: bool = False,
) -> Manifest:
    """Makes the manifest of a folder out of its shards' reports, and writes it and the quarantine report there.

    Args:
      reports: of all shards, in any order.
      plan: what they were made of; its items do not count.
      folder: of the shards.
      remove_duplicates: rewrite shards without the records that `Contents.superfluous` names.
    """
    ordered = sorted(reports, key=lambda report: report.index)
    manifest = Manifest(
        {},
        not_pictures=dict(plan.not_pictures),
        unused=dict(plan.unused),
        layout=plan.layout,
        notes=plan.notes,
        remarks=dict(sum((report.remarks for report in ordered), Counter())),
    )
    for report in ordered:
        for split, shard in report.files.items():
            manifest.splits.setdefault(split, []).append(shard)
    rejected = [one for report in ordered for one in report.rejected]
    manifest.quarantined = dict(Counter(one.reason for one in rejected))
    lines = (json.dumps(dataclasses.asdict(one)) + "\n" for one in sorted(rejected, key=lambda one: one.source))
    write_aside(posixpath.join(folder, QUARANTINE), "".join(lines))
    contents = ContentIndex(ordered)
    _name_duplicates(manifest, contents, folder)
    if remove_duplicates:
        _remove_duplicates(manifest, contents.superfluous(), ordered, folder)
    manifest.save(folder)
    return manifest


def _name_duplicates(manifest: Manifest, contents: ContentIndex, folder: str) -> None:
    """Fills in the contents that lie in training and in another split, and those under two labels."""
    manifest.duplicate_count, twins = contents.across()
    for twin in twins:
        places = (twin.first, twin.second)
        manifest.duplicates.append({split: read_source(manifest.splits[split], at, folder) for split, at in places})
    manifest.contradiction_count, twins = contents.contradictions()
    for twin in twins:
        manifest.contradictions.append(
            {
                contents.label_at((split, at)): read_source(manifest.splits[split], at, folder)
                for split, at in (twin.first, twin.second)
            }
        )


def _remove_duplicates(
    manifest: Manifest, superfluous: dict[str, np.ndarray], reports: Sequence[ShardReport], folder: str
) -> None:
    """Rewrites the shards that hold superfluous records."""
    label_ids = {file.file: report.label_ids[split] for report in reports for split, file in report.files.items()}
    for split, files in manifest.splits.items():
        left = []
        for file in files:
            kept: ShardFile | None = file
            if file.file in superfluous:
                kept = remove_records(file, superfluous[file.file], label_ids[file.file], folder)
                manifest.removed += len(superfluous[file.file])
            left += [kept] if kept else []
        manifest.splits[split] = left


def check_manifest(manifest: Manifest, label: Label, planned: Collection[str] = ()) -> tuple[str, ...]:
    """The classes, in the order of the model's outputs; none for a number.

    Args:
      manifest: of all splits.
      label: the task's.
      planned: folders of classes that the source knew of.

    Raises:
      DataError: a planned class of which no picture can be decoded, nothing to train on or to evaluate on, one class
        only, a class that training never sees, or a name of `label.names` without a training example.
    """
    expected = {name: _expected_class(name, label) for name in sorted(planned)}
    out = sum(manifest.quarantined.values())
    for split in ("train", "eval"):
        if not manifest.examples(split):
            raise DataError(
                f"no examples for {'training' if split == 'train' else 'evaluation'}"
                f" ({manifest.examples()} in all, {out} in quarantine)",
                hint=_quarantine_hint(manifest) if out > manifest.examples() else _MORE,
            )
    lost = [folder for folder, name in expected.items() if name not in manifest.labels()]
    if lost:
        raise DataError(f"class '{lost[0]}' has no picture that can be decoded", hint="Mend them or remove the folder.")
    if not isinstance(label, Classes):
        return ()
    train = manifest.labels("train")
    names = label.names or tuple(train)
    strange = [name for name in manifest.labels() if name not in names]
    if strange and label.names:
        raise DataError(f"label '{strange[0]}' is not among the task's label.names: {listed(label.names, 12)}")
    unseen = [name for name in manifest.labels() if name not in train]
    if unseen:
        raise DataError(
            f"label '{unseen[0]}' is seen only in evaluation: the model cannot learn it",
            hint="Add training examples of it, or take it out.",
        )
    if len(train) < 2:
        hint = _quarantine_hint(manifest) if out else "Add a second."
        raise DataError(f"only one class, '{next(iter(train))}': there is nothing to tell apart", hint=hint)
    untrained = [name for name in names if name not in train]
    if untrained and not (isinstance(label, Classes) and label.allow_untrained):
        begins_at_1 = untrained == [names[0]] and "unknown label" in manifest.quarantined
        raise DataError(
            f"no training example of '{untrained[0]}'"
            + (f" and {len(untrained) - 1} more" if len(untrained) > 1 else "")
            + ", which label.names lists",
            hint="Do the labels begin at 1? The first of label.names is 0: subtract 1."
            if begins_at_1
            else "Add examples, take it out of label.names, or allow it with --set label.allow_untrained=true",
        )
    return names


_MORE = "Give more data, or another share with --set ingest.eval_buckets=N."


def _quarantine_hint(manifest: Manifest) -> str:
    """What to do where most examples are in quarantine: look at the commonest reason."""
    reason, count = max(manifest.quarantined.items(), key=lambda pair: pair[1])
    return f"{count} of {sum(manifest.quarantined.values())} in quarantine for one reason: {reason}. Mend that first."


def _expected_class(folder: str, label: Label) -> str:
    """The class that a folder stands for.

    Raises:
      DataError: `label.names` does not have it.
    """
    if not isinstance(label, Classes):
        return folder
    try:
        return resolve_class(folder, label)
    except InvalidLabel as error:
        hint = f"label.names: {listed(label.names, 12)}. Add it there, or take the folder out."
        raise DataError(f"the folder {error}", hint=hint) from None
