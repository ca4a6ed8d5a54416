"""Pictures per second into shards, against the stock ExampleGen and a bare loop.

    python -m benchmarks.ingest --data DIR

DIR is a folder of pictures per class, a folder of MNIST-family IDX files, or one that holds such folders (and tar
files of them). All ways run in this process, in turn, from the page cache; imports are not counted. The stock way
gets at most `--stock-limit` pictures: enough for its start-up to weigh little in its rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Terminal, Verdict, alternate, median, quiet
from pipeline.cli import reported

if TYPE_CHECKING:
    from benchmarks.ingest_ways import Timed
    from benchmarks.pictures import Pictures

GOALS = {"ours/stock": 10.0, "ours/bare_checked": 1.0}
ABOUT = {
    "ours": "components.prepare.example_gen, whole",
    "stock": "stock ExampleGen, one example per Beam element",
    "bare_checked": "bare loop, decodes each file",
    "bare_unchecked": "bare loop, no checks",
}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of the data.")
@click.option("--rounds", default=3, show_default=True, help="How often each way runs; medians count.")
@click.option("--limit", type=int, help="Take at most so many pictures of each set.")
@click.option("--stock-limit", default=20000, show_default=True, help="At most so many for the stock way.")
def main(data: Path, rounds: int, limit: int | None, stock_limit: int) -> None:
    """Measures every set of pictures in the folder."""
    with reported(), quiet("ingest") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks.pictures import discover
        ratios = {}
        for found in discover(data, scratch):
            with terminal.console.status(f"{found.name}: {found.count:,} pictures"):
                ratios[found.name] = _measure(found, rounds, limit, stock_limit, scratch, terminal)
        met = all(one[name] >= goal for one in ratios.values() for name, goal in GOALS.items())
        goals = {name: f">= {goal:g}" for name, goal in GOALS.items()}
        terminal.finish(Verdict("ingest", ratios, goals, met, {"rounds": rounds}))


def _measure(
    found: Pictures, rounds: int, limit: int | None, stock_limit: int, scratch: Path, terminal: Terminal
) -> dict[str, float]:
    """The ratios of one set; prints its table."""
    from benchmarks.ingest_ways import ways
    from benchmarks.pictures import limited, warm

    pictures = limited(found, limit, scratch) if limit else found
    warm(pictures)
    results = alternate(ways(pictures, limited(pictures, stock_limit, scratch), scratch), rounds)
    rates = {name: median([one.rate for one in timed]) for name, timed in results.items()}
    kind = "IDX" if pictures.is_idx else "folder"
    terminal.table(
        f"{found.name} ({kind}, {pictures.count:,} pictures), median of {rounds}",
        ["way", "pictures", "pictures/s", "first run", "ours is"],
        [_row(name, timed, rates, pictures.is_idx) for name, timed in results.items()],
    )
    return {f"ours/{name}": round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"}


def _row(name: str, timed: list[Timed], rates: dict[str, float], is_idx: bool) -> list[str]:
    share = "" if name == "ours" else f"{rates['ours'] / rates[name]:.2f} x"
    about = "the same: rows are encoded here, no file to check" if is_idx and name == "bare_checked" else ABOUT[name]
    return [about, f"{timed[0].pictures:,}", f"{rates[name]:,.0f}", f"{timed[0].rate:,.0f}", share]


if __name__ == "__main__":
    main()
