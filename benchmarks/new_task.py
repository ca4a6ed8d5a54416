"""Measure the task that `skewless new` writes, from the folder to the pushed model, against a good Keras notebook.

    python -m benchmarks.new_task --data DIR --weights FILE [--rounds N]

DIR has a folder of pictures for each class, FILE the weights of a MobileNetV2 without its top. Each round splits the
pictures anew: three fifths for training, one for the choice of the best epoch, one for the test. Both sides get the
same folders and train as many epochs of each phase. `minutes` compares the whole time of their processes, with all
imports; our side also validates the pictures, evaluates each slice, proves that the served model answers as the trained
one, and pushes it. `minutes_to_model` leaves out what comes after our Trainer.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click

from benchmarks.report import Goal, Terminal, Verdict, judge, median, quiet
from benchmarks.timing import once, time_side
from components.task.train_config import Train
from data.errors import SkewlessError, UsageError
from pipeline.cli import report_errors
from pipeline.report.record import read_record
from pipeline.scaffold.pretrained import BACKBONE, Pretrained, find_pretrained

GOALS: dict[str, Goal] = {"accuracy": (">=", 1.0), "minutes": ("<=", 1.0), "minutes_to_model": ("<=", 1.0)}
AFTER_TRAINING = ("Evaluator", "SkewGate", "Pusher", "ReportGen")
NAME, PICTURES = "measured", "pictures"
PARTS = 5


@dataclass(frozen=True)
class Outcome:
    """What one side reached in one round.

    Attributes:
      accuracy: On the test pictures.
      seconds: Of all its processes.
      seconds_to_model: Of these, until the model was trained and written.
    """

    accuracy: float
    seconds: float
    seconds_to_model: float


@click.command(help=__doc__)
@click.option(
    "--data", metavar="DIR", required=True, type=click.Path(path_type=Path, exists=True), help="Folder of the pictures."
)
@click.option("--weights", metavar="FILE", required=True, help="Weights of a MobileNetV2 without its top.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, PARTS), help="Rounds, each a split.")
def main(data: Path, weights: str, rounds: int) -> None:
    """Measure both sides."""
    with report_errors(), quiet("new_task") as (terminal, scratch):
        found = find_pretrained(weights, BACKBONE)
        if not found or not found.file:
            raise UsageError(f"--weights must be a file, got '{weights}'")
        results: dict[str, list[Outcome]] = {}
        for number in range(rounds):
            folder = scratch / f"split-{number}"
            split_pictures(data, folder / PICTURES, number)
            with terminal.console.status(f"round {number + 1} of {rounds}"):
                for side, outcome in _round(folder, found, number).items():
                    results.setdefault(side, []).append(outcome)
        terminal.finish(_report(results, terminal))


def _round(folder: Path, found: Pretrained, number: int) -> dict[str, Outcome]:
    """Measure both sides in a folder; they take turns to start."""
    writing = _write(folder, found)
    train = runpy.run_path(str(folder / f"{NAME}.py"))["TASK"].train
    sides = {"ours": lambda: _ours(folder, writing), "notebook": lambda: _notebook(folder, found, train)}
    return {side: sides[side]() for side in sorted(sides, reverse=bool(number % 2))}


def split_pictures(data: Path, folder: Path, number: int) -> None:
    """Copy the pictures into `train`, `validation` and `test` by a hash of their content, which the number turns."""
    for path in sorted(data.glob("*/*")):
        part = (int(hashlib.sha256(path.read_bytes()).hexdigest()[:8], 16) + number) % PARTS
        target = folder / {0: "test", 1: "validation"}.get(part, "train") / path.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _write(folder: Path, found: Pretrained) -> float:
    """Write the task's module with `skewless new`, and return the seconds."""
    return _timed(["-m", "pipeline.cli", "new", NAME, "--data", PICTURES, "--weights", found.file], folder)[0]


def _ours(folder: Path, writing: float) -> Outcome:
    """Run the task, whose module took `writing` seconds, and return its accuracy on the test pictures."""
    root = folder / "root"
    settings = ["--set", "evaluate.split=test", "--set", "evaluate.min_accuracy=0"]
    seconds = writing + _timed(["-m", "pipeline.cli", "run", NAME, "--root", str(root), *settings], folder)[0]
    record = read_record(str(root / NAME / "run.json"))
    assert record.evaluation is not None, "a run that succeeded has evaluated"
    later = sum(one.seconds for one in record.components if one.name in AFTER_TRAINING)
    return Outcome(record.evaluation.overall[record.evaluation.metric], seconds, seconds - later)


def _notebook(folder: Path, found: Pretrained, train: Train) -> Outcome:
    """Run the notebook with as many epochs."""
    epochs = [str(train.epochs), str(train.fine_tune.epochs)]
    seconds, printed = _timed(["-m", "benchmarks.notebook", PICTURES, found.file, str(found.alpha), *epochs], folder)
    return Outcome(json.loads(printed.splitlines()[-1])["accuracy"], seconds, seconds)


def _timed(arguments: Sequence[str], folder: Path) -> tuple[float, str]:
    """Run Python in a folder; return the seconds of the process and what it prints."""
    printed: list[str] = []
    span = time_side(once(lambda: printed.append(_call(arguments, folder))))
    return span.seconds, printed[0]


def _call(arguments: Sequence[str], folder: Path) -> str:
    """Run Python in a folder and return what it prints.

    Raises:
      SkewlessError: If it fails.
    """
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)  # in the log
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SkewlessError(f"`{' '.join(arguments[:3])}` failed: {lines[-1]}")
    return done.stdout


def _report(results: dict[str, list[Outcome]], terminal: Terminal) -> Verdict:
    """Print the table and compare the sides."""
    accuracy = {side: mean(one.accuracy for one in outcomes) for side, outcomes in results.items()}
    minutes = {side: median([one.seconds for one in outcomes]) / 60 for side, outcomes in results.items()}
    to_model = {side: median([one.seconds_to_model for one in outcomes]) / 60 for side, outcomes in results.items()}
    terminal.table(
        f"{len(results['ours'])} rounds",
        ["side", "accuracy on the test pictures, mean", "of each round", "minutes, median", "to the model"],
        [
            [
                side,
                f"{accuracy[side]:.3f}",
                ", ".join(f"{one.accuracy:.3f}" for one in outcomes),
                f"{minutes[side]:.1f}",
                f"{to_model[side]:.1f}",
            ]
            for side, outcomes in results.items()
        ],
    )
    ratios = {
        "accuracy": round(accuracy["ours"] / accuracy["notebook"], 3),
        "minutes": round(minutes["ours"] / minutes["notebook"], 3),
        "minutes_to_model": round(to_model["ours"] / to_model["notebook"], 3),
    }
    facts: dict[str, Any] = {"accuracy": {side: round(one, 4) for side, one in accuracy.items()}}
    facts["minutes"] = {side: round(one, 2) for side, one in minutes.items()}
    return judge("new_task", ratios, GOALS, facts)


if __name__ == "__main__":
    main()
