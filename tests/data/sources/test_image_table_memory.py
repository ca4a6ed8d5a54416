"""Planning a table: the memory does not grow with the rows; each number comes from a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import PROJECT

pytestmark = pytest.mark.slow

MEASURE = """
import sys
from data.ingest.plan_files import make_shards
from data.sources import ImageTable
from data.spec import Image

def peak():  # megabytes; `getrusage` would begin with those of the process of the tests
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024

source, folders = ImageTable(split="part"), sys.argv[1:]
for folder in folders:
    plan = source.plan(folder, Image(8, 8))
    shards = make_shards(plan, 0, f"{folder}-plan")
    print(peak(), sum(map(len, plan.splits.values())), len(shards))
"""


def write(folder: Path, form: str, rows: int) -> None:
    folder.mkdir()
    if form == "parquet":
        import pyarrow
        import pyarrow.parquet

        columns = {
            "path": [f"images/{row:07d}.jpg" for row in range(rows)],
            "label": [f"c{row % 9}" for row in range(rows)],
            "part": [("train", "val")[row % 10 == 0] for row in range(rows)],
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "t.parquet")
        return
    with open(folder / f"t.{form}", "w") as file:
        file.write("path,label,part\n" if form == "csv" else "")
        for row in range(rows):
            part = ("train", "val")[row % 10 == 0]
            if form == "csv":
                file.write(f"images/{row:07d}.jpg,c{row % 9},{part}\n")
            else:
                file.write(f'{{"path": "images/{row:07d}.jpg", "label": "c{row % 9}", "part": "{part}"}}\n')


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_million_rows_take_the_memory_of_a_thousand(tmp_path: Path, form: str) -> None:
    """The items of a plan are 15,625 ranges of rows; with their shards they take a few megabytes."""
    folders = [tmp_path / str(rows) for rows in (1000, 1_000_000)]
    for folder in folders:
        write(folder, form, int(folder.name))
    command = [sys.executable, "-c", MEASURE, *map(str, folders)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    (small, few, _), (large, many, shards) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (few, many, shards) == (15 + 2, 14063 + 1563, 220 + 25)
    assert large - small < 40, f"{small} MB, then {large} MB"
