"""Measure `skewless run digits` against a bare Keras script and a stock TFX pipeline, a second run, and the commands.

    python -m benchmarks.run [--data DIR]

Each run is a new process with an empty root, timed from its start to its end, imports included; the sides take turns to
start. The bare script (`benchmarks.bare_keras`) and the stock pipeline (`benchmarks.stock`) train the same model for as
many epochs on the same pictures; the script has the same evaluation and export, the pipeline the same metrics, slices
and limits. `cached` is a second run in the same root, which finds all results of the first. The commands are timed as
processes, too; `predict` asks a server that runs. DIR contains other pictures, one folder per class; accuracy then has
no limit.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, median, quiet
from benchmarks.run_commands import time_commands
from benchmarks.timing import Span, cost_ratio, once, rate_ratio, run_alternately, time_side
from data.errors import SkewlessError
from pipeline.cli import report_errors
from pipeline.paths import Paths

GOALS: dict[str, Goal] = {
    "ours/bare": ("<=", 2.5),
    "ours/stock": ("<=", 0.5),
    "cached, seconds": ("<=", 8.0),
    "predict, seconds": ("<=", 0.3),
    "runs, seconds": ("<=", 0.3),
    "tasks, seconds": ("<=", 0.3),
}
MIN_ACCURACY = 0.95
NAME = "digits"


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    Attributes:
      span: Of its process.
      accuracy: On the held-out pictures.
      pushed: Number of versions in the served folder.
      components: Seconds by component.
    """

    span: Span
    accuracy: float
    pushed: int
    components: Mapping[str, float]


Results = Mapping[str, Sequence[Finished]]


@click.command(help=__doc__)
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Pictures to use instead of the digits.")
@click.option("--rounds", default=2, show_default=True, help="Runs of each side; the medians count.")
def main(data: Path | None, rounds: int) -> None:
    """Measure all sides."""
    with report_errors(), quiet("run") as (terminal, scratch):
        folder, min_accuracy = (scratch / "digits", MIN_ACCURACY) if data is None else (data.resolve(), 0.0)
        if data is None:
            _call("benchmarks.run_sides", "fetch", str(folder))
        sides = _Sides(folder, scratch, min_accuracy)
        ways = {"ours": sides.ours, "stock": sides.stock, "bare": sides.bare}
        with terminal.console.status(f"{rounds} runs of each side"):
            results = run_alternately(ways, rounds)
        with terminal.console.status("the commands"):
            commands = time_commands(sides.root, NAME, folder, max(3, rounds))
        terminal.finish(_report({**results, "cached": sides.cached}, commands, terminal))


class _Sides:
    """Runs each side in a new folder.

    Attributes:
      root: Of our last run.
      cached: The second run in each root of ours.
    """

    def __init__(self, data: Path, scratch: Path, min_accuracy: float) -> None:
        self._data, self._scratch, self._min_accuracy = data, scratch, min_accuracy
        self.root = Path()
        self.cached: list[Finished] = []

    def ours(self) -> Finished:
        """Run `skewless run digits`, and the same again."""
        self.root = self._folder()
        first = self._skewless()
        self.cached.append(self._skewless(is_cached=True))
        return first

    def stock(self) -> Finished:
        """Run TFX's own components as its templates wire them."""
        span, printed = _timed(
            "benchmarks.run_sides", "stock", str(self._data), str(self._folder()), str(self._min_accuracy)
        )
        return Finished(span, printed["accuracy"], printed["pushed"], printed["components"])

    def bare(self) -> Finished:
        """Run the Keras script."""
        folder = self._folder() / "model"
        span, printed = _timed("benchmarks.bare_keras", str(self._data), str(folder))
        return Finished(span, printed["accuracy"], len(list(folder.glob("saved_model.pb"))), {})

    def _skewless(self, is_cached: bool = False) -> Finished:
        from pipeline.report.record import read_record

        settings = ["--data", str(self._data), "--set", f"evaluate.min_accuracy={self._min_accuracy}"]
        span = time_side(once(lambda: _call("pipeline.cli", "run", NAME, "--root", str(self.root), *settings)))
        paths = Paths(str(self.root), NAME)
        record = read_record(paths.latest)
        if is_cached and record.status != "unchanged":
            again = ", ".join(one.name for one in record.components if one.state != "cached")
            hint = "Leave Skewless' files and the pictures as they are while this benchmark runs."
            raise SkewlessError(f"the second run in the same root executed {again} again", hint=hint)
        assert record.evaluation is not None, "a run that succeeded has evaluated"
        accuracy = record.evaluation.overall[record.evaluation.metric]
        components = {one.name: one.seconds for one in record.components}
        return Finished(span, accuracy, len(list(Path(paths.serving).iterdir())), components)

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))


