"""Measure planning, ingestion, statistics and evaluation at several numbers of small pictures.

    python -m benchmarks.scale --sizes 10000,100000,1000000

The pictures, PNGs of 8x8 pixels in 20 classes, are made first and removed at the end; a million take 4 GB of the
temporary folder (TMPDIR). Each size has a process of its own, in which the stages run one after the other. The ratios
compare the largest number of pictures with the smallest.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.report import Goal, Terminal, judge, quiet
from data.errors import UsageError
from pipeline.cli import report_errors

GOALS: dict[str, Goal] = {"rate": (">=", 0.9), "memory": ("<=", 1.1), "graph_mb": ("<=", 1.0)}
CLASSES = 20
STAGES = ("fingerprint", "plan", "ExampleGen", "statistics", "evaluation")


@click.command(help=__doc__)
@click.option("--sizes", default="10000,100000", show_default=True, help="Numbers of pictures, the smallest first.")
def main(sizes: str) -> None:
    """Measure each size."""
    with report_errors(), quiet("scale") as (terminal, scratch):
        found = {}
        for count in _counts(sizes):
            with terminal.console.status(f"{count:,} pictures"):
                found[count] = _measure(count, scratch / str(count))
            _print(count, found[count], terminal)
        terminal.finish(judge("scale", _ratios(found), GOALS, {"sizes": list(found)}))


def _counts(sizes: str) -> list[int]:
    """Return the numbers of pictures.

    Raises:
      UsageError: If there are fewer than two, one is too small to have all classes in both splits, or they do not grow.
    """
    parts = sizes.split(",")
    counts = [int(part) for part in parts if part.strip().isdecimal()]
    if len(counts) != len(parts) or len(counts) < 2 or counts != sorted(set(counts)) or counts[0] < 50 * CLASSES:
        raise UsageError(
            f"--sizes must be two or more growing numbers of at least {50 * CLASSES:,}, got '{sizes}'",
            hint="For example --sizes 10000,100000",
        )
    return counts


def _measure(count: int, scratch: Path) -> dict[str, Any]:
    """Make the pictures, measure the stages in a process of their own, and remove everything."""
    write_pictures(scratch / "data", count)
    command = [sys.executable, "-m", "benchmarks.scale_once", str(scratch / "data"), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{count:,} pictures could not be measured:\n{done.stderr[-3000:]}")
    shutil.rmtree(scratch)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_pictures(folder: Path, count: int) -> None:
    """Write different pictures, a folder for each class; the number of a picture is among its pixels."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.scale_once import SIDE

    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for label in range(CLASSES):
        (folder / f"class{label:02d}").mkdir(parents=True)
    for number in range(count):
        pixels[0, 0] = number & 255, number >> 8 & 255, number >> 16 & 255
        encoded = tf.io.encode_png(pixels, compression=0).numpy()
        (folder / f"class{number % CLASSES:02d}" / f"{number:08d}.png").write_bytes(encoded)


def _print(count: int, found: Mapping[str, Any], terminal: Terminal) -> None:
    terminal.table(
        f"{count:,} pictures, {found['shards']:,} shards, job graph {found['graph_bytes'] / 1e6:.2f} MB",
        ["stage", "pictures", "seconds", "pictures/s", "CPU us a picture", "peak MB"],
        [
            [
                name,
                f"{_pictures(name, found):,}",
                f"{found['stages'][name]['seconds']:.1f}",
                f"{_pictures(name, found) / found['stages'][name]['seconds']:,.0f}",
                f"{1e6 * found['stages'][name]['processor'] / _pictures(name, found):,.0f}",
                f"{found['stages'][name]['peak']:,.0f}",
            ]
            for name in STAGES
        ],
    )


def _pictures(stage: str, found: Mapping[str, Any]) -> int:
    """Return the number of pictures that a stage works on."""
    examples: dict[str, int] = found["examples"]
    return examples["eval"] if stage == "evaluation" else sum(examples.values())


def _ratios(found: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the ratios of the largest size to the smallest by stage, and the size of the largest job graph."""
    first, last = found[min(found)], found[max(found)]
    ratios: dict[str, dict[str, float]] = {"job": {"graph_mb": round(last["graph_bytes"] / 1e6, 3)}}
    for name in STAGES:
        before, after = first["stages"][name], last["stages"][name]
        rates = [_pictures(name, one) / one["stages"][name]["processor"] for one in (first, last)]
        ratios[name] = {"rate": round(rates[1] / rates[0], 3), "memory": round(after["peak"] / before["peak"], 3)}
    return ratios


if __name__ == "__main__":
    main()
