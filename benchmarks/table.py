"""Planning a table of pictures: seconds and memory for a thousand and for a million rows, as CSV and as Parquet.

    python -m benchmarks.table

Each plan runs in a new process; the memory is its peak above that of the process before it. The peer is
`pandas.read_csv` or `read_parquet` of the same file, with which Keras' `flow_from_dataframe` begins.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.timing import once, time_side
from data.sources import ImageTable
from data.spec import Image


def _plan(folder: str) -> None:
    ImageTable(split="part").plan(folder, Image(8, 8))


def _read_with_pandas(folder: str) -> None:
    (path,) = Path(folder).iterdir()
    pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def _peak() -> float:
    """Return the peak memory in megabytes; `getrusage` would begin with that of the parent process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _measure(work: Callable[[str], None], folder: str) -> tuple[float, float]:
    """Return seconds and megabytes."""
    before = _peak()
    return time_side(once(lambda: work(folder))).seconds, _peak() - before


def _write(folder: Path, form: str, rows: int) -> None:
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"path": [f"images/{row:07d}.jpg" for row in range(rows)]})
    frame["label"] = [f"class {row % 9}" for row in range(rows)]
    frame["part"] = ["val" if row % 10 == 0 else "train" for row in range(rows)]
    frame.to_csv(folder / "t.csv", index=False) if form == "csv" else frame.to_parquet(folder / "t.parquet")


def main() -> None:
    """Print a line for each form, number of rows and way."""
    with tempfile.TemporaryDirectory() as made:
        for form in ("csv", "parquet"):
            for rows in (1000, 1_000_000):
                folder = Path(made, form, str(rows))
                _write(folder, form, rows)
                for name, work in (("ImageTable.plan", _plan), ("pandas", _read_with_pandas)):
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        seconds, megabytes = pool.apply(_measure, (work, str(folder)))
                    print(f"{form:<8}{rows:>10,} rows  {name:<16}{seconds:8.2f} s {megabytes:8.1f} MB", flush=True)


if __name__ == "__main__":
    main()
