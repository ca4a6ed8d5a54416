"""Measure JPEGs from TFRecords to batches, against this machine's bare decoding rate and Keras' directory readers.

    python -m benchmarks.input --data DIR

DIR contains one folder of pictures per class, or such folders and tar files of them. JPEGs are used unchanged; other
formats are encoded as JPEG at quality 90 first. Nothing is cached. At the end, photographs of 12 megapixels are made
from them, and read at 224x224 with and without `Image.shrink_on_load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, Terminal, judge, median, quiet, run_alternately
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.input_ways import Jpegs

GOALS: dict[str, Goal] = {"ours/bare": (">=", 0.9), "shrunk/whole": (">=", 3.0)}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each implementation; the medians count.")
@click.option(
    "--limit", default=6000, show_default=True, help="Approximate largest number of pictures of each data set."
)
@click.option("--photographs", default=8, show_default=True, help="Number of photographs of 12 megapixels.")
@click.option("--window", default=4.0, show_default=True, help="Seconds that each measurement of the reader lasts.")
def main(data: Path, rounds: int, limit: int, photographs: int, window: float) -> None:
    """Measure every data set, then the photographs."""
    with report_errors(), quiet("input") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks import input_ways
            from benchmarks.pictures import find_data_sets, take_pictures
        ratios, found = {}, [one for one in find_data_sets(data, scratch) if not one.is_idx]
        for one in found:
            with terminal.console.status(f"{one.name}: {min(limit, one.count):,} pictures"):
                jpegs = input_ways.convert_to_jpegs(take_pictures(one, limit, scratch), scratch)
                ratios[one.name] = _measure(jpegs, one.name, rounds, window, scratch, terminal)
        with terminal.console.status(f"{photographs} photographs of 12 megapixels"):
            large = input_ways.make_photographs(found[-1], photographs, scratch)
            ratios["photographs"] = _shrunk(large, rounds, window, scratch, terminal)
        terminal.finish(judge("input", ratios, GOALS, {"rounds": rounds}))


def _measure(
    jpegs: Jpegs, name: str, rounds: int, window: float, scratch: Path, terminal: Terminal
) -> dict[str, float]:
    """Print the tables of one data set and return its ratios."""
    from benchmarks import input_ways

    ways = input_ways.implementations(jpegs, scratch, window)
    seconds = {way: median(taken) for way, taken in run_alternately(ways, rounds).items()}
    count = jpegs.count
    terminal.table(
        f"{name}: {count:,} JPEGs of {jpegs.feature.height}x{jpegs.feature.width}, median of {rounds}",
        ["implementation", "pictures/s", "ours is"],
        [[way, f"{count / taken:,.0f}", f"{taken / seconds['ours']:.2f} x"] for way, taken in seconds.items()],
    )
    _stages(jpegs, scratch, terminal, rounds)
    _options(jpegs, name, rounds, terminal)
    bare = min(taken for way, taken in seconds.items() if way.startswith("bare"))  # the faster one is the bar
    peers = {way: taken for way, taken in seconds.items() if way.endswith("directory")}
    return {f"ours/{way}": round(taken / seconds["ours"], 3) for way, taken in {"bare": bare, **peers}.items()}


def _options(jpegs: Jpegs, name: str, rounds: int, terminal: Terminal) -> None:
    """Print how much longer decoding and resizing take with each field of `Image`."""
    from benchmarks import input_ways

    seconds = {way: median(taken) for way, taken in run_alternately(input_ways.image_options(jpegs), rounds).items()}
    terminal.table(
        f"{name}: fields of Image, decoding and resizing in memory, median of {rounds}",
        ["field", "pictures/s", "time"],
        [[way, f"{jpegs.count / taken:,.0f}", f"{taken / seconds['default']:.2f} x"] for way, taken in seconds.items()],
    )


def _stages(jpegs: Jpegs, scratch: Path, terminal: Terminal, rounds: int) -> None:
    """Print the share of the time that each stage adds to the ones before it."""
    from benchmarks import input_ways

    ends = {
        way: median(taken) for way, taken in run_alternately(input_ways.reader_stages(jpegs, scratch), rounds).items()
    }
    added, before = {}, 0.0
    for stage, until in ends.items():
        added[stage], before = max(0.0, until - before), max(before, until)
    bottleneck = max(added, key=lambda stage: added[stage])
    terminal.console.print("  ".join(f"{stage} {taken / before:.0%}" for stage, taken in added.items()))
    terminal.console.print(f"bottleneck: {bottleneck}")


def _shrunk(jpegs: Jpegs, rounds: int, window: float, scratch: Path, terminal: Terminal) -> dict[str, float]:
    """Return the ratio of the rates with and without `shrink_on_load`."""
    from benchmarks import input_ways

    ways = {
        name: input_ways.reader_run(jpegs, scratch, window, shrink_on_load=shrink)
        for name, shrink in (("whole", False), ("shrunk", True))
    }
    seconds = {way: median(taken) for way, taken in run_alternately(ways, rounds).items()}
    terminal.table(
        f"{jpegs.count} photographs of 4000x3000 to 224x224, median of {rounds}",
        ["decoded", "pictures/s"],
        [[way, f"{jpegs.count / taken:,.1f}"] for way, taken in seconds.items()],
    )
    _stages(jpegs, scratch, terminal, 1)
    return {"shrunk/whole": round(seconds["whole"] / seconds["shrunk"], 3)}


if __name__ == "__main__":
    main()
