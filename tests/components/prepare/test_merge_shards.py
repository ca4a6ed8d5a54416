"""Merging with Beam in several ranges of contents gives what merging in one process gives."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest

from components.prepare import merge_shards
from components.prepare.merge_shards import MergeShards, count_ranges
from data.ingest.manifest import Manifest
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest, ShardReport, write_shard
from data.sources import Arrays, Plan
from data.spec import Classes, Image
from tests.data.ingest.ingest_folder import merge

FEATURE = Image(4, 4, 1)


def _write(folder: Path, target: Path) -> tuple[Plan, list[ShardReport]]:
    plan = Arrays().plan(str(folder), FEATURE)
    shards = make_shards(plan, 0, f"{target}-plan")
    reports = [write_shard(one, str(folder), str(target), Arrays(), FEATURE, Classes(), Ingest()) for one in shards]
    return plan, reports


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("remove", [False, True])
def test_ranges_in_beam_give_what_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: bool
) -> None:
    rng = np.random.default_rng(0)
    picks, test_picks = rng.integers(0, 900, 700), rng.integers(0, 900, 150)
    pixels = rng.integers(0, 256, (900, 4, 4), np.uint8)
    arrays = {"x_train": pixels[picks], "y_train": picks % 3, "x_test": pixels[test_picks], "y_test": test_picks % 3}
    arrays["y_train"][:9] += 1  # some contents have two labels
    np.savez(tmp_path / "d.npz", **arrays)
    plan, reports = _write(tmp_path, tmp_path / "one")
    expected = merge(reports, plan, tmp_path / "one", remove_duplicates=remove, ranges=1)
    monkeypatch.setattr(merge_shards, "SHARDS_PER_RANGE", 1)
    plan, reports = _write(tmp_path, tmp_path / "beam")
    assert count_ranges(len(reports)) == len(reports) > 3
    with beam.Pipeline() as pipeline:
        target, count = str(tmp_path / "beam"), len(reports)
        merging = MergeShards(plan, target, count, remove_duplicates=remove)
        _ = pipeline | beam.Create(reports[::-1]) | merging
    assert Manifest.load(str(tmp_path / "beam")) == expected
    assert expected.duplicate_count > 20 and expected.contradiction_count > 9 and bool(expected.removed) == remove
    assert _contents(tmp_path / "beam") == _contents(tmp_path / "one")


def test_ranges_are_bounded() -> None:
    assert [count_ranges(shards) for shards in (0, 1, 128, 129, 10**6)] == [1, 1, 1, 2, 256]
