"""Trials that really train, on the artifacts of a real run."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.progress import LOGGER
from components.task.reference import TaskReference
from components.training.checkpoints import Checkpoints
from components.training.replicas import Replicas
from components.training.trainer import train_model
from components.tuning.plan import TuningPlan
from data.errors import QualityError
from skewless import ConvNet
from tests.components.tuning.conftest import Search
from tests.tasks.tiny import TASK

TINY, HERE = "tests.tasks.tiny:TASK", __name__
NETWORK = dataclasses.replace(TASK, model=ConvNet(filters=(4,), dense=4))  # pictures of 8x8 pixels


def _trained(digit_named: SimpleNamespace, folder: Path, settings: dict[str, str]) -> dict[str, list[float]]:
    """Return the history of a training by itself."""
    arguments = SimpleNamespace(
        train_files=[f"{digit_named.examples}/Split-train/*"],
        schema_path=f"{digit_named.schema}/schema.pbtxt",
        transform_output=digit_named.transform,
        model_run_dir=str(folder),
    )
    task = TaskReference(TINY, settings).load()
    found = train_model(task, arguments, Replicas(), Checkpoints(str(folder / "checkpoints")))[-1]
    return found["history"]


def _epochs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the trial and the number of each epoch that was trained: "trial 1/3 1/2"."""
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER.name]
    return [f"{line[:9]} {line.split('epoch ')[1].split()[0]}" for line in lines if "  epoch " in line]


def test_a_trial_is_a_training_with_its_settings_and_is_never_repeated(
    search: Search, digit_named: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    over = {"train.batch_size": "8,16", "train.optimizer": "adam, sgd(momentum=0.9)"}
    plan = TuningPlan(over, algorithm="grid", trials=3)
    first = search(TINY, plan, train__epochs="2")
    assert [one.settings["train.optimizer"] for one in first.trials] == ["adam", "sgd(momentum=0.9)", "adam"]
    assert _epochs(caplog) == [f"trial {trial}/3 {epoch}/2" for trial in (1, 2, 3) for epoch in (1, 2)]
    second = first.trials[1]  # it has the data of the first one
    alone = _trained(digit_named, tmp_path / "alone", {"train.epochs": "2", **second.settings})
    assert second.history.keys() == alone.keys() and second.score == second.history["val_accuracy"][-1]
    for name, values in alone.items():
        assert second.history[name] == pytest.approx(values, rel=1e-6)
    caplog.clear()
    longer = search(TINY, dataclasses.replace(plan, trials=None), train__epochs="2")
    assert _epochs(caplog) == ["trial 4/4 1/2", "trial 4/4 2/2"]
    assert longer.trials[:3] == first.trials
    caplog.clear()
    by_loss = search(TINY, dataclasses.replace(plan, objective="val_loss"), train__epochs="2")
    assert _epochs(caplog) == [] and by_loss.direction == "min"
    assert [one.score for one in by_loss.trials] == [one.history["val_loss"][-1] for one in first.trials]
    assert by_loss.ranked[0].score == min(one.history["val_loss"][-1] for one in first.trials)


def test_hyperband_continues_a_training_with_more_epochs(
    search: Search, digit_named: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first bracket of at most 3 epochs: the best of three trials with 1 epoch is promoted."""
    caplog.set_level(logging.INFO)
    plan = TuningPlan({"train.learning_rate": "0.001..0.1:log"}, 4, "hyperband")
    found = search(TINY, plan, train__epochs="3")
    *short, promoted = found.trials
    assert [one.epochs for one in found.trials] == [1, 1, 1, 3]
    rate = promoted.settings["train.learning_rate"]
    assert rate in [one.settings["train.learning_rate"] for one in short]
    assert _epochs(caplog) == [*(f"trial {n}/4 1/1" for n in (1, 2, 3)), "trial 4/4 2/3", "trial 4/4 3/3"]
    alone = _trained(digit_named, tmp_path / "alone", {"train.epochs": "3", "train.learning_rate": rate})
    for name, values in alone.items():
        assert promoted.history[name] == pytest.approx(values, rel=1e-5)
    assert not list((tmp_path / "trials").glob("*/checkpoints"))


def test_a_trial_that_fails_leaves_the_others_alone(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    # At 3e38 one step of Adam makes the difference of two logits overflow, even of a network whose units are all dead.
    over = {"model.filters": "4,4,4|4", "train.learning_rate": "1e-2,3e38"}
    found = search(f"{HERE}:NETWORK", TuningPlan(over, algorithm="grid"))
    assert [one.state for one in found.trials] == ["failed", "failed", "finished", "failed"]
    assert "pictures of 8x8 are too small for 3 blocks" in found.trials[0].error
    assert "the training diverged" in found.trials[3].error
    assert found.ranked == [found.trials[2]] and found.trials[2].settings["model.filters"] == "4"
    again = search(f"{HERE}:NETWORK", TuningPlan(over, algorithm="grid"))
    assert again == found


def test_a_search_in_which_nothing_works_ends_early(search: Search) -> None:
    over = {"model.filters": "4,4,4|8,8,8", "model.dense": "4,8"}
    with pytest.raises(
        QualityError, match="the first 3 trials failed, the last one with: pictures of 8x8 are too"
    ) as caught:
        search(f"{HERE}:NETWORK", TuningPlan(over, algorithm="grid"))
    assert "--set model.filters=8,8,8 --set model.dense=4" in caught.value.hint
    with pytest.raises(QualityError, match="no trial finished; the last one: pictures of 8x8 are too small"):
        search(f"{HERE}:NETWORK", TuningPlan({"model.filters": "4,4,4|8,8,8"}, algorithm="grid"))


def test_the_score_is_of_the_weights_that_are_exported(search: Search) -> None:
    plan = TuningPlan({"train.learning_rate": "0.2,0.3"}, trials=1)
    (one,) = search(TINY, plan, train__epochs="4", train__keep="best").trials
    losses = one.history["val_loss"]
    assert one.best_epoch == losses.index(min(losses)) + 1
    assert one.score == one.history["val_accuracy"][one.best_epoch - 1]
