"""`kill -9` in the middle of each component, and the run started again."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from tests.pipeline.conftest import COMMAND, PROJECT, environment

pytestmark = pytest.mark.slow

ORDER = ["ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "Evaluator", "Pusher"]
# Seconds into the component; those that last some milliseconds are hit at their beginning.
DELAYS = {"ExampleGen": 1.0, "StatisticsGen": 1.5, "Transform": 0.7, "Trainer": 2.0, "Evaluator": 2.0}


def _run(data: Path, root: Path, *settings: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "run", "tests.tasks.tiny", "--data", str(data), "--root", str(root)]
    command += [part for setting in settings for part in ("--set", setting)]
    return subprocess.Popen(command, cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, text=True)


def _kill_in(component: str, process: subprocess.Popen[str]) -> dict[str, str]:
    """Waits until the component before has ended, then kills; gives what was seen to end: "done" or "cached"."""
    before = "Baseline" if component == "Evaluator" else (["log", *ORDER])[ORDER.index(component)]
    ended = {}
    assert process.stdout is not None
    for line in process.stdout:
        state, name, *_ = line.split()
        ended[name] = state
        if before in (state, name):
            break
    time.sleep((6.0 if component == "ExampleGen" else 0.0) + DELAYS.get(component, 0.0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return ended


@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 60, "dogs": 60})
    root = tmp_path / "root"
    serving = root / "tiny" / "serving" / "tiny"
    finished: set[str] = set()
    for component in ORDER:
        ended = _kill_in(component, _run(data, root))
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
    assert not list((root / "tiny" / "artifacts").rglob("*.partial"))


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
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(checkpoints.glob("*/checkpoint")), "it was not killed within its training"
    again = _run(data, tmp_path, *settings)
    out, _ = again.communicate(timeout=200)
    assert again.returncode == 0, out
    training = json.loads((tmp_path / "tiny" / "run.json").read_text())["training"]
    assert training["epochs"] == 30 == len(training["history"]["loss"])
    assert training["resumed_at"] and training["resumed_at"] != "epoch 1, step 1"
    assert f"went on at {training['resumed_at']}" in out
    assert not list(checkpoints.iterdir())
