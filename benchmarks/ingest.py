"""Measure pictures per second into shards, against the stock ExampleGen and a bare loop.

    python -m benchmarks.ingest --data DIR

DIR contains one folder of pictures per class, MNIST-family IDX files, or such folders (and tar files of them). All
implementations run in this process, in turn, from the page cache, on the same pictures. Each runs on a few of them
before, which does not count, so that no measurement includes imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, Terminal, judge, ours_to_peers, quiet, rate_table
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.pictures import Pictures

GOALS: dict[str, Goal] = {"ours/stock": (">=", 10.0), "ours/bare_checked": (">=", 1.0)}
WARM_UP = 200  # pictures
ABOUT = {
    "ours": "components.prepare.example_gen, the whole component",
    "stock": "stock ExampleGen, one example per Beam element",
    "bare_checked": "bare loop that decodes each file",
    "bare_unchecked": "bare loop without checks",
}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each implementation; the medians count.")
@click.option("--limit", type=int, help="Largest number of pictures of each data set.")
def main(data: Path, rounds: int, limit: int | None) -> None:
    """Measure every data set in the folder."""
    with report_errors(), quiet("ingest") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks.pictures import find_data_sets
        ratios = {}
        for found in find_data_sets(data, scratch):
            with terminal.console.status(f"{found.name}: {found.count:,} pictures"):
                ratios[found.name] = _measure(found, rounds, limit, scratch, terminal)
        terminal.finish(judge("ingest", ratios, GOALS, {"rounds": rounds}))


def _measure(found: Pictures, rounds: int, limit: int | None, scratch: Path, terminal: Terminal) -> dict[str, float]:
    """Print the table of one data set and return its ratios."""
    from benchmarks.ingest_ways import run_in_turn
    from benchmarks.pictures import fill_page_cache, take_pictures

    pictures = take_pictures(found, limit, scratch) if limit else found
    fill_page_cache(pictures)
    run_in_turn(take_pictures(pictures, WARM_UP, scratch), scratch, 1)
    spans = run_in_turn(pictures, scratch, rounds)
    about = ABOUT | ({"bare_checked": "the same loop (IDX rows need no check)"} if pictures.is_idx else {})
    kind = "IDX" if pictures.is_idx else "folder"
    rate_table(terminal, f"{found.name} ({kind}, {pictures.count:,} pictures), median of {rounds}", spans, about)
    return ours_to_peers(spans)


if __name__ == "__main__":
    main()
