"""Measure pictures per second into shards, against the stock ExampleGen and a bare loop.

    python -m benchmarks.ingest --data DIR

DIR contains one folder of pictures per class, MNIST-family IDX files, or such folders (and tar files of them). All
implementations run in this process, in turn, from the page cache; imports do not count. The stock ExampleGen gets at
most `--stock-limit` pictures, enough for its start-up to weigh little in its rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, Terminal, judge, median, quiet, run_alternately
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.ingest_ways import Timed
    from benchmarks.pictures import Pictures

GOALS: dict[str, Goal] = {"ours/stock": (">=", 10.0), "ours/bare_checked": (">=", 1.0)}
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
@click.option(
    "--stock-limit", default=20000, show_default=True, help="Largest number of pictures for the stock ExampleGen."
)
def main(data: Path, rounds: int, limit: int | None, stock_limit: int) -> None:
    """Measure every data set in the folder."""
    with report_errors(), quiet("ingest") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks.pictures import find_data_sets
        ratios = {}
        for found in find_data_sets(data, scratch):
            with terminal.console.status(f"{found.name}: {found.count:,} pictures"):
                ratios[found.name] = _measure(found, rounds, limit, stock_limit, scratch, terminal)
        terminal.finish(judge("ingest", ratios, GOALS, {"rounds": rounds}))


def _measure(
    found: Pictures, rounds: int, limit: int | None, stock_limit: int, scratch: Path, terminal: Terminal
) -> dict[str, float]:
    """Print the table of one data set and return its ratios."""
    from benchmarks.ingest_ways import implementations
    from benchmarks.pictures import fill_page_cache, take_pictures

    pictures = take_pictures(found, limit, scratch) if limit else found
    fill_page_cache(pictures)
    results = run_alternately(implementations(pictures, take_pictures(pictures, stock_limit, scratch), scratch), rounds)
    rates = {name: median([one.rate for one in timed]) for name, timed in results.items()}
    kind = "IDX" if pictures.is_idx else "folder"
    terminal.table(
        f"{found.name} ({kind}, {pictures.count:,} pictures), median of {rounds}",
        ["implementation", "pictures", "pictures/s", "first run", "ours is"],
        [_row(name, timed, rates, pictures.is_idx) for name, timed in results.items()],
    )
    return {f"ours/{name}": round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"}


def _row(name: str, timed: list[Timed], rates: dict[str, float], is_idx: bool) -> list[str]:
    share = "" if name == "ours" else f"{rates['ours'] / rates[name]:.2f} x"
    about = "the same loop (IDX rows need no check)" if is_idx and name == "bare_checked" else ABOUT[name]
    return [about, f"{timed[0].pictures:,}", f"{rates[name]:,.0f}", f"{timed[0].rate:,.0f}", share]


if __name__ == "__main__":
    main()
