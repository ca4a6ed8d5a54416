"""`skewless runs`: the list of a task's runs, for people and for machines."""

from __future__ import annotations

import datetime
import fcntl
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from data.errors import UsageError
from data.files.atomic import write_aside
from pipeline.commands.runs import ListOptions, show_runs
from pipeline.paths import Paths
from tests.pipeline.conftest import Skewless

NOW = datetime.datetime.now(datetime.timezone.utc)
ACCURACY = "sparse_categorical_accuracy"


def _run(number: int, hours: float, status: str = "pushed", **more: Any) -> dict[str, Any]:
    """The record of a run that began some hours ago."""
    started = NOW - datetime.timedelta(hours=hours)
    run = {
        "schema": 1,
        "task": "tiny",
        "run_id": f"{started:%Y%m%d-%H%M%S}-{number}",
        "settings": {"train.epochs": "3", "train.batch_size": "8"},
        "started": started.isoformat(timespec="seconds"),
        "status": status,
        "seconds": 61.5,
        "components": [{"name": "Trainer", "state": "executed", "why": "first run"}],
        "data": {"examples": {"train": 80, "eval": 20}},
        "training": {},
        "evaluation": {},
        "pushed": {},
    }
    return {**run, **more}


def _evaluated(accuracy: float, **metrics: float) -> dict[str, Any]:
    overall = {ACCURACY: accuracy, "example_count": 20.0, **metrics}
    slices = {"overall": overall, "label:rose": {"recall": accuracy / 2}, "image/format:PNG": {ACCURACY: 0.125}}
    return {"metric": ACCURACY, "slices": slices}


TRAINING = {"best_epoch": 2, "history": {"val_loss": [0.9, 0.25, 0.5], "accuracy": [0.1, 0.2, 0.3]}}
RUNS = [
    _run(4, 0.02, "running", settings={"train.epochs": "3", "train.batch_size": "8"}),
    _run(
        3,
        2,
        settings={"train.epochs": "12", "train.batch_size": "8"},
        components=[{"why": "train.epochs 3 -> 12; new examples"}, {"why": "the data have changed; new statistics"}],
        data={"examples": {"train": 100, "eval": 20}},
        evaluation=_evaluated(0.75, auc=0.875),
        training=TRAINING,
        pushed={"version": 1795000003, "path": "/x"},
        seconds=75.4,
        page="/x/report.html",
    ),
    _run(
        2,
        30,
        "not pushed",
        error="not pushed: accuracy 0.5000 is below the limit 0.9000",
        components=[{"why": "the code of model has changed"}, {"why": "evaluate.metrics_specs[0].x 0.8 -> 0.9"}],
        evaluation=_evaluated(0.5, auc=0.9375),
        seconds=50.0,
    ),
    _run(1, 24 * 30, evaluation=_evaluated(0.625), pushed={"version": 1795000001, "path": "/x"}),
]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(str(tmp_path), "tiny")
    for one in RUNS:
        write_aside(f"{found.run(one['run_id'])}/run.json", json.dumps(one))
    return found


