"""Ingestion as ExampleGen does it, in this process, for the tests of shards and manifests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.ingest.duplicates import ContentIndex, RecordKeys, join_ranges, keys_by_range, remove_records
from data.ingest.manifest import Manifest, merge_reports
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest, ShardReport, write_shard
from data.sources import ImageFolder, Plan, Source
from data.spec import Classes, Feature, Image, Label

PICTURES, SMALL, CLASSES = ImageFolder(), Image(4, 4), Classes()


def ingest_folder(
    folder: Path,
    target: Path,
    source: Source = PICTURES,
    feature: Feature = SMALL,
    label: Label = CLASSES,
    remove_duplicates: bool = False,
) -> Manifest:
    """Write all shards of a data folder, and return their manifest."""
    plan = source.plan(str(folder), feature, label)
    shards = make_shards(plan, 0, f"{target}-plan")
    reports = [write_shard(shard, str(folder), str(target), source, feature, label, Ingest()) for shard in shards]
    return merge(reports[::-1], plan, target, remove_duplicates=remove_duplicates)  # in any order


def merge(
    reports: Sequence[ShardReport], plan: Plan, target: Path, *, remove_duplicates: bool = False, ranges: int = 3
) -> Manifest:
    """Merge the reports as `components.prepare.merge_shards` does with Beam, and save the manifest."""
    keys: dict[int, list[RecordKeys]] = defaultdict(list)
    for report in reports:
        for number, one in keys_by_range(report, ranges):
            keys[number].append(one)
    contents = [ContentIndex(one) for one in keys.values()]
    manifest = merge_reports(reports, join_ranges([one.duplicates() for one in contents]), plan, str(target))
    if remove_duplicates:
        positions: dict[tuple[str, int], list[int]] = defaultdict(list)
        labels: dict[tuple[str, int], list[tuple[str, ...]]] = defaultdict(list)
        for redundant in (redundant for found in contents for redundant in found.redundant()):
            positions[redundant.split, redundant.shard] += redundant.positions
            labels[redundant.split, redundant.shard] += redundant.labels
        files = {(split, report.index): file for report in reports for split, file in report.files.items()}
        manifest.replace_files(
            {
                files[place].file: remove_records(files[place], positions[place], labels[place], str(target))
                for place in positions
            }
        )
    manifest.save(str(target))
    return manifest
