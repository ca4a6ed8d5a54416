"""The plan: which metric decides, which plans are refused, and which settings KerasTuner chooses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from components.task.reference import TaskReference
from components.task.task import Task
from components.tuning.plan import TuningPlan, make_oracle
from components.tuning.record import FAILED, TrialRecord, TuningRecord
from components.tuning.scoring import objective_of
from components.tuning.space import search_space
from components.tuning.tuner import TaskTuner
from data.errors import UsageError
from skewless import ConvNet
from tests.tasks.line import TASK as LINE
from tests.tasks.several import RECORDS as SEVERAL
from tests.tasks.tiny import TASK

NETWORK = dataclasses.replace(TASK, model=ConvNet(filters=(4,), dense=4))
RATE, DENSE = {"train.learning_rate": "1e-4..1:log"}, {"model.dense": "1..64"}


def _with(task: Task = NETWORK, **train: Any) -> Task:
    return dataclasses.replace(task, train=dataclasses.replace(task.train, **train))


# The score


@pytest.mark.parametrize(
    ("task", "text", "found"),
    [
        (TASK, "", ("val_accuracy", "max")),
        (SEVERAL, "", ("val_pr_auc", "max")),
        (LINE, "", ("val_mae", "min")),
        (TASK, "val_loss", ("val_loss", "min")),
        (TASK, "accuracy:min", ("accuracy", "min")),
        (_with(metrics=("auc", "mae(name='error')")), "val_auc", ("val_auc", "max")),
        (_with(metrics=("auc", "mae(name='error')")), "val_error", ("val_error", "min")),
        (_with(metrics=(keras.metrics.F1Score("macro"),)), "f1_score", ("f1_score", "max")),
        (
            _with(metrics=(keras.metrics.mean_absolute_error,)),
            "val_mean_absolute_error:min",
            ("val_mean_absolute_error", "min"),
        ),
    ],
)
def test_a_metric_of_the_training_decides(task: Task, text: str, found: tuple[str, str]) -> None:
    assert objective_of(task, text) == found


@pytest.mark.parametrize(
    ("task", "text", "words"),
    [
        (TASK, "val_acuracy", "no objective 'val_acuracy'. Did you mean 'val_accuracy'?"),
        (TASK, "val_loss:up", "--objective val_loss:up: expected NAME:max or NAME:min"),
        (
            _with(metrics=(keras.metrics.mean_absolute_error,)),
            "mean_absolute_error",
            "it is not known whether a higher",
        ),
    ],
)
def test_an_objective_that_cannot_decide(task: Task, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        objective_of(task, text)


# What is refused


@pytest.mark.parametrize(
    ("plan", "task", "words"),
    [
        (TuningPlan(RATE, algorithm="hyper"), NETWORK, "no algorithm 'hyper'. Did you mean 'hyperband'?"),
        (
            TuningPlan({"train.loss": "mse,mae"}, objective="val_loss"),
            LINE,
            "trials with another train.loss have another",
        ),
        (TuningPlan(RATE), _with(strategy="multi_worker"), "train.strategy=multi_worker cannot be tuned"),
        (TuningPlan(RATE), _with(data_service="grpc://a:1"), "train.data_service cannot be used by trials"),
        (TuningPlan({"train.epochs": "1,2"}, algorithm="hyperband"), NETWORK, "hyperband chooses train.epochs itself"),
        (
            TuningPlan({"train.fine_tune.epochs": "1,2"}, algorithm="hyperband"),
            NETWORK,
            "hyperband tunes one phase of training only",
        ),
        (TuningPlan(RATE, algorithm="grid"), NETWORK, "--algorithm grid has no end"),
        (TuningPlan(RATE, algorithm="bayesian", share=(0, 2)), NETWORK, "bayesian cannot have parallel trials"),
        (TuningPlan(RATE, algorithm="hyperband", share=(0, 2)), NETWORK, "hyperband cannot have parallel trials"),
    ],
)
def test_a_plan_that_does_not_fit_the_task(plan: TuningPlan, task: Task, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        plan.check(task)
    assert caught.value.hint


def test_a_plan_survives_the_json_of_a_component() -> None:
    """TFX sorts the keys of dictionaries; the order of the settings is the user's."""
    plan = TuningPlan({**RATE, **DENSE, "train.batch_size": "8,16"}, 7, "grid", "val_loss", (1, 3))
    config = plan.config(TaskReference(f"{__name__}:NETWORK"))
    found = TuningPlan.from_config(json.loads(json.dumps(config, sort_keys=True)))
    assert found == plan and list(found.over) == list(plan.over)
    depends = config["skewless"]["depends"]
    assert depends["tuning.trials"] == "7" and depends["tuning.algorithm"] == "grid"  # `why` of a second call


