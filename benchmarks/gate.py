"""Measure what the skew gate costs, and the client skew that it finds, on models that are really trained.

    python -m benchmarks.gate --data DIR [--task NAME ...]

DIR contains `fashion-mnist`, `horse-or-human`, `cifar10-jpg` (one folder per class) or `cifar10-jpg.tar`, and
`keras-weights`. Each task is a separate `skewless run` with an empty root. The gate's share is its seconds divided by
those of the whole run; imports before the run do not count. A run below a minute, such as that of digits, has a goal in
seconds instead: proving takes some seconds however short the training is. The cost of other clients is no part of the
proof; the review has its table; a column shows the review's seconds. horse_or_human trains for 20 of its 100 epochs,
which makes the share larger.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, quiet
from data.errors import SkewlessError, UsageError
from pipeline.cli import report_errors
from pipeline.report.record import RunRecord, read_record
from pipeline.report.skew import format_number, format_points, worst_first

GOALS: dict[str, Goal] = {"share": ("<=", 0.10), "seconds": ("<=", 5.0)}
SHORT_RUN = 60  # seconds: below, the goal is in seconds
MOBILENET = {
    "model.backbone": "MobileNetV2",
    "model.alpha": "0.35",
    "model.cut": "",
    "model.pooling": "average",
    "model.dense": "128",
    "feature.height": "96",
    "feature.width": "96",
    "train.learning_rate": "0.001",
}
TASKS: dict[str, tuple[str, dict[str, str]]] = {
    "digits": ("", {}),
    "fashion_mnist": ("fashion-mnist", {}),
    "horse_or_human": ("horse-or-human", {"train.epochs": "20"}),
    "cifar10_inception": ("cifar10-jpg", MOBILENET),
}


@click.command(help=__doc__)
@click.option(
    "--data", metavar="DIR", required=True, type=click.Path(path_type=Path, exists=True), help="Folder with the data."
)
@click.option(
    "--task", "names", multiple=True, type=click.Choice(list(TASKS)), help="Measure only this task; repeatable."
)
def main(data: Path, names: tuple[str, ...]) -> None:
    """Run the tasks one after the other."""
    with report_errors(), quiet("gate") as (terminal, scratch):
        records = {}
        for name in names or TASKS:
            with terminal.console.status(name):
                records[name] = _run(name, data.resolve(), scratch)
        terminal.finish(_report(records, terminal))


def _run(name: str, data: Path, scratch: Path) -> RunRecord:
    """Run a task and return its record.

    Raises:
      SkewlessError: If the run fails or does not push.
    """
    below, settings = TASKS[name]
    command = [sys.executable, "-m", "pipeline.cli", "run", name, "--root", str(scratch / name)]
    command += ["--data", str(_folder(data / below, scratch))] if below else []
    settings = {**settings, "evaluate.min_accuracy": "0"}
    if name == "cifar10_inception":
        (weights,) = (data / "keras-weights").glob("mobilenet_v2_0.35*")
        settings["model.weights"] = str(weights)
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkewlessError(f"{name} exited with status {done.returncode}: {done.stderr.strip().splitlines()[-2:]}")
    return read_record(str(scratch / name / name / "run.json"))


def _folder(path: Path, scratch: Path) -> Path:
    """Return the folder, or unpack its archive and return that folder."""
    archive = path.with_suffix(".tar")
    if not path.is_dir() and archive.exists():
        with tarfile.open(archive) as file:
            file.extractall(scratch / "unpacked", filter="data")
        return scratch / "unpacked" / path.name
    if not path.is_dir():
        raise UsageError(f"no folder {path}", hint="`python -m benchmarks.gate --help` lists what --data must contain.")
    return path


def _report(records: Mapping[str, RunRecord], terminal: Terminal) -> Verdict:
    """Print the tables and compare the gate's share, or its seconds, with the goal."""
    ratios, rows, changed = {}, [], []
    for name, record in records.items():
        skew = record.skew
        assert skew is not None, "a run that succeeded has passed the skew gate"
        seconds, review = (_seconds(record, component) for component in ("SkewGate", "ReportGen"))
        share = seconds / record.seconds
        ratios[name] = {"seconds": round(seconds, 2)} if record.seconds < SHORT_RUN else {"share": round(share, 3)}
        largest = max(route.largest for route in skew.routes)
        cells = (f"{record.seconds:.0f} s", f"{seconds:.1f} s", f"{share:.1%}", f"{review:.1f} s")
        rows.append((name, *cells, str(skew.records), format_number(largest), format_number(skew.tolerance)))
        for cost in worst_first(skew.client_skew):
            flipped = f"{cost.flipped} of {cost.pictures}"
            points = f"{format_points(cost)} points"
            changed.append((f"{name}: {cost.client}", flipped, points, format_number(cost.largest)))
    columns = ("task", "run", "gate", "share", "review", "records", "largest difference", "allowed")
    terminal.table("the gate's share of a run", columns, rows)
    terminal.table("client skew", ("a client with", "answers changed", "accuracy", "score"), changed)
    return judge("gate", ratios, GOALS)


def _seconds(record: RunRecord, component: str) -> float:
    return sum(one.seconds for one in record.components if one.name == component)


if __name__ == "__main__":
    main()
