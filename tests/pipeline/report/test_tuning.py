"""What a tuning prints and draws, from its record."""

from __future__ import annotations

import dataclasses
import io
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from components.tuning.record import FAILED, TrialRecord, TuningRecord
from pipeline.commands.run import RunOptions
from pipeline.commands.tune import run_command
from pipeline.report.short_names import short_names
from pipeline.report.tuning import print_tuning
from pipeline.report.tuning_plot import draw_tuning, write_tuning_plot

OVER = {"train.learning_rate": "1e-4..1e-1:log", "train.optimizer": "adam,sgd(momentum=0.9, nesterov=True)"}
SCORES = [0.5, None, 0.9, 0.7, 0.9]


def _record(direction: str = "max", scores: list[float | None] = SCORES) -> TuningRecord:
    trials = [
        TrialRecord(
            number,
            {
                "train.learning_rate": repr(10.0**-number),
                "train.optimizer": ("adam", "sgd(momentum=0.9, nesterov=True)")[number % 2],
            },
            FAILED if score is None else "finished",
            score,
            epochs=5,
            best_epoch=4,
            seconds=1.25,
            error="the training diverged" if score is None else "",
        )
        for number, score in enumerate(scores, 1)
    ]
    return TuningRecord("flowers", "val_accuracy", direction, "random", OVER, trials)


def _printed(record: TuningRecord, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)
    print_tuning(record, console, "skewless run flowers --set a=b", "/runs/1/tuning.png", "/root/flowers")
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_best_trials_come_first_and_of_equal_ones_the_first() -> None:
    assert [one.number for one in _record().ranked] == [3, 5, 4, 1]
    assert [one.number for one in _record("min").ranked] == [1, 4, 3, 5]


def test_the_table_has_a_row_for_each_of_the_best_and_a_column_for_each_setting() -> None:
    lines = _printed(_record())
    heading, first = (next(line for line in lines if line.split()[:1] == [word]) for word in ("trial", "3"))
    assert heading.split() == ["trial", "val_accuracy", "learning_rate", "optimizer", "epochs", "seconds"]
    assert first.split()[:3] == ["3", "0.9000", "0.001"] and first.split()[-2:] == ["5", "1.2"]
    facts = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line and line[0] != " "}
    assert facts["best"] == "val_accuracy 0.9000 in trial 3, after epoch 4"
    assert facts["over"] == " ".join(f"{name}={text}" for name, text in OVER.items())
    assert facts["failed"].startswith("1 of 5 trials, e.g. train.learning_rate=0.01 ")
    assert facts["failed"].endswith(": the training diverged")
    assert facts["run"] == "it skewless run flowers --set a=b"
    assert facts["plot"] == "/runs/1/tuning.png" and facts["record"] == "/root/flowers/tuning.json"


def test_of_many_trials_the_ten_best_are_shown() -> None:
    lines = _printed(_record(scores=[number / 40 for number in range(30)]))
    assert "10 best of 30 trials" in lines[1]
    assert len([line for line in lines if line.split()[-1:] == ["1.2"]]) == 10


def test_names_of_two_parts_stay_whole() -> None:
    names = ["train.learning_rate", "train.fine_tune.learning_rate", "model.dense"]
    assert short_names(names) == [*names[:2], "dense"]


@pytest.mark.parametrize("text", ["a b", "sgd(momentum=0.9, nesterov=True)", "", "it's"])
def test_a_shell_reads_the_command_as_it_was_meant(text: str) -> None:
    options = RunOptions("flowers", "/my data", "/elsewhere")
    record = TuningRecord("flowers", "m", "max", "grid", {}, [TrialRecord(1, {"x.y": text}, score=1.0)])
    command = run_command(options, {"a.b": "1", "x.y": "an earlier one"}, record)
    wanted = ["skewless", "run", "flowers", "--data", "/my data", "--root", "/elsewhere", "--set", "a.b=1"]
    assert shlex.split(command) == [*wanted, "--set", f"x.y={text}"]


def test_the_record_is_what_was_written(tmp_path: Path) -> None:
    record = _record()
    record.write(str(tmp_path))
    assert TuningRecord.read(str(tmp_path)) == record
    parts = [dataclasses.replace(record, trials=record.trials[start::2]) for start in (1, 0)]
    assert TuningRecord.merged(parts) == record


# The plot


def test_the_plot_has_the_trials_in_order_and_by_each_setting(tmp_path: Path) -> None:
    figure = draw_tuning(_record())
    order, rate, optimizer = figure.axes
    lines = {line.get_label(): line for line in order.lines}
    np.testing.assert_array_equal(lines["trial"].get_xydata(), [[1, 0.5], [3, 0.9], [4, 0.7], [5, 0.9]])
    np.testing.assert_array_equal(lines["best so far"].get_ydata(), [0.5, 0.9, 0.9, 0.9])
    np.testing.assert_array_equal(lines["best"].get_xydata(), [[3, 0.9]])
    assert np.array_equal(lines["failed"].get_xdata(), [2])
    assert rate.get_xscale() == "log" and rate.get_xlabel() == "train.learning_rate"
    np.testing.assert_allclose(
        np.asarray(rate.lines[0].get_xydata()), [[1e-3, 0.9], [1e-5, 0.9], [1e-4, 0.7], [1e-1, 0.5]]
    )
    labels = [label.get_text() for label in optimizer.get_xticklabels()]
    assert labels == ["adam", "sgd(momentum=0.9,…"]
    assert [np.asarray(line.get_xdata()).tolist() for line in optimizer.lines] == [[1, 1, 0, 1], [1]]
    write_tuning_plot(_record(), str(tmp_path / "tuning.png"))
    with Image.open(tmp_path / "tuning.png") as picture:
        assert min(picture.size) > 400
    assert (tmp_path / "tuning.png").stat().st_size < 200_000


def test_a_list_of_numbers_is_drawn_side_by_side_and_losses_by_their_logarithm() -> None:
    trials = [TrialRecord(n, {"model.dense": text}, score=10.0**n) for n, text in enumerate(("512", "64", "128"))]
    record = TuningRecord("t", "val_loss", "min", "grid", {"model.dense": "512,64,128"}, trials)
    _, dense = draw_tuning(record).axes
    assert [label.get_text() for label in dense.get_xticklabels()] == ["64", "128", "512"]
    assert np.array_equal(dense.lines[0].get_xdata(), [2, 0, 1]) and dense.get_yscale() == "linear"
    spread = TuningRecord("t", "val_loss", "min", "grid", {}, [*trials, TrialRecord(9, {}, score=1e6)])
    assert draw_tuning(spread).axes[0].get_yscale() == "log"
