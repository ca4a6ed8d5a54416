"""Measure epochs of a dense network on Fashion-MNIST from TFRecords, against `fit` on arrays in memory.

    python -m benchmarks.streaming --data DIR

DIR contains MNIST-family IDX files, or a folder with them. The pipeline's own components ingest them and build the
TransformGraph; this does not count. Then the same model is fitted to the same pictures, in turn: from arrays in memory;
through the reader; and through the reader without a cache, so that every epoch reads and decodes again. The first epoch
of each begins before its files are opened (uncompressed arrays; shards and the TransformGraph) and includes the tracing
of the training step. Each input is used once before, which does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.report import Goal, Terminal, judge, median, quiet
from benchmarks.timing import Span, cost_ratio, rate_ratio, run_alternately
from data.errors import DataError
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.streaming_ways import Epochs, Ways

BATCHES = (32, 128, 512)
GOALS: dict[str, Goal] = {"first": ("<=", 1.15), "later": ("<=", 1.0), "capped": ("<=", 1.25)}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each input; the medians count.")
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
        with terminal.console.status("warming up"):
            for way in _inputs(ways, BATCHES[-1], 1).values():
                way()
        ratios, costs = {}, {}
        for batch_size in BATCHES:
            with terminal.console.status(f"batches of {batch_size}"):
                results = run_alternately(_inputs(ways, batch_size, max(2, epochs)), rounds)
                _print(results, batch_size, terminal)
                ratios[str(batch_size)] = _ratios(results, rate_ratio)
                costs[str(batch_size)] = _ratios(results, cost_ratio)
        facts = {"pictures": ways.count, "rounds": rounds, "by_cpu_time": costs}
        terminal.finish(judge("streaming", ratios, GOALS, facts))


def _inputs(ways: Ways, batch_size: int, epochs: int) -> dict[str, Callable[[], Epochs]]:
    """Return the inputs by name: the peer first, then ours, then ours without a cache."""
    return {
        "arrays in memory": lambda: ways.arrays(batch_size, epochs),
        "reader": lambda: ways.reader(batch_size, epochs, ways.everything),
        "reader, nothing cached": lambda: ways.reader(batch_size, epochs, 0),
    }


def _print(results: Mapping[str, Sequence[Epochs]], batch_size: int, terminal: Terminal) -> None:
    """Print the table of one batch size."""
    rows = []
    for name, runs in results.items():
        first, later = median([run.spans[0].seconds for run in runs]), median([one.seconds for one in _later(runs)])
        rate = median([one.rate for one in _later(runs)])
        waited = " ".join(f"{run.waiting_share:.1%}" for run in runs if run.waiting_share is not None)
        rows.append([name, f"{first:.2f}", f"{later:.2f}", f"{rate:,.0f}", waited])
    title = f"batches of {batch_size}, median of {len(runs)} rounds"
    terminal.table(title, ["input", "first epoch s", "later s", "later pictures/s", "waited for input"], rows)


def _ratios(
    results: Mapping[str, Sequence[Epochs]], measure: Callable[[Sequence[Span], Sequence[Span]], float]
) -> dict[str, float]:
    """Return the times of our epochs divided by those of the arrays: medians of the rounds."""
    peer, ours, capped = results.values()

    def first(runs: Sequence[Epochs]) -> list[Span]:
        return [run.spans[0] for run in runs]

    return {
        "first": round(measure(first(peer), first(ours)), 3),
        "later": round(measure(_later(peer), _later(ours)), 3),
        "capped": round(measure(_later(peer), _later(capped)), 3),
        "capped_first": round(measure(first(peer), first(capped)), 3),
    }


def _later(runs: Sequence[Epochs]) -> list[Span]:
    return [span for run in runs for span in run.spans[1:]]


if __name__ == "__main__":
    main()
