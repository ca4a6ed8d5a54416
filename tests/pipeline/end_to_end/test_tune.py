"""A tuning, killed in a trial and called again; and a run with the settings that it prints."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.pipeline.conftest import Skewless, environment
from tests.preloaded import Process

pytestmark = pytest.mark.slow

OVER = ("--over", "train.learning_rate=1e-3..1e-1:log", "--over", "train.batch_size=8,16", "--trials", "3")
SETTINGS = ("--set", "train.epochs=6", "--set", "train.checkpoint_seconds=0")


def _kill_in_second_trial(process: Process, trials: Path) -> None:
    """Kill the process once a trial has finished and the next one has a checkpoint."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if list(trials.glob("*/trial.json")) and list(trials.glob("*/checkpoints/checkpoint")):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_tuning_goes_on_in_its_trial_and_a_run_takes_its_result(
    skewless: Skewless, tmp_path: Path, picture_folder: Callable[..., Path]
) -> None:
    data, root = picture_folder(tmp_path / "data", {"cats": 40, "dogs": 40}), tmp_path / "root"
    command = ("tune", "tests.tasks.tiny", "--data", str(data), "--root", str(root), *OVER, *SETTINGS)
    trials = root / "tiny" / "artifacts" / "Tuner" / "trials"

    _kill_in_second_trial(Process("pipeline.cli", *command, env=environment()), trials)
    kept = {file.parent.name: file.read_text() for file in trials.glob("*/trial.json")}
    assert kept and len(kept) < 3 and list(trials.glob("*/checkpoints/checkpoint")), "it was not killed in a trial"

    done = skewless(*command)
    assert done.status == 0, done.err
    for name, text in kept.items():
        assert (trials / name / "trial.json").read_text() == text
    assert done.out.count("from an earlier call") == len(kept)
    log = re.search(r"^log +(\S+)", done.out, re.MULTILINE)
    assert log and "continuing at epoch" in Path(log[1]).read_text()
    assert not list(trials.glob("*/checkpoints"))

    found = json.loads((root / "tiny" / "tuning.json").read_text())
    assert [one["number"] for one in found["trials"]] == [1, 2, 3]
    assert {len(one["history"]["loss"]) for one in found["trials"]} == {6}
    best = max(found["trials"], key=lambda one: one["score"])
    plot = re.search(r"^plot +(\S+)", done.out, re.MULTILINE)
    assert plot
    with Image.open(plot[1]) as picture:
        assert picture.size[0] > 800
    assert f"val_accuracy {best['score']:.4f} in trial {best['number']}" in done.out

    (line,) = (line for line in done.out.splitlines() if line.startswith("run it"))
    _, skewless_name, *arguments = shlex.split(line.removeprefix("run it").strip().replace("skewless", "_ skewless", 1))
    assert skewless_name == "skewless" and not (root / "tiny" / "serving").exists()  # a tuning pushes nothing
    run = skewless(*arguments, root=root, task="tiny")
    assert run.status == 0, run.err
    assert run.states()["Transform"] == "cached" and run.record["pushed"]
    history = run.record["training"]["history"]  # of one training that nothing interrupted
    for name, values in best["history"].items():
        assert history[name] == pytest.approx(values, rel=1e-5)


def test_what_cannot_be_tuned_is_refused_before_anything_runs(skewless: Skewless, tmp_path: Path) -> None:
    for arguments, words in (
        (("--over", "feature.height=8,16"), "feature.height cannot be tuned"),
        (("--over", "train.epochs=1,2", "--set", "train.epochs=3"), "train.epochs is set and tuned"),
        ((), "no setting to tune"),
    ):
        done = skewless("tune", "tests.tasks.tiny", *arguments, "--data", str(tmp_path), root=tmp_path / "root")
        assert done.status == 2 and words in done.err, done.err
    assert not (tmp_path / "root" / "tiny").exists()
