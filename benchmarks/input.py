"""JPEGs from TFRecords to batches, against the bare decoding rate of this machine and Keras' directory readers.

    python -m benchmarks.input --data DIR

DIR holds a folder of pictures per class, or such folders and tar files of them. JPEGs are taken as they are; pictures
of other kinds are encoded as JPEG at quality 90 first. Nothing is cached. Last, photographs of 12 megapixels are made
of them, and read at 224x224 with and without `Image.shrink_on_load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Terminal, Verdict, alternate, median, quiet
from pipeline.cli import reported

if TYPE_CHECKING:
    from benchmarks.input_ways import Jpegs

GOALS = {"ours/bare": 0.9, "shrunk/whole": 3.0}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of the data.")
@click.option("--rounds", default=3, show_default=True, help="How often each way runs; medians count.")
@click.option("--limit", default=6000, show_default=True, help="Take at most about so many pictures of each set.")
@click.option("--photographs", default=8, show_default=True, help="How many of 12 megapixels.")
@click.option("--window", default=4.0, show_default=True, help="Seconds that each of our measurements lasts.")
def main(data: Path, rounds: int, limit: int, photographs: int, window: float) -> None:
    """Measures every set of pictures, then the photographs."""
    with reported(), quiet("input") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks import input_ways
            from benchmarks.pictures import discover, limited
        ratios, found = {}, [one for one in discover(data, scratch) if not one.is_idx]
        for one in found:
            with terminal.console.status(f"{one.name}: {min(limit, one.count):,} pictures"):
                jpegs = input_ways.as_jpegs(limited(one, limit, scratch), scratch)
                ratios[one.name] = _measure(jpegs, one.name, rounds, window, scratch, terminal)
        with terminal.console.status(f"{photographs} photographs of 12 megapixels"):
            large = input_ways.photographs(found[-1], photographs, scratch)
            ratios["photographs"] = _shrunk(large, rounds, window, scratch, terminal)
        met = all(one[name] >= goal for one in ratios.values() for name, goal in GOALS.items() if name in one)
        goals = {name: f">= {goal:g}" for name, goal in GOALS.items()}
        terminal.finish(Verdict("input", ratios, goals, met, {"rounds": rounds}))


def _measure(
    jpegs: Jpegs, name: str, rounds: int, window: float, scratch: Path, terminal: Terminal
) -> dict[str, float]:
    """The ratios of one set; prints its tables."""
    from benchmarks import input_ways

    ways = input_ways.ways(jpegs, scratch, window)
    seconds = {way: median(taken) for way, taken in alternate(ways, rounds).items()}
    count = jpegs.count
    terminal.table(
        f"{name}: {count:,} JPEGs of {jpegs.feature.height}x{jpegs.feature.width}, median of {rounds}",
        ["way", "pictures/s", "ours is"],
        [[way, f"{count / taken:,.0f}", f"{taken / seconds['ours']:.2f} x"] for way, taken in seconds.items()],
    )
    _stages(jpegs, scratch, terminal, rounds)
    bare = min(taken for way, taken in seconds.items() if way.startswith("bare"))  # the faster one is the bar
    peers = {way: taken for way, taken in seconds.items() if way.endswith("directory")}
    return {f"ours/{way}": round(taken / seconds["ours"], 3) for way, taken in {"bare": bare, **peers}.items()}


def _stages(jpegs: Jpegs, scratch: Path, terminal: Terminal, rounds: int) -> None:
    """What each stage adds to the time of the ones before it."""
    from benchmarks import input_ways

    ends = {way: median(taken) for way, taken in alternate(input_ways.stages(jpegs, scratch), rounds).items()}
    added, before = {}, 0.0
    for stage, until in ends.items():
        added[stage], before = max(0.0, until - before), max(before, until)
    binding = max(added, key=lambda stage: added[stage])
    terminal.console.print("  ".join(f"{stage} {taken / before:.0%}" for stage, taken in added.items()))
    terminal.console.print(f"binding stage: {binding}")


def _shrunk(jpegs: Jpegs, rounds: int, window: float, scratch: Path, terminal: Terminal) -> dict[str, float]:
    """The ratio of the two ways to read photographs."""
    from benchmarks import input_ways

    ways = {
        name: input_ways.ours(jpegs, scratch, window, shrink_on_load=shrink)
        for name, shrink in (("whole", False), ("shrunk", True))
    }
    seconds = {way: median(taken) for way, taken in alternate(ways, rounds).items()}
    terminal.table(
        f"{jpegs.count} photographs of 4000x3000 to 224x224, median of {rounds}",
        ["decoded", "pictures/s"],
        [[way, f"{jpegs.count / taken:,.1f}"] for way, taken in seconds.items()],
    )
    _stages(jpegs, scratch, terminal, 1)
    return {"shrunk/whole": round(seconds["whole"] / seconds["shrunk"], 3)}


if __name__ == "__main__":
    main()
