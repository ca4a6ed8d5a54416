"""Measure JPEGs from TFRecords to batches, against bare decoding and what a user would write instead.

    python -m benchmarks.input --data DIR

DIR contains one folder of pictures per class, or such folders and tar files of them. JPEGs are used unchanged; other
formats are encoded as JPEG at quality 90 first. Pictures of many sizes are resized to 224x224, with and without a
low-pass filter. Every side gives float32 and is timed for as long, after the same warm-up, in turn with the others:

* ours: shards, shuffled, without a cache
* bare: files in memory, only decoded, resized and batched
* tf_data: our shards, read as TensorFlow's guide does
* Keras' two readers of folders
* torch: PyTorch's DataLoader with Pillow, which always filters; left out if PyTorch is not installed

At the end, photographs of 12 megapixels are made, and read at 224x224 with and without `Image.shrink_on_load`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.report import Goal, Terminal, judge, median, ours_to_peers, quiet, rate_table
from benchmarks.timing import cost_ratio, rate_ratio, time_sides
from pipeline.cli import report_errors

if TYPE_CHECKING:
    from benchmarks.input_ways import Jpegs

GOALS: dict[str, Goal] = {
    "ours/bare": (">=", 0.95),
    "ours/tf_data": (">=", 1.10),
    "ours/image_dataset_from_directory": (">=", 1.05),
    "ours/torch": (">=", 1.5),
    "shrunk/whole": (">=", 3.0),
}
WARM_UP = 1.5  # seconds: the readers adjust their threads in it


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Spans of each side; the medians count.")
@click.option(
    "--limit", default=6000, show_default=True, help="Approximate largest number of pictures of each data set."
)
@click.option("--window", default=2.0, show_default=True, help="Seconds of each span.")
@click.option("--details", is_flag=True, help="Also show what each stage of our reader and each field of Image cost.")
def main(data: Path, rounds: int, limit: int, window: float, details: bool) -> None:
    """Measure every data set, then the photographs."""
    with report_errors(), quiet("input") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow and TFX"):
            from benchmarks import input_ways
            from benchmarks.pictures import find_data_sets, take_pictures
        if importlib.util.find_spec("torch") is None:
            terminal.console.print("PyTorch is not installed: its side is left out")
        clock = _Clock(rounds, window, scratch, terminal)
        found = [one for one in find_data_sets(data, scratch) if not one.is_idx]
        for one in found:
            with terminal.console.status(f"{one.name}: {min(limit, one.count):,} pictures"):
                jpegs = input_ways.convert_to_jpegs(take_pictures(one, limit, scratch), scratch)
                clock.measure(jpegs, one.name)
                if details:
                    clock.explain(jpegs, one.name)
        with terminal.console.status("photographs of 12 megapixels"):
            clock.measure_shrinking(input_ways.make_photographs(found[-1], 8, scratch))
        terminal.finish(judge("input", clock.ratios, GOALS, {"rounds": rounds, "by_cpu_time": clock.costs}))


class _Clock:
    """Measures data sets, prints their tables, and keeps their ratios by data set."""

    def __init__(self, rounds: int, window: float, scratch: Path, terminal: Terminal) -> None:
        self._rounds, self._window = rounds, window
        self._scratch, self._terminal = scratch, terminal
        self.ratios: dict[str, dict[str, float]] = {}
        self.costs: dict[str, dict[str, float]] = {}

    def measure(self, jpegs: Jpegs, name: str) -> None:
        """Measure all sides; where pictures are resized, with and without a low-pass filter."""
        from benchmarks import input_ways

        size = f"{jpegs.feature.height}x{jpegs.feature.width}"
        for antialias in (False, True) if jpegs.is_resized else (False,):
            spans = self._time(input_ways.sides(jpegs, self._scratch, antialias))
            case = f"{name} antialias" if antialias else name
            rate_table(self._terminal, f"{case}: {jpegs.count:,} JPEGs to {size}, median of {self._rounds}", spans)
            self.ratios[case], self.costs[case] = ours_to_peers(spans), ours_to_peers(spans, cost_ratio)

    def measure_shrinking(self, jpegs: Jpegs) -> None:
        """Measure our reader with and without `shrink_on_load`."""
        from benchmarks import input_ways

        fields = {"whole": False, "shrunk": True}
        sides = {
            name: input_ways.reader_side(jpegs, self._scratch, shrink_on_load=on, antialias=False)
            for name, on in fields.items()
        }
        spans = self._time(sides)
        self._terminal.table(
            f"{jpegs.count} photographs of 4000x3000 to 224x224, median of {self._rounds}",
            ["decoded", "pictures/s"],
            [[way, f"{median([one.rate for one in timed]):,.1f}"] for way, timed in spans.items()],
        )
        self.ratios["photographs"] = {"shrunk/whole": round(rate_ratio(spans["shrunk"], spans["whole"]), 3)}

    def explain(self, jpegs: Jpegs, name: str) -> None:
        """Print the share of the time that each stage adds, and what each field of `Image` costs in memory."""
        from benchmarks import input_ways

        ends = self._seconds(input_ways.reader_stages(jpegs, self._scratch))
        added, before = {}, 0.0
        for stage, until in ends.items():
            added[stage], before = max(0.0, until - before), max(before, until)
        self._terminal.console.print("  ".join(f"{stage} {taken / before:.0%}" for stage, taken in added.items()))
        fields = self._seconds(input_ways.image_options(jpegs))
        self._terminal.table(
            f"{name}: fields of Image, decoding and resizing in memory, median of {self._rounds}",
            ["field", "pictures/s", "time"],
            [[way, f"{jpegs.count / one:,.0f}", f"{one / fields['default']:.2f} x"] for way, one in fields.items()],
        )

    def _time(self, sides: Any) -> Any:
        return time_sides(sides, self._rounds, warm_up=min(WARM_UP, self._window), window=self._window)

    def _seconds(self, sides: Any) -> dict[str, float]:
        timed = time_sides(sides, self._rounds)
        return {name: median([one.seconds for one in spans]) for name, spans in timed.items()}


if __name__ == "__main__":
    main()
