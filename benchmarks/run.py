"""Measure `skewless run digits`, component by component, against TFX's own components in a stock pipeline.

    python -m benchmarks.run [--data DIR]

Each run is a separate process with an empty root; the two sides take turns to start. The stock pipeline
(`benchmarks.stock`) trains the same model for as many epochs on the same pictures, and has the same metrics, slices
and limits. DIR contains other pictures, one folder per class; accuracy then has no limit.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, median, quiet, run_alternately
from data.errors import SkewlessError
from pipeline.cli import report_errors

GOALS: dict[str, Goal] = {"total": ("<=", 0.5)}
MIN_ACCURACY = 0.95


@click.command(help=__doc__)
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Pictures to use instead of the digits.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each side; the medians count.")
def main(data: Path | None, rounds: int) -> None:
    """Measure both sides."""
    with report_errors(), quiet("run") as (terminal, scratch):
        if data is None:
            folder, min_accuracy = scratch / "digits", MIN_ACCURACY
            _run("fetch", folder, scratch, 0.0)
        else:
            folder, min_accuracy = data.resolve(), 0.0
        with terminal.console.status(f"{rounds} runs of each side"):
            results = run_alternately(
                {side: lambda side=side: _run(side, folder, scratch, min_accuracy) for side in ("ours", "stock")},  # type: ignore[misc]
                rounds,
            )
        terminal.finish(_report(results, rounds, terminal))


def _run(side: str, data: Path, scratch: Path, min_accuracy: float) -> dict[str, Any]:
    """Return what `benchmarks.run_sides` measures with an empty root.

    Raises:
      SkewlessError: If the run fails.
    """
    root = tempfile.mkdtemp(prefix=f"{side}-", dir=scratch)
    command = [sys.executable, "-m", "benchmarks.run_sides", side, str(data), root, str(min_accuracy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        kept = Path(tempfile.mkdtemp(prefix="skewless-benchmark-")) / f"{side}.log"
        shutil.copy(Path(root, f"{side}.log"), kept)
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SkewlessError(f"the run of `{side}` failed: {lines[-1]}", hint=f"Log: {kept}")
    shutil.rmtree(root)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _report(results: dict[str, list[dict[str, Any]]], rounds: int, terminal: Terminal) -> Verdict:
    """Print the table of medians and compare the totals with the goal."""
    seconds = {side: _medians(runs) for side, runs in results.items()}
    ours, stock = seconds["ours"], seconds["stock"]
    ratios = {name: round(ours[name] / stock[name], 3) for name in ours if stock.get(name, 0) >= 0.1}
    terminal.table(
        f"seconds, median of {rounds}",
        ["component", "ours", "stock", "ours/stock"],
        [[name, f"{ours[name]:.1f}", f"{stock[name]:.1f}", f"{ratios.get(name, '')}"] for name in ours],
    )
    facts = {
        "rounds": rounds,
        "accuracy": {side: [round(run["accuracy"], 4) for run in runs] for side, runs in results.items()},
        "pushed": {side: [run["pushed"] for run in runs] for side, runs in results.items()},
    }
    return judge("run", ratios, GOALS, facts)


def _medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median seconds of each component, between them, in total, and of the imports before."""
    found = {name: median([run["components"][name] for run in runs]) for name in runs[0]["components"]}
    found["between them"] = median([run["total"] - sum(run["components"].values()) for run in runs])
    found["total"] = median([run["total"] for run in runs])
    found["imports (not in the total)"] = median([run["imports"] for run in runs])
    return found


if __name__ == "__main__":
    main()
