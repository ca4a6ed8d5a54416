"""Merge what the workers report of their shards, in Beam: duplicates are looked for by ranges of contents.

No worker holds the keys of all records, and shards with duplicates are rewritten side by side.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import apache_beam as beam

from data.ingest.duplicates import (
    ContentIndex,
    Duplicates,
    RecordKeys,
    Redundant,
    join_ranges,
    keys_by_range,
    remove_records,
)
from data.ingest.manifest import Manifest, merge_reports
from data.ingest.shards import ShardFile, ShardReport
from data.sources import Plan

SHARDS_PER_RANGE = 128  # half a million records; a worker needs about 40 bytes for each
MAX_RANGES = 256  # more would make an element of a few records of each shard and range

_File = tuple[str, int]  # split and number of the shard
_Rewritten = tuple[str, "ShardFile | None"]  # the path of a file before, and the file now


def count_ranges(shards: int) -> int:
    """Return the number of ranges of contents for a number of shards."""
    return max(1, min(MAX_RANGES, -(-shards // SHARDS_PER_RANGE)))


@beam.typehints.with_input_types(ShardReport)
@beam.typehints.with_output_types(str)
class MergeShards(beam.PTransform):
    """Reports of all shards -> the folder, with its manifest, quarantine report and previews.

    Args:
      plan: the plan that the shards were made from.
      folder: the folder of the shards.
      shards: number of shards.
      remove_duplicates: rewrite the shards without the records that `ContentIndex.redundant` names.
    """

    def __init__(self, plan: Plan, folder: str, shards: int, *, remove_duplicates: bool) -> None:
        super().__init__()
        self._plan = dataclasses.replace(plan, splits={})  # the splits may be large, and merging does not need them
        self._folder, self._ranges, self._remove = folder, count_ranges(shards), remove_duplicates

    def expand(self, reports: beam.PCollection) -> beam.PCollection:
        contents = (
            reports
            | "KeysByRange" >> beam.FlatMap(keys_by_range, self._ranges).with_output_types(tuple[int, RecordKeys])
            | "GroupByRange" >> beam.GroupByKey()
            | "FindEqual" >> beam.MapTuple(lambda _, keys: ContentIndex(keys))
        )
        duplicates = contents | "Duplicates" >> beam.Map(lambda found: found.duplicates())
        files = reports | "WithoutKeys" >> beam.Map(_without_keys)
        manifest = (
            files
            | "Collect" >> beam.combiners.ToList()
            | "Merge" >> beam.Map(_merge, beam.pvalue.AsList(duplicates), self._plan, self._folder)
        )
        if not self._remove:
            return manifest | "Save" >> beam.Map(_save, [], self._folder)
        redundant = contents | "Redundant" >> beam.FlatMap(_redundant_by_file)
        rewritten = (
            {"files": files | "Files" >> beam.FlatMap(_files_by_number), "redundant": redundant}
            | "Join" >> beam.CoGroupByKey()
            # The manifest names records by their places in the shards: it comes before any of them is rewritten.
            | "Remove" >> beam.FlatMap(_remove, beam.pvalue.AsSingleton(manifest), self._folder)
        )
        return manifest | "Save" >> beam.Map(_save, beam.pvalue.AsList(rewritten), self._folder)


def _without_keys(report: ShardReport) -> ShardReport:
    return dataclasses.replace(report, digests={}, label_ids={}, label_sets={})


def _merge(reports: list[ShardReport], duplicates: list[Duplicates], plan: Plan, folder: str) -> Manifest:
    return merge_reports(reports, join_ranges(duplicates), plan, folder)


def _files_by_number(report: ShardReport) -> Iterator[tuple[_File, ShardFile]]:
    for split, file in report.files.items():
        yield (split, report.index), file


def _redundant_by_file(contents: ContentIndex) -> Iterator[tuple[_File, Redundant]]:
    for one in contents.redundant():
        yield (one.split, one.shard), one


def _remove(joined: tuple[_File, dict[str, Iterable]], manifest: Manifest, folder: str) -> Iterator[_Rewritten]:
    """Rewrite a file without its redundant records, if it has any."""
    redundant: list[Redundant] = list(joined[1]["redundant"])
    if redundant:
        (file,) = joined[1]["files"]
        positions = list(itertools.chain.from_iterable(one.positions for one in redundant))
        labels = list(itertools.chain.from_iterable(one.labels for one in redundant))
        yield file.file, remove_records(file, positions, labels, folder)


def _save(manifest: Manifest, rewritten: list[_Rewritten], folder: str) -> str:
    manifest.replace_files(dict(rewritten))
    manifest.save(folder)
    return folder
