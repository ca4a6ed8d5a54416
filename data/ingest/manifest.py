"""The manifest of a folder of shards: what the shards hold, and what was left out and why."""

from __future__ import annotations

import dataclasses
import itertools
import json
import posixpath
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from data.errors import DataError
from data.files.atomic import write_aside
from data.images.previews import Preview, preview_file
from data.ingest.duplicates import DuplicatePair, Duplicates, Place, describe_labels, read_named
from data.ingest.previews import choose_previews, write_previews
from data.ingest.shards import ShardFile, ShardReport
from data.names import list_names
from data.records import Rejected
from data.sources.base import Plan
from data.sources.labels import InvalidLabel, label_order, resolve_class
from data.spec import IMAGE, Classes, Label, Labels

MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"
_MORE_DATA_HINT = "Add data, or change the share with --set ingest.eval_buckets=N."


@dataclass
class Manifest:
    """The contents of a folder of shards.

    Attributes:
      splits: the shards of each split.
      quarantined: number of images or rows left out, by reason; `quarantine.jsonl` in the same folder names each.
      not_pictures: number of ignored files that are not images, by kind.
      unused: number of ignored images and data files, by their place.
      layout: the folder or files that each split was read from, if their names decided the splits.
      notes: how the source interpreted unusual data, a sentence each.
      duplicates: images that are in training and in another split: path by split, the first twenty.
      duplicate_count: number of images outside of training whose content is in training, too.
      contradictions: images with equal content and different labels: path by label, the first twenty; of `Labels` by
        the names, separated by commas.
      contradiction_count: number of images whose content has another label, too.
      removed: number of records removed as duplicates.
      remarks: number of images by the property that decoding ignores silently, in training and in serving; the keys
        of `headers.REMARKS`.
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
        """Return the number of records in a split, or in all splits."""
        return sum(shard.examples for shard in self._shards(split))

    def bytes(self, split: str | None = None) -> int:
        """Return the size in bytes of the shards of a split, or of all splits."""
        return sum(shard.bytes for shard in self._shards(split))

    def labels(self, split: str | None = None) -> dict[str, int]:
        """Return the number of records by name, in a split or in all splits, in the order of `label_order`.

        A record with several names counts for each of them.
        """
        counts: Counter[str] = Counter()
        for shard in self._shards(split):
            counts.update(shard.labels)
        return {name: counts[name] for name in label_order(counts)}

    def unlabelled(self, split: str | None = None) -> int:
        """Return the number of records without a name, in a split or in all splits."""
        return sum(shard.unlabelled for shard in self._shards(split))

    def quarantine_share(self) -> float:
        """Return the share of the images or rows that were left out, 0..1."""
        return self.quarantine_count / max(1, self.quarantine_count + self.examples())

    @property
    def quarantine_count(self) -> int:
        """Number of images or rows left out."""
        return sum(self.quarantined.values())

    def _shards(self, split: str | None) -> list[ShardFile]:
        if split is not None:
            return self.splits.get(split, [])
        return list(itertools.chain.from_iterable(self.splits.values()))

    def replace_files(self, rewritten: Mapping[str, ShardFile | None]) -> None:
        """Put files that were rewritten without duplicates into the place of those before; None: no record remained."""
        before = self.examples()
        for split, files in self.splits.items():
            remaining = [rewritten.get(file.file, file) for file in files]
            self.splits[split] = [file for file in remaining if file]
        self.removed += before - self.examples()

    def save(self, folder: str) -> None:
        """Write the manifest into the folder of the shards, atomically."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        write_aside(posixpath.join(folder, MANIFEST), text)

    @classmethod
    def load(cls, folder: str) -> Manifest:
        """Read the manifest of a folder of shards."""
        with tf.io.gfile.GFile(posixpath.join(folder, MANIFEST)) as file:
            values: dict[str, Any] = json.load(file)
        values["splits"] = {
            split: [ShardFile(**shard) for shard in shards] for split, shards in values["splits"].items()
        }
        known = {one.name for one in dataclasses.fields(cls)}  # another version may have written other fields
        return cls(**{name: value for name, value in values.items() if name in known})


