"""Measure how long a training waits for pictures that lie in a bucket.

    python -m benchmarks.bucket --data DIR

DIR contains one folder of pictures per class, or such folders and tar files of them. Their shards are read from a disk,
and by TensorFlow's own client from a server on this machine that speaks Cloud Storage's protocol and waits before each
answer. Nothing is kept in memory. A step in place of the training sleeps as long as an accelerator would compute: it
takes half of the pictures per second that the disk gives without a step. What is missing to this pace is the share of
the time that the training waits for input.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, judge, median, quiet
from benchmarks.timing import Side, Span, time_sides
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from data.input.reader import ReadConfig

GOALS: dict[str, Goal] = {"waiting": ("<=", 0.05)}
WARM_UP = 3.0  # seconds: the readers adjust their threads in it


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Spans of each side; the medians count.")
@click.option("--limit", default=3000, show_default=True, help="Approximate largest number of pictures of a data set.")
@click.option("--window", default=5.0, show_default=True, help="Seconds of each span.")
@click.option("--latency", default=0.05, show_default=True, help="Seconds before each answer of the bucket.")
def main(data: Path, rounds: int, limit: int, window: float, latency: float) -> None:
    """Measure every data set."""
    with report_errors(), quiet("bucket") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks import input_ways
            from benchmarks.pictures import find_data_sets, take_pictures
            from tests.data.input.fake_bucket import FakeBucket

        warm_up, rows, ratios = min(WARM_UP, window), [], {}
        (scratch / "bucket").mkdir()
        with FakeBucket(scratch / "bucket", scratch, latency) as bucket:
            os.environ.update(bucket.environment)
            for one in find_data_sets(data, scratch):
                if one.is_idx:
                    continue
                with terminal.console.status(f"{one.name}: {min(limit, one.count):,} pictures"):
                    jpegs = input_ways.convert_to_jpegs(take_pictures(one, limit, scratch), scratch)
                    disk = input_ways.training_shards(jpegs, scratch)
                    remote = _copy(disk, bucket.objects / one.name)
                    free = time_sides({"disk": _steps(disk)}, rounds, warm_up=warm_up, window=window)["disk"]
                    pace = _rate(free) / 2
                    sides = {"disk": _steps(disk, pace), "bucket": _steps(remote, pace)}
                    spans = time_sides(sides, rounds, warm_up=warm_up, window=window)
                waiting = {name: max(0.0, 1 - _rate(timed) / pace) for name, timed in spans.items()}
                rows.append(
                    [one.name, f"{2 * pace:,.0f}", f"{pace:,.0f}", *(f"{part:.1%}" for part in waiting.values())]
                )
                ratios[one.name] = {"waiting": round(waiting["bucket"], 4), "waiting_disk": round(waiting["disk"], 4)}
        columns = ["pictures", "disk, no step: pictures/s", "the step's pace", "waits, disk", "waits, bucket"]
        terminal.table(f"{latency * 1000:.0f} ms before each answer, median of {rounds}", columns, rows)
        terminal.finish(judge("bucket", ratios, GOALS, {"rounds": rounds, "latency": latency}))


def _copy(reading: ReadConfig, folder: Path) -> ReadConfig:
    """Copy the shards into a folder of the bucket, and return how to read them there."""
    folder.mkdir()
    names = [Path(shutil.copy(file, folder / f"{number}.tfrecord")).name for number, file in enumerate(reading.files)]
    return dataclasses.replace(reading, files=[f"gs://bucket/{folder.name}/{name}" for name in names])


def _steps(reading: ReadConfig, pace: float = float("inf")) -> Side:
    """Read batches without a cache, with a step after each that takes `pace` pictures per second."""
    from data.input import reader

    batches = reader.read_batches(reading, cache_bytes=0, seed=0).passes()

    def steps() -> Generator[int, None, None]:
        for images, _ in batches:
            time.sleep(len(images) / pace)
            yield len(images)

    return steps


def _rate(spans: list[Span]) -> float:
    return median([span.rate for span in spans])


if __name__ == "__main__":
    main()
