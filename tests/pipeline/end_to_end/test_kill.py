"""`kill -9` in the middle of each component, and the run started again."""

from __future__ import annotations

import glob
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from components.executor import started_line
from tests.pipeline.conftest import environment
from tests.preloaded import Process

pytestmark = pytest.mark.slow

ORDER = ["ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "Evaluator", "Pusher"]


def _run(data: Path, root: Path, *settings: str) -> Process:
    given = [part for setting in settings for part in ("--set", setting)]
    return Process(
        "pipeline.cli", "run", "tests.tasks.tiny", "--data", str(data), "--root", str(root), *given, env=environment()
    )


def _has_started(component: str, process: Process, root: Path) -> bool:
    """Return whether the log of the process's own run has the line of the component."""
    return any(started_line(component) in log.read_text() for log in root.glob(f"logs/*-{process.pid}.log"))


def _files(folder: Path) -> set[str]:
    return set(filter(os.path.isfile, glob.iglob(f"{folder}/**", recursive=True)))  # ignores folders that go away


def _kill_in(component: str, process: Process, root: Path) -> dict[str, str]:
    """Kill the run once the component works and has written a file; return the state of each that ended before."""
    folder = root / "tiny" / "artifacts" / component
    before = _files(folder)  # of a run that got further than the component it was killed in
    while process.poll() is None and not _has_started(component, process, root):
        time.sleep(0.02)
    while process.poll() is None and not _files(folder) - before:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    return {name: state for state, name, *_ in map(str.split, out.splitlines())}


@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 60, "dogs": 60})
    root = tmp_path / "root"
    serving = root / "tiny" / "serving" / "tiny"
    finished: set[str] = set()
    for component in ORDER:
        ended = _kill_in(component, _run(data, root), root)
        assert {name for name in finished if ended.get(name) == "done"} == set(), f"done twice: {ended}"
        finished |= ended.keys() & set(ORDER)
        for version in serving.glob("[0-9]*"):
            assert (version / "saved_model.pb").exists(), f"half a version is visible after a kill in {component}"
    assert finished >= set(ORDER[:-1])
    last = _run(data, root)
    out, _ = last.communicate(timeout=200)
    assert last.returncode == 0, out
    record = json.loads((root / "tiny" / "run.json").read_text())
    states = {one["name"]: one["state"] for one in record["components"]}
    assert all(states[name] == "cached" for name in ORDER[:-1]), states
    assert [path.name for path in serving.iterdir()] == [str(record["pushed"]["version"])]
    tf.saved_model.load(record["pushed"]["path"])
    read = (record["data"]["folder"], record["pushed"]["path"])  # what was killed has left its own folders behind
    assert not [path for folder in read for path in Path(folder).rglob("*.partial")]


def test_a_training_that_was_killed_goes_on_from_its_checkpoint(
    tmp_path: Path, picture_folder: Callable[..., Path]
) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 60, "dogs": 60})
    settings = ("train.epochs=30", "train.checkpoint_seconds=0")
    process = _run(data, tmp_path, *settings)
    checkpoints = tmp_path / "tiny" / "artifacts" / "Trainer" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*/checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(checkpoints.glob("*/checkpoint")), "it was not killed within its training"
    again = _run(data, tmp_path, *settings)
    out, _ = again.communicate(timeout=200)
    assert again.returncode == 0, out
    training = json.loads((tmp_path / "tiny" / "run.json").read_text())["training"]
    assert training["epochs"] == 30 == len(training["history"]["loss"])
    assert training["resumed_at"] and training["resumed_at"] != "epoch 1, step 1"
    assert f"resumed at {training['resumed_at']}" in out
    assert not list(checkpoints.iterdir())
