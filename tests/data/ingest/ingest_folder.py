"""Ingestion as ExampleGen does it, in this process, for the tests of shards and manifests."""

from __future__ import annotations

from pathlib import Path

from data.ingest.manifest import Manifest, merge_reports
from data.ingest.shards import Ingest, make_shards, write_shard
from data.sources import ImageFolder, Source
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
    reports = [
        write_shard(shard, str(folder), str(target), source, feature, label, Ingest()) for shard in make_shards(plan, 0)
    ]
    return merge_reports(reports[::-1], plan, str(target), remove_duplicates=remove_duplicates)  # in any order