@pytest.mark.parametrize(
    ("plan", "count"),
    [
        (TuningPlan(RATE), 20),
        (TuningPlan(RATE, 3), 3),
        (TuningPlan({"model.dense": "1,2,3"}), 3),
        (TuningPlan({"model.dense": "1,2,3", "train.epochs": "1..5"}, algorithm="grid"), 15),
        (TuningPlan({"model.dense": "1,2,3"}, 2, "grid"), 2),
        (TuningPlan(RATE, algorithm="hyperband"), None),
    ],
)
def test_the_number_of_trials_is_known_beforehand(plan: TuningPlan, count: int | None) -> None:
    assert plan.count(NETWORK) == count


# What is chosen, with a function in the place of the training


class Computed:
    """Trials whose score is a function of their settings."""

    def __init__(self, score: Callable[[dict[str, str]], float]) -> None:
        self.objective, self._score = "val_accuracy", score
        self.records: list[TrialRecord] = []

    def outcome(self, number: int, settings: dict[str, str]) -> TrialRecord:
        score = self._score(settings)
        found = TrialRecord(number, settings, score=score) if math.isfinite(score) else None
        self.records.append(found or TrialRecord(number, settings, FAILED, error="infinite"))
        return self.records[-1]

    def clear(self) -> None:
        pass


def _searched(
    folder: Path, plan: TuningPlan, score: Callable[[dict[str, str]], float], task: Task = NETWORK
) -> list[TrialRecord]:
    plan.check(task)
    space, trials = search_space(task, plan.over), Computed(score)
    search = TaskTuner(make_oracle(plan, task, space), str(folder / "scratch"), trials, space, plan)  # type: ignore[arg-type]
    search.results = str(folder)
    search.record = TuningRecord("t", "val_accuracy", "max", plan.algorithm, dict(plan.over), trials.records)
    search.search()
    assert TuningRecord.read(str(folder)).trials == trials.records
    return trials.records


def _peak(settings: dict[str, str]) -> float:
    """Highest, 1, at a learning rate of 0.01 and 40 units."""
    return (
        1 - (math.log10(float(settings["train.learning_rate"])) + 2) ** 2 - (int(settings["model.dense"]) / 40 - 1) ** 2
    )


def test_a_grid_is_every_combination_once(tmp_path: Path) -> None:
    over = {"model.filters": "4|4,8", "train.epochs": "1..5:2", "train.learning_rate": "0.1..0.3:0.1"}
    found = _searched(tmp_path, TuningPlan(over, algorithm="grid"), lambda _: 0.5)
    wanted = itertools.product(("4", "4,8"), ("1", "3", "5"), ("0.1", "0.2", "0.3"))
    assert sorted(tuple(one.settings.values()) for one in found) == sorted(wanted)
    assert [one.number for one in found] == list(range(1, 19))


def test_the_seed_of_the_task_is_that_of_the_search(tmp_path: Path) -> None:
    plan = TuningPlan({**RATE, **DENSE}, 6)
    first, again, other = (
        [one.settings for one in _searched(tmp_path, plan, _peak, _with(seed=seed))] for seed in (0, 0, 1)
    )
    assert first == again and not any(one in first for one in other)
    longer = _searched(tmp_path, dataclasses.replace(plan, trials=9), _peak, _with(seed=0))
    assert [one.settings for one in longer[:6]] == first


