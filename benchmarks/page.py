"""Measure what the page of a run costs: the time to make it, and its size.

    python -m benchmarks.page --data DIR [--task NAME ...]

Each task runs once, quickly, with an empty root: `digits`, and `fashion_mnist` with its 10,000 held-out pictures, whose
files are in DIR. Then its review and its page are made again, each time in a new process as in the run, after the
imports. The ratios are shares of the limits: 2 s for digits, 10 s for 10,000 pictures, and 5 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, median, quiet
from data.errors import SkewlessError, UsageError
from pipeline.cli import report_errors

MEGABYTES = 5.0
GOALS: dict[str, Goal] = {"seconds": ("<=", 1.0), "size": ("<=", 1.0)}


@dataclass(frozen=True)
class PagedTask:
    """A task to measure.

    Attributes:
      limit: Seconds that its page may take.
      settings: Of its run, which is as short as possible.
      has_data: Whether it needs `--data`.
    """

    limit: float
    settings: Mapping[str, str]
    has_data: bool


TASKS = {
    "digits": PagedTask(2.0, {}, False),
    "fashion_mnist": PagedTask(10.0, {"train.epochs": "1", "evaluate.min_accuracy": "0"}, True),
}


@click.command(help=__doc__)
@click.option(
    "--data", metavar="DIR", type=click.Path(path_type=Path, exists=True), help="Folder with fashion_mnist's files."
)
@click.option("--task", "names", multiple=True, type=click.Choice(list(TASKS)), help="Measure only this task.")
@click.option("--rounds", default=3, show_default=True, help="Pages of each run; the medians count.")
def main(data: Path | None, names: tuple[str, ...], rounds: int) -> None:
    """Measure the tasks one after the other."""
    chosen = names or tuple(TASKS)
    with report_errors():
        if data is None and any(TASKS[name].has_data for name in chosen):
            raise UsageError("no data for fashion_mnist", hint="Give its folder with --data, or add --task digits.")
        with quiet("page") as (terminal, scratch):
            measured = {name: _measure(name, data, rounds, scratch, terminal) for name in chosen}
            terminal.finish(_report(measured, rounds, terminal))


def _measure(name: str, data: Path | None, rounds: int, scratch: Path, terminal: Terminal) -> list[dict[str, float]]:
    """Run a task, and return what `benchmarks.page_once` prints for each round."""
    root, task = scratch / name, TASKS[name]
    settings = [part for key, value in task.settings.items() for part in ("--set", f"{key}={value}")]
    folder = ["--data", str(data.resolve())] if data and task.has_data else []
    with terminal.console.status(f"{name}: a run"):
        _call("pipeline.cli", "run", name, "--root", str(root), *folder, *settings)
    with terminal.console.status(f"{name}: {rounds} pages"):
        printed = [_call("benchmarks.page_once", str(root), name, *settings[1::2]) for _ in range(rounds)]
    return [json.loads(one.splitlines()[-1]) for one in printed]


def _call(module: str, *arguments: str) -> str:
    """Return what `python -m` prints.

    Raises:
      SkewlessError: If it fails.
    """
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        reason = next((line for line in lines if line.startswith("error:")), lines[-1])
        raise SkewlessError(f"python -m {module} {' '.join(arguments[:2])} failed: {reason}")
    return done.stdout


def _report(measured: Mapping[str, list[dict[str, float]]], rounds: int, terminal: Terminal) -> Verdict:
    """Print the table of medians and compare them with the limits."""
    rows, ratios = [], {}
    for name, found in measured.items():
        middle = {key: median([one[key] for one in found]) for key in found[0]}
        seconds, limit = middle["review"] + middle["page"], TASKS[name].limit
        ratios[name] = {
            "seconds": round(seconds / limit, 3),
            "size": round(middle["bytes"] / 1e6 / MEGABYTES, 3),
        }
        times = (f"{middle['review']:.2f} s", f"{middle['page']:.2f} s", f"{limit:g} s")
        rows.append((name, f"{middle['held_out']:,.0f}", *times, f"{middle['bytes'] / 1e6:.2f} MB"))
    columns = ("task", "held-out pictures", "review", "page", "limit of both", "size")
    terminal.table(f"median of {rounds}; the size has the limit {MEGABYTES:g} MB", columns, rows)
    return judge("page", ratios, GOALS, {"rounds": rounds})


if __name__ == "__main__":
    main()
