"""`skewless.run`: a task from Python."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import skewless
from pipeline import api
from tests import PROJECT
from tests.tasks.tiny import TASK

SCRIPT = """
import skewless
from tests.tasks.tiny import TASK as TINY
import dataclasses
MINE = dataclasses.replace(TINY, name="mine")
for task in (MINE, TINY):
    try:
        skewless.run(task, data="/nowhere", settings={"train.epochs": 1, "label.names": ("a", "b")})
    except skewless.DataError as error:
        print(error)
"""


def test_a_task_is_found_under_the_name_that_a_module_gives_it() -> None:
    assert api._import_path(TASK) == "tests.tasks.tiny:TASK"


def test_a_task_without_a_name_is_rejected() -> None:
    with pytest.raises(skewless.UsageError, match="task 'tiny' is in no module") as caught:
        skewless.run(dataclasses.replace(TASK), data="/nowhere")
    assert "TASK = Task(...)" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (0.5, "0.5"),
        (True, "True"),
        (None, "none"),
        ("accuracy > 0.9", "accuracy > 0.9"),
        ((10, 20), "10,20"),
        (((25, 0.01), (50, 0.001)), "25:0.01,50:0.001"),
        ({"auc": 0.9, "recall/rose": 0.8}, "auc:0.9,recall/rose:0.8"),
    ],
)
def test_settings_are_those_of_the_command_line(value: object, text: str) -> None:
    assert api._setting(value) == text


def test_a_wrong_setting_names_the_closest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(skewless.UsageError, match="no setting 'train.epoch'. Did you mean 'train.epochs'?"):
        skewless.run(TASK, data=str(tmp_path), settings={"train.epoch": 1})


def test_a_script_runs_its_own_task(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", "main.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.count("no data folder at /nowhere\n") == 2, done.stderr
