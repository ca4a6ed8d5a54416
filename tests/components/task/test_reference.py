"""A task is found by its path, and built once per process."""

from __future__ import annotations

import importlib
import json
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.task.reference import TaskReference, task_of
from components.task.task import Task
from data.errors import UsageError
from tests.tasks import tiny

MODULE = "skewless_reference_test_task"
SOURCE = """
import dataclasses
from tests.tasks import tiny
TASK = dataclasses.replace(tiny.TASK, name="mine")
OTHER = 3
"""
SETTINGS = {"train.epochs": "3", "evaluate.min_accuracy": "0.25"}


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Write a user's module; the next import reads it again."""

    def write(source: str) -> None:
        (tmp_path / f"{MODULE}.py").write_text(source)
        sys.modules.pop(MODULE, None)
        importlib.invalidate_caches()
        linecache.clearcache()

    monkeypatch.syspath_prepend(str(tmp_path))
    write(SOURCE)
    yield write
    sys.modules.pop(MODULE, None)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks that were built, one entry for each time."""
    found: list[str] = []
    check = Task.__post_init__

    def count(task: Task) -> None:
        found.append(task.name)
        check(task)

    monkeypatch.setattr(Task, "__post_init__", count)
    return found


def test_a_task_is_built_once(write_module: Callable[[str], None], builds: list[str]) -> None:
    first = TaskReference(MODULE, SETTINGS).load()
    assert builds == ["mine", "mine"]  # by the module, and with the settings
    assert first.train.epochs == 3 and first.evaluate.min_accuracy == 0.25
    assert TaskReference(MODULE, dict(reversed(SETTINGS.items()))).load() is first
    assert TaskReference(MODULE).load() is sys.modules[MODULE].TASK
    assert builds == ["mine", "mine"]


def test_other_settings_are_another_task(write_module: Callable[[str], None]) -> None:
    assert [TaskReference(MODULE, {"train.epochs": text}).load().train.epochs for text in "343"] == [3, 4, 3]


def test_a_module_imported_again_gives_its_new_task(write_module: Callable[[str], None]) -> None:
    reference = TaskReference(MODULE, SETTINGS)
    before = reference.load()
    write_module(SOURCE.replace('name="mine"', 'name="edited"'))
    after = reference.load()
    assert (before.name, after.name, after.train.epochs) == ("mine", "edited", 3)


def test_a_component_builds_its_task_once(write_module: Callable[[str], None], builds: list[str]) -> None:
    config = TaskReference(MODULE, SETTINGS).config("feature", "train")
    del builds[:]
    task = task_of(config)
    assert task_of(json.dumps(config)) is task
    assert task.train.epochs == 3 and task.evaluate == tiny.TASK.evaluate  # `evaluate` is none of its parts
    assert builds == ["mine"]


def test_a_pipeline_is_compiled_from_one_task(write_module: Callable[[str], None], builds: list[str]) -> None:
    from pipeline.runners.compiler.kubeflow import PlatformOptions, compile_pipeline

    job = compile_pipeline(TaskReference(MODULE, SETTINGS), PlatformOptions("vertex", "host/image:1", "gs://b/root"))
    assert builds == ["mine", "mine"]
    assert job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["train_epochs"]["defaultValue"] == "3"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module_at_all:TASK", "no module 'no_such_module_at_all' for the task"),
        (f"{MODULE}:TSAK", f"module {MODULE} has no 'TSAK'"),
        (f"{MODULE}:OTHER", f"{MODULE}:OTHER is a int, not a Task"),
    ],
)
def test_a_path_without_a_task_is_refused(write_module: Callable[[str], None], path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TaskReference(path).load()
