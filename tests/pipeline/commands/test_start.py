"""`skewless` without a command: where the user is, and what to do next."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from data.files.atomic import write_aside
from pipeline.cli import cli
from pipeline.paths import DEFAULT_ROOT, Paths, absolute_path
from pipeline.report.run_files import LOCK

TASK = 'from skewless import Task\n\nTASK = Task(name="flowers")\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _start() -> tuple[str, list[str]]:
    """Return the first line, and the commands after it."""
    done = CliRunner().invoke(cli, [])
    assert done.exit_code == 0, done.output
    first, *others = done.output.splitlines()
    assert 0 < len(others) <= 3 and all(line.startswith("next      skewless ") for line in others)
    return first, [line.removeprefix("next      ").partition("  # ")[0] for line in others]


def _ran(task: str, status: str, **more: Any) -> None:
    record = {"schema": 1, "task": task, "run_id": "20260101-000000-1", "status": status, **more}
    write_aside(Paths(DEFAULT_ROOT, task).latest, json.dumps(record))


def test_in_an_empty_folder() -> None:
    assert _start() == (
        "nothing has run in this folder yet",
        ["skewless demo", "skewless new NAME --data DIR", "skewless --help"],
    )


def test_with_a_task_that_has_not_run(folder: Path) -> None:
    (folder / "helper.py").write_text('TASKS = "no task"\n# TASK = neither\n')
    (folder / "flowers.py").write_text(TASK)
    first, commands = _start()
    assert first == "flowers.py has a task; it has not run since it was written"
    assert commands[0] == "skewless run flowers"


def test_after_a_run_that_pushed(folder: Path) -> None:
    (folder / "flowers.py").write_text(TASK)
    os.utime(folder / "flowers.py", (0, 0))
    _ran("flowers", "pushed", pushed={"version": 17, "path": "/x"})
    assert _start() == (
        "the last run of flowers pushed a model: version 17 is served",
        ["skewless report flowers", "skewless serve flowers", "skewless run flowers"],
    )


def test_after_a_run_that_pushed_nothing() -> None:
    _ran("flowers", "not pushed", error="accuracy 0.2 is below the limit 0.9", pushed={})
    first, commands = _start()
    assert first == "the last run of flowers pushed no model: accuracy 0.2 is below the limit 0.9"
    assert commands[:2] == ["skewless report flowers", "skewless run flowers"]


def test_after_a_killed_run() -> None:
    _ran("flowers", "running")
    assert _start()[0] == "the last run of flowers did not end: 20260101-000000-1"


def test_during_a_run() -> None:
    _ran("flowers", "running")
    with open(Paths(absolute_path(DEFAULT_ROOT), "flowers").local_folder + f"/{LOCK}", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert _start() == (
            "the last run of flowers is running: 20260101-000000-1",
            ["skewless report flowers", "skewless --help"],
        )


def test_the_latest_run_counts() -> None:
    _ran("old", "pushed", pushed={"version": 1, "path": "/x"})
    os.utime(Paths(DEFAULT_ROOT, "old").latest, (0, 0))
    _ran("new", "pushed", pushed={"version": 2, "path": "/x"})
    assert _start()[1][0] == "skewless report new"


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}'])
def test_a_record_that_cannot_be_read_is_named(text: str) -> None:
    write_aside(Paths(DEFAULT_ROOT, "flowers").latest, text)
    assert "run.json: " in _start()[0]
