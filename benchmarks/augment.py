"""Measure pictures per second through decoding, augmentation and batching, against four other implementations.

    python -m benchmarks.augment --data DIR

DIR contains one folder of pictures per class, or a folder `horse-or-human` that does. All implementations read the
same JPEG copies of the pictures (quality 95, resized to `--size`; decoding the PNGs would cost more than all the
rest). They run in this process, in turn, from the page cache. A first round, which is not counted, compiles graphs.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.report import Goal, judge, median, quiet, run_alternately
from pipeline.cli import report_errors

GOALS: dict[str, Goal] = {
    "ours/generator": (">=", 18.0),
    "ours/keras_layers": (">=", 8.0),
    "ours/projective": (">=", 3.0),
    "ours/opencv": (">=", 0.6),
}
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
@click.option("--rounds", default=2, show_default=True, help="Runs of each implementation; the medians count.")
@click.option("--limit", default=2000, show_default=True, help="Approximate number of pictures.")
@click.option("--size", default=300, show_default=True, help="Height and width in pixels.")
@click.option("--batch-size", default=32, show_default=True, help="Pictures per batch.")
def main(data: Path, rounds: int, limit: int, size: int, batch_size: int) -> None:
    """Measure all implementations on one set of pictures."""
    with report_errors(), quiet("augment") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow"):
            from benchmarks.augment_ways import implementations, write_jpegs
        pictures = write_jpegs(data, limit, size, scratch)
        candidates = implementations(pictures, size, batch_size)
        with terminal.console.status(f"{pictures.count} pictures"):
            run_alternately(candidates, 1)
            results = run_alternately(candidates, rounds)
        rates = {name: median([one.rate for one in timed]) for name, timed in results.items()}
        processor = {name: median([one.processor for one in timed]) for name, timed in results.items()}
        terminal.table(
            f"{pictures.name} ({pictures.count} JPEGs of {size}x{size}, batches of {batch_size}), median of {rounds}",
            ["implementation", "pictures/s", "CPU ms/picture", "ours is"],
            [
                [ABOUT[name], f"{rate:,.0f}", f"{processor[name] * 1e3:.2f}", f"{rates['ours'] / rate:.2f} x"]
                for name, rate in rates.items()
            ],
        )
        ratios = {f"ours/{name}": round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"}

        facts = {
            "rounds": rounds,
            "pictures": pictures.count,
            "pictures_per_second": {name: round(rate, 1) for name, rate in rates.items()},
            # CPU time depends less on other work on the machine than the rates do.
            "cpu_seconds_ratio_opencv": round(processor["opencv"] / processor["ours"], 3),
            "moonshot_0.9_of_opencv": ratios["ours/opencv"] >= 0.9,
        }
        terminal.finish(judge("augment", ratios, GOALS, facts))


if __name__ == "__main__":
    main()
