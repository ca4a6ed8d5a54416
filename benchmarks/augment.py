"""Measure pictures per second through decoding, augmentation and batching, against four other implementations.

    python -m benchmarks.augment --data DIR

DIR contains one folder of pictures per class, or a folder `horse-or-human` that does. All implementations read the
same JPEG copies of the pictures (quality 95, resized to `--size`; decoding the PNGs would cost more than all the
rest), and all give batches of float32, as Keras' do. They run in this process, in turn, from the page cache, without
end; each is timed for as long, after the same warm-up.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.report import Goal, judge, median, ours_to_peers, quiet, rate_table
from benchmarks.timing import cost_ratio, time_sides
from pipeline.cli import report_errors

GOALS: dict[str, Goal] = {
    "ours/generator": (">=", 18.0),
    "ours/keras_layers": (">=", 8.0),
    "ours/projective": (">=", 3.0),
    "ours/opencv": (">=", 0.6),
}
WARM_UP = 2.0  # seconds
ABOUT = {
    "ours": "data.augmentation.ops",
    "generator": "ImageDataGenerator",
    "keras_layers": "chain of Keras layers",
    "projective": "ImageProjectiveTransformV3",
    "opencv": "OpenCV in threads",
    "decode": "decoding only",
}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder with the data.")
@click.option("--rounds", default=3, show_default=True, help="Spans of each implementation; the medians count.")
@click.option("--limit", default=2000, show_default=True, help="Approximate number of pictures.")
@click.option("--size", default=300, show_default=True, help="Height and width in pixels.")
@click.option("--batch-size", default=32, show_default=True, help="Pictures per batch.")
@click.option("--window", default=4.0, show_default=True, help="Seconds of each span.")
def main(data: Path, rounds: int, limit: int, size: int, batch_size: int, window: float) -> None:
    """Measure all implementations on one set of pictures."""
    with report_errors(), quiet("augment") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow"):
            from benchmarks.augment_ways import implementations, write_jpegs
        pictures = write_jpegs(data, limit, size, scratch)
        with terminal.console.status(f"{pictures.count} pictures"):
            sides = implementations(pictures, size, batch_size)
            spans = time_sides(sides, rounds, warm_up=min(WARM_UP, window), window=window)
        title = (
            f"{pictures.name} ({pictures.count} JPEGs of {size}x{size}, batches of {batch_size}), median of {rounds}"
        )
        rate_table(terminal, title, spans, ABOUT)
        ratios = ours_to_peers(spans)
        facts = {
            "rounds": rounds,
            "pictures": pictures.count,
            "pictures_per_second": {
                name: round(median([one.rate for one in timed]), 1) for name, timed in spans.items()
            },
            "by_cpu_time": ours_to_peers(spans, cost_ratio),
            "moonshot_0.9_of_opencv": ratios["ours/opencv"] >= 0.9,
        }
        terminal.finish(judge("augment", ratios, GOALS, facts))


if __name__ == "__main__":
    main()
