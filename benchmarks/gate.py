"""What the skew gate costs, and what it finds that naive clients would have changed, on models that are really trained.

    python -m benchmarks.gate --data DIR [--task NAME ...]

DIR holds `fashion-mnist`, `horse-or-human` and `cifar10-jpg` (a folder per class) or `cifar10-jpg.tar`, and
`keras-weights`. Each task is a `skewless run` of its own on an empty root; the gate's share is its seconds of the whole
run's, without the imports before it. horse_or_human has 20 of its 100 epochs, which makes the share larger.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.report import Terminal, Verdict, quiet
from data.errors import SkewlessError, UsageError
from pipeline.cli import reported
from pipeline.report.record import RunRecord, read_record
from pipeline.report.skew import format_number, format_points, worst_first

GOAL = 0.10
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
@click.option("--data", metavar="DIR", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--task", "names", multiple=True, type=click.Choice(list(TASKS)), help="Only these.")
def main(data: Path, names: tuple[str, ...]) -> None:
    """Runs the tasks one after the other."""
    with reported(), quiet("gate") as (terminal, scratch):
        records = {}
        for name in names or TASKS:
            with terminal.console.status(name):
                records[name] = _run(name, data.resolve(), scratch)
        terminal.finish(_report(records, terminal))


def _run(name: str, data: Path, scratch: Path) -> RunRecord:
    """The record of a run.

    Raises:
      SkewlessError: it did not push.
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
        raise SkewlessError(f"{name} ended with status {done.returncode}: {done.stderr.strip().splitlines()[-2:]}")
    return read_record(str(scratch / name / name / "run.json"))


def _folder(path: Path, scratch: Path) -> Path:
    """The folder, or what its archive holds."""
    archive = path.with_suffix(".tar")
    if not path.is_dir() and archive.exists():
        with tarfile.open(archive) as file:
            file.extractall(scratch / "unpacked", filter="data")
        return scratch / "unpacked" / path.name
    if not path.is_dir():
        raise UsageError(f"no {path}", hint="See python -m benchmarks.gate --help for what --data must hold.")
    return path


def _report(records: Mapping[str, RunRecord], terminal: Terminal) -> Verdict:
    shares, rows, changed = {}, [], []
    for name, record in records.items():
        skew = record.skew
        assert skew is not None, "a run that succeeded has passed the skew gate"
        seconds = sum(one.seconds for one in record.components if one.name == "SkewGate")
        shares[name] = seconds / record.seconds
        largest = max(route.largest for route in skew.routes)
        cells = (f"{record.seconds:.0f} s", f"{seconds:.1f} s", f"{shares[name]:.1%}")
        rows.append((name, *cells, str(skew.records), format_number(largest), format_number(skew.tolerance)))
        for cost in worst_first(skew.client_skew):
            flipped = f"{cost.flipped} of {cost.pictures}"
            points = f"{format_points(cost)} points"
            changed.append((f"{name}: {cost.client}", flipped, points, format_number(cost.largest)))
    columns = ("task", "run", "gate", "share", "records", "largest difference", "allowed")
    terminal.table(f"the gate's share of a run, goal at most {GOAL:.0%}", columns, rows)
    terminal.table("client skew", ("a client with", "answers changed", "accuracy", "score"), changed)
    ratios = {name: round(share, 3) for name, share in shares.items()}
    goals = dict.fromkeys(shares, f"<= {GOAL}")
    return Verdict("gate", ratios, goals, all(share <= GOAL for share in shares.values()))


if __name__ == "__main__":
    main()
