"""Measure epochs of a dense network on Fashion-MNIST from TFRecords, against `fit` on arrays in memory.

    python -m benchmarks.streaming --data DIR

DIR contains MNIST-family IDX files, or a folder with them. The pipeline's own components ingest them and build the
TransformGraph; this does not count. Then the same model is fitted to the same pictures, in turn: from arrays in memory;
through the reader; and through the reader without a cache, so that every epoch reads and decodes again. The first epoch
of each includes the tracing of the training step; that of the reader includes all loading.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, Terminal, judge, median, quiet, run_alternately
from data.errors import DataError
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.streaming_ways import Ways

BATCHES = (32, 128, 512)
GOALS: dict[str, Goal] = {"first": ("<=", 1.25), "later": ("<=", 1.0), "capped": ("<=", 1.25)}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=2, show_default=True, help="Runs of each input; the medians count.")
@click.option("--epochs", default=3, show_default=True, help="Epochs per run, at least 2.")
@click.option("--limit", type=int, help="Approximate largest number of pictures.")
def main(data: Path, rounds: int, epochs: int, limit: int | None) -> None:
    """Measure each batch size."""
    with report_errors(), quiet("streaming") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks.pictures import find_data_sets, take_pictures
            from benchmarks.streaming_ways import Ways
        found = next((one for one in find_data_sets(data, scratch) if one.is_idx), None)
        if found is None:
            raise DataError(f"no IDX files in {data} or directly below it")
        with terminal.console.status("ingesting and building the TransformGraph"):
            ways = Ways(take_pictures(found, limit, scratch) if limit else found, scratch)
        ratios = {}
        for batch_size in BATCHES:
            with terminal.console.status(f"batches of {batch_size}"):
                ratios[str(batch_size)] = _measure(ways, batch_size, rounds, max(2, epochs), terminal)
        terminal.finish(judge("streaming", ratios, GOALS, {"pictures": ways.count, "rounds": rounds}))


def _measure(ways: Ways, batch_size: int, rounds: int, epochs: int, terminal: Terminal) -> dict[str, float]:
    """Print the table of one batch size and return its ratios."""
    results = run_alternately(
        {
            "arrays in memory": lambda: ways.arrays(batch_size, epochs),
            "reader": lambda: ways.reader(batch_size, epochs, ways.everything),
            "reader, nothing cached": lambda: ways.reader(batch_size, epochs, 0),
        },
        rounds,
    )
    first = {name: median([run.seconds[0] for run in runs]) for name, runs in results.items()}
    later = {name: median([second for run in runs for second in run.seconds[1:]]) for name, runs in results.items()}
    terminal.table(
        f"{ways.count:,} pictures in batches of {batch_size}, median of {rounds} rounds",
        ["input", "first epoch s", "later s", "later pictures/s", "waited for input"],
        [
            [
                name,
                f"{first[name]:.2f}",
                f"{later[name]:.2f}",
                f"{ways.count / later[name]:,.0f}",
                " ".join(f"{run.waiting_share:.1%}" for run in runs if run.waiting_share is not None),
            ]
            for name, runs in results.items()
        ],
    )
    peer, ours, capped = results
    return {
        "first": round(first[ours] / first[peer], 3),
        "later": round(later[ours] / later[peer], 3),
        "capped": round(later[capped] / later[peer], 3),
        "capped_first": round(first[capped] / first[peer], 3),
    }


if __name__ == "__main__":
    main()