def merge_reports(reports: Sequence[ShardReport], duplicates: Duplicates, plan: Plan, folder: str) -> Manifest:
    """Make the manifest of a folder from the reports of its shards; write the quarantine report and previews there.

    Args:
      reports: the reports of all shards, in any order; their keys (`ShardReport.digests`) are not used.
      duplicates: the equal records of all shards.
      plan: the plan that the shards were made from; its items are not used.
      folder: the folder of the shards.
    """
    ordered = sorted(reports, key=lambda report: report.index)
    manifest = Manifest(
        {},
        not_pictures=dict(plan.not_pictures),
        unused=dict(plan.unused),
        layout=plan.layout,
        notes=plan.notes,
        duplicate_count=duplicates.across,
        contradiction_count=duplicates.contradictions,
        remarks=dict(sum((report.remarks for report in ordered), Counter())),
    )
    for report in ordered:
        for split, shard in report.files.items():
            manifest.splits.setdefault(split, []).append(shard)
    rejected = [one for report in ordered for one in report.rejected]
    manifest.quarantined = dict(Counter(one.reason for one in rejected))
    _write_quarantine(rejected, folder)
    made = {source: one for report in ordered for source, one in report.previews.items()}
    twins = _TwinNames({(split, one.index): file for one in ordered for split, file in one.files.items()}, folder)
    for pair in duplicates.across_pairs:
        manifest.duplicates.append(twins.name(pair, (pair.first[0], pair.second[0])))
    for pair in duplicates.contradiction_pairs:
        first, second = map(describe_labels, pair.labels)
        manifest.contradictions.append(twins.name(pair, (first, second)))
    write_previews(choose_previews(rejected, made) | twins.previews, folder)
    return manifest


def _write_quarantine(rejected: Sequence[Rejected], folder: str) -> None:
    ordered = sorted(rejected, key=lambda one: one.source)
    lines = ({"source": one.source, "reason": one.reason, "message": one.message} for one in ordered)
    write_aside(posixpath.join(folder, QUARANTINE), "".join(json.dumps(line) + "\n" for line in lines))


class _TwinNames:
    """Reads the records of pairs, to name them.

    Attributes:
      previews: of the pairs named so far, by the source of the first record of each.

    Args:
      files: the written files by split and number of the shard.
      folder: the folder of the shards.
    """

    def __init__(self, files: Mapping[tuple[str, int], ShardFile], folder: str) -> None:
        self.previews: dict[str, Preview] = {}
        self._files, self._folder = files, folder

    def name(self, pair: DuplicatePair, keys: tuple[str, str]) -> dict[str, str]:
        """Return the sources of both records, by the keys."""
        (source, example), (other, _) = (self._read(place) for place in (pair.first, pair.second))
        pictures = example.features.feature[IMAGE].bytes_list.value
        preview = preview_file(pictures[0]) if pictures else None
        self.previews.update({source: preview} if preview else {})
        return dict(zip(keys, (source, other), strict=True))

    def _read(self, place: Place) -> tuple[str, tf.train.Example]:
        split, shard, position = place
        file = self._files[split, shard].file
        return read_named(posixpath.join(self._folder, file), position, file)


def check_manifest(manifest: Manifest, label: Label, planned: Collection[str] = ()) -> tuple[str, ...]:
    """Check that a model can be trained on the shards, and return the names of the labels.

    Args:
      manifest: the manifest of all splits.
      label: the task's label.
      planned: names of the class folders that the source has found.

    Returns:
      The names, in the order of the model's outputs; none if the label is a number.

    Raises:
      DataError: If no image of a class folder can be decoded, there is nothing to train on or to evaluate on, there is
        only one class, training has no example of a name, or a label is not in `label.names`.
    """
    classes = {name: _expected_class(name, label) for name in sorted(planned)}
    _check_splits(manifest)
    lost = [folder for folder, name in classes.items() if name not in manifest.labels()]
    if lost:
        raise DataError(
            f"class '{lost[0]}' has no picture that can be decoded", hint="Repair the pictures or remove the folder."
        )
    if not isinstance(label, (Classes, Labels)):
        return ()
    _check_known_labels(manifest, label)
    _check_enough_labels(manifest, label)
    _check_trained_labels(manifest, label)
    return label.names or tuple(manifest.labels("train"))


