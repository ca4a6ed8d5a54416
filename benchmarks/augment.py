"""Pictures per second through decoding, the notebook's augmentation and batching, against four other ways.

    python -m benchmarks.augment --data DIR

DIR is a folder of pictures per class, or one that holds `horse-or-human`. Every way reads the same JPEG copies of the
pictures (quality 95, resized to `--size`; decoding the PNGs would cost more than all the rest), in this process, in
turn, from the page cache. What is compiled once is compiled in a round before, which is not counted.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.report import Verdict, alternate, median, quiet
from pipeline.cli import reported

GOALS = {"ours/generator": 18.0, "ours/keras_layers": 8.0, "ours/projective": 3.0, "ours/opencv": 0.6}
ABOUT = {
    "ours": "data.augmentation.ops",
    "generator": "ImageDataGenerator",
    "keras_layers": "chain of Keras layers",
    "projective": "ImageProjectiveTransformV3",
    "opencv": "OpenCV in threads",
    "decode": "decoding alone",
}


@click.command(help=__doc__)
@click.option("--data", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of the data.")
@click.option("--rounds", default=2, show_default=True, help="How often each way runs; medians count.")
@click.option("--limit", default=2000, show_default=True, help="Take about so many pictures.")
@click.option("--size", default=300, show_default=True, help="Height and width, pixels.")
@click.option("--batch-size", default=32, show_default=True, help="Pictures a batch.")
def main(data: Path, rounds: int, limit: int, size: int, batch_size: int) -> None:
    """Measures all ways on one set of pictures."""
    with reported(), quiet("augment") as (terminal, scratch):
        with terminal.console.status("loading TensorFlow"):
            from benchmarks.augment_ways import copies, ways
        pictures = copies(data, limit, size, scratch)
        all_ways = ways(pictures, size, batch_size)
        with terminal.console.status(f"{pictures.count} pictures"):
            alternate(all_ways, 1)
            results = alternate(all_ways, rounds)
        rates = {name: median([one.rate for one in timed]) for name, timed in results.items()}
        processor = {name: median([one.processor for one in timed]) for name, timed in results.items()}
        terminal.table(
            f"{pictures.name} ({pictures.count} JPEGs of {size}x{size}, batches of {batch_size}), median of {rounds}",
            ["way", "pictures/s", "CPU ms a picture", "ours is"],
            [
                [ABOUT[name], f"{rate:,.0f}", f"{processor[name] * 1e3:.2f}", f"{rates['ours'] / rate:.2f} x"]
                for name, rate in rates.items()
            ],
        )
        ratios = {f"ours/{name}": round(rates["ours"] / rate, 3) for name, rate in rates.items() if name != "ours"}
        met = all(ratios[name] >= goal for name, goal in GOALS.items())
        facts = {
            "rounds": rounds,
            "pictures": pictures.count,
            "pictures_per_second": {name: round(rate, 1) for name, rate in rates.items()},
            # Other work on the machine disturbs it less than the rates.
            "cpu_seconds_ratio_opencv": round(processor["opencv"] / processor["ours"], 3),
            "moonshot_0.9_of_opencv": ratios["ours/opencv"] >= 0.9,
        }
        terminal.finish(Verdict("augment", ratios, {name: f">= {goal:g}" for name, goal in GOALS.items()}, met, facts))


if __name__ == "__main__":
    main()
