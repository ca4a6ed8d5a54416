"""Ingestion's memory does not grow with the data: peak resident memory at 1x and at 10x."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import PROJECT, environment

pytestmark = pytest.mark.slow

ROWS = 6000  # of 3 KB: 18 MB, and 180 MB at 10x, against some 700 MB of TensorFlow and Beam
INGEST = """
import resource, sys
import apache_beam as beam
from components.prepare.merge_shards import MergeShards
from data.ingest.plan_files import make_shards
from data.ingest.shards import Ingest
from data.sources import Arrays
from data.spec import Classes, Image
from pipeline.runners.beam import DIRECT

class Write(beam.DoFn):
    def process(self, shard):
        from data.ingest.shards import write_shard
        return [write_shard(shard, sys.argv[1], sys.argv[2], SOURCE, FEATURE, Classes(), Ingest())]

SOURCE, FEATURE = Arrays(eval=()), Image(32, 32, 3)
plan = SOURCE.plan(sys.argv[1], FEATURE)
with beam.Pipeline(argv=list(DIRECT)) as pipeline:
    shards = make_shards(plan, 0, sys.argv[2] + "/plan")
    reports = pipeline | beam.Create(shards) | beam.ParDo(Write())
    reports | MergeShards(plan, sys.argv[2], len(shards), remove_duplicates=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak_kb(data: Path, target: Path, rows: int) -> int:
    data.mkdir()
    pixels = np.lib.format.open_memmap(data / "x_train.npy", "w+", np.uint8, (rows, 32, 32, 3))
    rng = np.random.default_rng(0)
    for start in range(0, rows, 1000):
        pixels[start : start + 1000] = rng.integers(0, 256, (1000, 32, 32, 3), np.uint8)
    pixels.flush()
    np.save(data / "y_train.npy", rng.integers(0, 10, rows))
    command = [sys.executable, "-W", "ignore", "-c", INGEST, str(data), str(target)]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def test_peak_memory_at_ten_times_the_data_is_within_15_percent(tmp_path: Path) -> None:
    one = _peak_kb(tmp_path / "one", tmp_path / "shards-one", ROWS)
    ten = _peak_kb(tmp_path / "ten", tmp_path / "shards-ten", 10 * ROWS)
    assert ten <= 1.15 * one, f"{one / 1024:.0f} MB at 1x, {ten / 1024:.0f} MB at 10x"