def _timed(module: str, *arguments: str) -> tuple[Span, dict[str, Any]]:
    """Return the span of a process, and the JSON of the last line that it prints."""
    printed: list[str] = []
    span = time_side(once(lambda: printed.append(_call(module, *arguments))))
    return span, json.loads(printed[0].splitlines()[-1])


def _call(module: str, *arguments: str) -> str:
    """Run `python -m` and return what it prints.

    Raises:
      SkewlessError: If it fails.
    """
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        kept = Path(tempfile.mkdtemp(prefix="skewless-benchmark-"))
        for log in Path(arguments[-2]).glob("*.log"):
            shutil.copy(log, kept)
        (kept / "output.txt").write_text(done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SkewlessError(f"python -m {module} {arguments[0]} failed: {lines[-1]}", hint=f"Output: {kept}")
    return done.stdout


def _report(results: Results, commands: Mapping[str, Sequence[Span]], terminal: Terminal) -> Verdict:
    """Print the tables of medians and compare the ratios with the goals."""
    seconds = {side: median([run.span.seconds for run in runs]) for side, runs in results.items()}
    used = {side: median([run.span.processor for run in runs]) for side, runs in results.items()}
    rows = [
        [side, f"{taken:.1f}", f"{used[side]:.1f}", f"{seconds['ours'] / taken:.2f}"] for side, taken in seconds.items()
    ]
    terminal.table(
        f"whole processes, median of {len(results['ours'])}", ["run", "s", "CPU s", "ours takes, times"], rows
    )
    _print_components(results, terminal)
    starts = {name: median([one.seconds for one in spans]) for name, spans in commands.items()}
    rows = [
        [name, f"{taken:.2f}", f"{median([one.processor for one in commands[name]]):.2f}"]
        for name, taken in starts.items()
    ]
    terminal.table("commands", ["command", "s", "CPU s"], rows)

    spans = {side: [run.span for run in runs] for side, runs in results.items()}
    peers = {f"ours/{side}": (spans[side], spans["ours"]) for side in ("bare", "stock")}
    ratios = {name: round(rate_ratio(*pair), 3) for name, pair in peers.items()}
    ratios["cached, seconds"] = round(seconds["cached"], 2)
    ratios |= {f"{name}, seconds": round(taken, 3) for name, taken in starts.items()}
    facts = {
        "rounds": len(results["ours"]),
        "by_cpu_time": {name: round(cost_ratio(*pair), 3) for name, pair in peers.items()},
        "accuracy": {side: [round(run.accuracy, 4) for run in runs] for side, runs in results.items()},
        "pushed": {side: [run.pushed for run in runs] for side, runs in results.items()},
    }
    return judge("run", ratios, GOALS, facts)


def _print_components(results: Results, terminal: Terminal) -> None:
    """Print the seconds of each component, and of what is not in any: imports, and what is between them."""
    found = {}
    for side in ("ours", "stock", "cached"):
        runs = results[side]
        found[side] = {
            name: median([run.components.get(name, 0.0) for run in runs]) for name in results["ours"][0].components
        }
        found[side]["imports, and between them"] = median(
            [run.span.seconds - sum(run.components.values()) for run in runs]
        )
    rows = [[name, *(f"{of_side.get(name, 0.0):.1f}" for of_side in found.values())] for name in found["ours"]]
    terminal.table("seconds of the components", ["component", *found], rows)


if __name__ == "__main__":
    main()