def _check_splits(manifest: Manifest) -> None:
    """Check that there are examples for training and for evaluation.

    Raises:
      DataError: If there are none for one of them.
    """
    for split, purpose in (("train", "training"), ("eval", "evaluation")):
        if not manifest.examples(split):
            total, rejected = manifest.examples(), manifest.quarantine_count
            raise DataError(
                f"no examples for {purpose} ({total} in all, {rejected} in quarantine)",
                hint=_quarantine_hint(manifest) if rejected > total else _MORE_DATA_HINT,
            )


def _check_known_labels(manifest: Manifest, label: Classes | Labels) -> None:
    """Check that all labels are in `label.names`, and that training has examples of all labels of other splits.

    Raises:
      DataError: If a label is not.
    """
    unknown = [name for name in manifest.labels() if label.names and name not in label.names]
    if unknown:
        raise DataError(
            f"label '{unknown[0]}' is not among the task's label.names: {_list_names(label)}",
            hint="Add it to label.names, or remove its examples.",
        )
    train = manifest.labels("train")
    unseen = [name for name in manifest.labels() if name not in train]
    if unseen:
        raise DataError(
            f"label '{unseen[0]}' occurs only in evaluation: the model cannot learn it",
            hint="Add training examples of it, or remove its examples from evaluation.",
        )


def _check_enough_labels(manifest: Manifest, label: Classes | Labels) -> None:
    """Check that training has two classes, or at least one of several names.

    Raises:
      DataError: If it has not.
    """
    train = manifest.labels("train")
    hint = _quarantine_hint(manifest) if manifest.quarantine_count else ""
    if isinstance(label, Classes) and len(train) < 2:
        hint = hint or "Add pictures or rows of a second class."
        raise DataError(f"only one class, '{next(iter(train))}': a classifier needs at least two", hint=hint)
    if not train:
        hint = hint or "Does the source read the right column or feature?"
        raise DataError("no training example has a label: there is nothing to learn", hint=hint)


def _check_trained_labels(manifest: Manifest, label: Classes | Labels) -> None:
    """Check that training has an example of each of `label.names`.

    Raises:
      DataError: If it has not; a name may lack examples if `label.allow_untrained` is set.
    """
    train = manifest.labels("train")
    untrained = [name for name in label.names if name not in train]
    if not untrained or label.allow_untrained:
        return
    more = f" and {len(untrained) - 1} more" if len(untrained) > 1 else ""
    starts_at_1 = untrained == [label.names[0]] and "unknown label" in manifest.quarantined
    raise DataError(
        f"no training example of '{untrained[0]}'{more}, which label.names lists",
        hint="Do the labels begin at 1? The first of label.names has index 0: subtract 1."
        if starts_at_1
        else "Add examples, remove it from label.names, or allow it with --set label.allow_untrained=true",
    )


def _quarantine_hint(manifest: Manifest) -> str:
    """Return a hint that names the most frequent reason for quarantine."""
    reason, count = max(manifest.quarantined.items(), key=lambda pair: pair[1])
    return f"{count} of {manifest.quarantine_count} in quarantine have the same reason: {reason}. Fix that first."


def label_notes(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """Return what is unusual about several labels, a sentence each, to show to the user.

    Args:
      manifest: the manifest of all splits.
      names: the names, from `check_manifest`.
    """
    train, examples, held_out = manifest.labels("train"), manifest.examples("train"), manifest.labels("eval")
    everywhere = [name for name in names if train.get(name) == examples]
    unmeasured = [name for name in names if name not in held_out]
    found = []
    if manifest.unlabelled():
        found.append(f"{manifest.unlabelled():,} of {manifest.examples():,} examples have no label")
    if everywhere:
        found.append(f"all training examples have the label {_quote(everywhere)}: the model can only learn to say yes")
    if unmeasured:
        found.append(f"no example for evaluation has the label {_quote(unmeasured)}: its threshold stays 0.5")
    return found


def _quote(names: Sequence[str]) -> str:
    return list_names([f"'{name}'" for name in names], 8)


def _list_names(label: Classes | Labels) -> str:
    return list_names(label.names, 12)


def _expected_class(folder: str, label: Label) -> str:
    """Return the name that the name of a folder means.

    Raises:
      DataError: If the class is not in `label.names`.
    """
    if not isinstance(label, (Classes, Labels)):
        return folder
    try:
        return resolve_class(folder, label)
    except InvalidLabel as error:
        hint = f"label.names: {_list_names(label)}. Add it there, or remove the folder."
        raise DataError(f"the folder {error}", hint=hint) from None