def _shown(paths: Paths, width: int = 80, **options: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show_runs(paths, ListOptions(**options), console, NOW)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def _table(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The headings and the cells of the first table; two blanks or more separate them."""
    end = lines.index("")
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[:end]]
    return rows[0], rows[2:]


def _order(paths: Paths, **options: Any) -> list[str]:
    """The numbers of the runs in the order of the list."""
    _, rows = _table(_shown(paths, 300, **options))
    return [row[0].rpartition("-")[2] for row in rows]


def test_a_wide_terminal_has_one_table_of_what_differs(paths: Paths) -> None:
    headings, rows = _table(_shown(paths, 200))
    assert headings == ["run", "when", "status", "accuracy", "seconds", "version", "epochs", "auc"]
    assert [row[0] for row in rows] == [one["run_id"] for one in RUNS]
    assert rows[0][1:] == ["1 min ago", "killed", "-", "-", "-", "3", "-"]
    assert rows[1][1:] == ["2 h ago", "pushed", "0.7500", "75", "1795000003", "12", "0.8750"]
    assert rows[2][1:] == ["1 d ago", "not pushed", "0.5000", "50", "-", "3", "0.9375"]
    assert rows[3][1:] == [RUNS[3]["started"][:10], "pushed", "0.6250", "62", "1795000001", "3", "-"]


def test_eighty_columns_are_enough(paths: Paths) -> None:
    long = {"train.optimizer": f"adamw({'weight_decay=0.01, ' * 6})", "augment": "x" * 90, "train.epochs": "3"}
    run = _run(5, 1, settings=long, error="e" * 200, status="failed")
    write_aside(f"{paths.run(run['run_id'])}/run.json", json.dumps(run))
    lines = _shown(paths)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["run", "when", "status", "accuracy", "seconds", "version"]
    text = "".join(line[22:] for line in lines).replace(" ", "")
    assert "x" * 40 in text and "e" * 40 in text, "longer texts are folded, not cut"
    for one in RUNS:
        assert sum(line.startswith(one["run_id"]) for line in lines) >= 3, "each table begins with the run"


def test_it_says_what_changed_from_run_to_run(paths: Paths) -> None:
    lines = _shown(paths, 300)
    start = lines.index("what changed since the run before")
    changes = dict(line.split(None, 1) for line in lines[start + 1 :])
    assert changes == {
        RUNS[0]["run_id"]: "train.epochs 12 -> 3",
        RUNS[1]["run_id"]: "train.epochs 3 -> 12; the data have changed: 20 eval, 80 train -> 20 eval, 100 train",
        RUNS[2]["run_id"]: "the code of model has changed; evaluate has changed; "
        "not pushed: accuracy 0.5000 is below the limit 0.9000",
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("when", "4321"),
        ("accuracy", "3124"),
        (ACCURACY, "3124"),
        ("seconds", "3124"),
        ("version", "3142"),
        ("epochs", "3421"),  # 12 is more than 3
        ("train.epochs", "3421"),
        ("status", "4231"),
        ("run", "1234"),
        ("val_loss", "3421"),
        ("auc", "2341"),
        ("recall/rose", "3124"),
    ],
)
def test_each_column_can_be_sorted_by(paths: Paths, key: str, expected: str) -> None:
    assert "".join(_order(paths, sort=key)) == expected


def test_reversed_rows_without_a_value_stay_last(paths: Paths) -> None:
    assert "".join(_order(paths, sort="accuracy", is_reversed=True)) == "2134"
    assert "".join(_order(paths, sort="when", is_reversed=True)) == "1234"


def test_metrics_are_named_as_in_the_limits_or_as_in_the_training(paths: Paths) -> None:
    names = ["recall/rose", "accuracy@image/format=PNG", "val_loss"]
    headings, rows = _table(_shown(paths, 300, metrics=names))
    assert headings[6 + 1 :] == names and "auc" not in headings
    assert rows[1][7:] == ["0.3750", "0.1250", "0.2500"]  # val_loss of the second epoch
    assert rows[3][7:] == ["0.3125", "0.1250", "-"]


def test_the_training_s_accuracy_is_never_in_the_column_of_the_evaluation_s(paths: Paths) -> None:
    run = _run(6, 0.5, "failed", training=TRAINING)
    write_aside(f"{paths.run(run['run_id'])}/run.json", json.dumps(run))
    _, rows = _table(_shown(paths, 300))
    assert rows[1][0] == run["run_id"] and rows[1][3] == "-"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sort": "epoch"}, "no column 'epoch'. Did you mean 'epochs'?"),
        ({"metrics": ["ac"]}, "no metric 'ac'. Did you mean 'auc'?"),
        ({"metrics": ["recall/tulip"]}, "no metric 'recall/tulip'"),
        ({"metrics": ["recall/rose@image/format=PNG"]}, "no metrics of one class in a slice"),
        ({"metrics": ["?"]}, "'?' does not name a metric"),
    ],
)
def test_a_name_of_nothing_is_one_line(paths: Paths, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        _shown(paths, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_that_holds_the_lock_is_running(paths: Paths) -> None:
    with open(Path(paths.folder, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, rows = _table(_shown(paths, 200))
    assert rows[0][2] == "running" and 72 <= float(rows[0][4]) <= 73, "it began 0.02 hours before"
    assert _table(_shown(paths, 200))[1][0][2] == "killed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is no record of a run"),
        ('{"schema": 9}', "a newer Skewless wrote it (schema 9; this one reads 1)"),
        ('{"schema": 1}', "it is no record of a run (KeyError('status'))"),
        (json.dumps({**RUNS[1], "evaluation": {"slices": 3}}), "it is no record of a run (AttributeError"),
    ],
)
def test_a_record_that_cannot_be_read_is_shown_as_such(paths: Paths, text: str, message: str) -> None:
    broken = f"{NOW - datetime.timedelta(hours=1):%Y%m%d-%H%M%S}-7"
    write_aside(f"{paths.run(broken)}/run.json", text)
    lines = _shown(paths, 200)
    headings, rows = _table(lines)
    assert rows[1][0] == broken and rows[1][2] == "unreadable" and set(rows[1][3:]) == {"-"}
    assert "epochs" in headings and len(rows) == 5
    assert any(line.startswith(broken) and f"unreadable: {message}" in line for line in lines)


def test_hostile_text_is_shown_as_it_is(paths: Paths) -> None:
    run = _run(8, 1, settings={"label.names": "[red]a[/],\x1b[31mb\x07"}, error="[bold]no", status="failed")
    write_aside(f"{paths.run(run['run_id'])}/run.json", json.dumps(run))
    text = "\n".join(_shown(paths, 300))
    assert "[red]a[/],\\x1b[31mb\\x07" in text and "failed: [bold]no" in text
    assert "\x1b" not in text and "\x07" not in text


def test_json_is_a_line_for_each_run(skewless: Skewless, paths: Paths) -> None:
    outcome = skewless("runs", "tiny", "--json", "--sort", "accuracy", "--metric", "recall/rose", root=Path(paths.root))
    assert (outcome.status, outcome.err) == (0, "")
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert [one["run"] for one in found] == [RUNS[place]["run_id"] for place in (1, 3, 2, 0)]
    best = found[0]
    assert datetime.datetime.fromisoformat(best["started"]) == datetime.datetime.fromisoformat(RUNS[1]["started"])
    assert best["metrics"] == {ACCURACY: 0.75, "auc": 0.875, "example_count": 20.0, "recall/rose": 0.375}
    assert best["training"] == {"val_loss": 0.25, "accuracy": 0.2}
    assert {key: best[key] for key in ("status", "seconds", "version", "settings", "metric", "examples", "page")} == {
        "status": "pushed",
        "seconds": 75.4,
        "version": 1795000003,
        "settings": RUNS[1]["settings"],
        "metric": ACCURACY,
        "examples": {"train": 100, "eval": 20},
        "page": "/x/report.html",
    }
    assert best["record"] == f"{paths.run(best['run'])}/run.json"
    assert found[3]["metrics"] == {"recall/rose": None} and found[3]["version"] is None


def test_a_task_without_runs_is_one_line(skewless: Skewless, tmp_path: Path) -> None:
    outcome = skewless("runs", "digits", root=tmp_path)
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.splitlines() == [
        f"error: no run of 'digits' in {tmp_path}/digits",
        f"First: skewless run digits --root {tmp_path}",
    ]