def test_a_bayesian_search_finds_the_best_rate_and_chooses_the_same_again(tmp_path: Path) -> None:
    """A random trial hits the score with a probability of 5 %. The results of a killed search are found again."""
    plan = TuningPlan(RATE, 9, "bayesian")

    def score(settings: dict[str, str]) -> float:
        return 1 - (math.log10(float(settings["train.learning_rate"])) + 2) ** 2

    first, again = (_searched(tmp_path, plan, score) for _ in range(2))
    assert max(one.score or 0.0 for one in first) > 0.99
    assert first == again


def test_hyperband_gives_more_epochs_to_the_better_ones(tmp_path: Path) -> None:
    found = _searched(
        tmp_path,
        TuningPlan(RATE, algorithm="hyperband"),
        lambda one: -abs(float(one["train.learning_rate"]) - 0.01),
        _with(epochs=9),
    )
    by_epochs: dict[str, list[TrialRecord]] = {}
    for one in found:
        by_epochs.setdefault(one.settings["train.epochs"], []).append(one)
    assert set(by_epochs) == {"1", "3", "9"}
    rates = {epochs: [one.settings["train.learning_rate"] for one in some] for epochs, some in by_epochs.items()}
    better = sorted(by_epochs["1"], key=lambda one: -(one.score or 0.0))[:3]
    assert {one.settings["train.learning_rate"] for one in better} <= {*rates["3"], *rates["9"]}
    assert len(_searched(tmp_path, TuningPlan(RATE, 4, "hyperband"), lambda _: 0.5, _with(epochs=9))) == 4


def test_a_failed_trial_is_no_result(tmp_path: Path) -> None:
    """A search whose trials fail at high rates goes on, and the best one is one that finished."""

    def score(settings: dict[str, str]) -> float:
        rate = float(settings["train.learning_rate"])
        return math.nan if rate > 0.1 else -math.log10(rate)

    found = _searched(tmp_path, TuningPlan(RATE, 6, "bayesian"), score)
    assert {one.state for one in found} == {"finished", "failed"} and len(found) == 6
    assert float(TuningRecord.read(str(tmp_path)).ranked[0].settings["train.learning_rate"]) <= 0.1


@pytest.mark.parametrize("plan", [TuningPlan(RATE, 7), TuningPlan({"model.dense": "1..7"}, algorithm="grid")])
def test_several_tuners_share_the_trials_of_one(plan: TuningPlan, tmp_path: Path) -> None:
    whole = _searched(tmp_path, plan, lambda _: 0.5)
    shares = [_searched(tmp_path, dataclasses.replace(plan, share=(one, 3)), lambda _: 0.5) for one in range(3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert sorted(itertools.chain(*shares), key=lambda one: one.number) == whole


def test_what_the_tuner_of_tfx_writes_is_what_was_trained(tmp_path: Path) -> None:
    """Its file of hyperparameters has the rounded values; KerasTuner reads it."""
    from keras_tuner import HyperParameters
    from tfx.components.tuner import executor

    plan = TuningPlan({**RATE, "model.dense": "8,16"}, 5)
    space, trials = search_space(NETWORK, plan.over), Computed(lambda one: 1 - float(one["train.learning_rate"]))
    search = TaskTuner(make_oracle(plan, NETWORK, space), str(tmp_path / "scratch"), trials, space, plan)  # type: ignore[arg-type]
    search.results = str(tmp_path)
    search.record = TuningRecord("t", "val_accuracy", "max", "random", dict(plan.over), trials.records)
    search.search()
    outputs = {key: [SimpleNamespace(uri=str(tmp_path))] for key in ("best_hyperparameters", "tuner_results")}
    executor.write_best_hyperparameters(search, outputs)
    best = search.record.ranked[0].settings
    config = json.loads((tmp_path / "best_hyperparameters.txt").read_text())
    values = HyperParameters.from_config(config).values
    assert values == {
        "train.learning_rate": float(best["train.learning_rate"]),
        "model.dense": int(best["model.dense"]),
    }
    rows = json.loads((tmp_path / "tuner_results.json").read_text())
    assert [row["train.learning_rate"] for row in rows] == [
        float(one.settings["train.learning_rate"]) for one in search.record.ranked
    ]
