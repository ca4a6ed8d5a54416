"""The plan of a tuning: what is tuned, how many trials there are, and how their settings are chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.task.reference import KEY, TaskReference
from components.task.task import Task
from components.tuning.scoring import check_comparable, objective_of
from components.tuning.space import PARTS, Dimension, search_space, space_size
from data.errors import UsageError, unknown

if TYPE_CHECKING:
    from keras_tuner import Oracle

ALGORITHMS = ("random", "bayesian", "hyperband", "grid")
INDEPENDENT = ("random", "grid")
"""Algorithms that choose the settings of a trial without the scores of those before it."""
TRIALS = 20  # of a random or Bayesian search without --trials
EPOCHS = "train.epochs"
PLAN = "tuning"  # key of the plan in a component's custom_config
_UNLIMITED = 10_000  # more trials than any hyperband search has
_NO_LIMIT = 10**9  # failed trials in a row, after which KerasTuner gives up: `components.tuning.trials` decides


@dataclass(frozen=True)
class TuningPlan:
    """The plan of a tuning.

    Attributes:
      over: The values to try by setting, as `--over` takes them.
      trials: Largest number of trials; None: 20, for "grid" all combinations, and for "hyperband" what it needs.
      algorithm: One of `ALGORITHMS`.
      objective: Metric that decides, "val_accuracy"; with ":max" or ":min" if Keras does not know whether higher is
        better; empty: the main metric of the task's label on the evaluation split.
      share: Number of this Tuner, from 0, and number of Tuners that share the trials.
    """

    over: Mapping[str, str]
    trials: int | None = None
    algorithm: str = "random"
    objective: str = ""
    share: tuple[int, int] = field(default=(0, 1))

    def config(self, reference: TaskReference) -> dict[str, Any]:
        """Return the `custom_config` of a Tuner for the task.

        Raises:
          UsageError: If the plan does not fit the task.
        """
        self.check(reference.load())
        found = reference.config("feature", "label", *PARTS)
        plan = {
            **dataclasses.asdict(self),
            "over": [list(pair) for pair in self.over.items()],
            "share": list(self.share),
        }
        found[KEY]["depends"].update({f"{PLAN}.{name}": str(value) for name, value in plan.items()})
        return {**found, PLAN: plan}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TuningPlan:
        """Return the plan in a `custom_config`."""
        found = config[PLAN]
        over = dict(found["over"])  # a list there: TFX sorts the keys of dictionaries
        return cls(**{**found, "over": over, "share": tuple(found["share"])})

    def check(self, task: Task) -> None:
        """Check the plan.

        Raises:
          UsageError: If a setting or its values are wrong, or the algorithm cannot tune them.
        """
        space = search_space(task, self.over)
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", self.algorithm, ALGORITHMS)
        name, _ = objective_of(task, self.objective)
        check_comparable(name, self.over)
        if task.train.strategy == "multi_worker":
            raise UsageError(
                "train.strategy=multi_worker cannot be tuned: a trial trains on one machine",
                hint="Tune with --set train.strategy=none or mirrored.",
            )
        if task.train.data_service:
            raise UsageError(
                "train.data_service cannot be used by trials: each reads the data itself",
                hint="Tune with --set train.data_service=",
            )
        if self.algorithm == "hyperband":
            self._check_hyperband(task)
        if self.share[1] > 1 and self.algorithm not in INDEPENDENT:
            raise UsageError(
                f"--algorithm {self.algorithm} cannot have parallel trials: it chooses each from the scores before it",
                hint=f"Use --algorithm {' or '.join(INDEPENDENT)}, or leave --parallel out.",
            )
        if self.algorithm == "grid" and self.trials is None and space_size(space) is None:
            raise UsageError(
                "--algorithm grid has no end: a range of numbers without a step has any number of values",
                hint="Give the range a step (LOW..HIGH:STEP), or a number of --trials.",
            )

    def _check_hyperband(self, task: Task) -> None:
        if EPOCHS in self.over:
            raise UsageError(
                f"--algorithm hyperband chooses {EPOCHS} itself", hint=f"Set the largest number: --set {EPOCHS}=N"
            )
        if task.train.fine_tune.epochs or any(key.startswith("train.fine_tune.") for key in self.over):
            raise UsageError(
                "--algorithm hyperband tunes one phase of training only",
                hint="Leave the second phase out: --set train.fine_tune.epochs=0",
            )

    def count(self, task: Task) -> int | None:
        """Return the number of trials; None if only the search itself finds out."""
        if self.algorithm == "hyperband":
            return self.trials
        size = space_size(search_space(task, self.over))
        most = self.trials or (size if self.algorithm == "grid" else TRIALS)
        return most if size is None else min(most or size, size)


def make_oracle(plan: TuningPlan, task: Task, space: list[Dimension]) -> Oracle:
    """Return KerasTuner's oracle, which chooses the settings of each trial.

    The seed of the training is that of the search, too: `--set train.seed=1` gives another search.
    """
    import keras_tuner

    name, direction = objective_of(task, plan.objective)
    values = keras_tuner.HyperParameters()
    for dimension in space:
        dimension.declare(values)
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(name, direction),
        "hyperparameters": values,
        "seed": task.train.seed + 1,  # 0 would be a random seed
        "max_consecutive_failed_trials": _NO_LIMIT,
    }
    if plan.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=task.train.epochs, **common)
        oracle.max_trials = plan.trials or _UNLIMITED  # TFX's Tuner asks for so many results
    else:
        kinds = {
            "random": keras_tuner.oracles.RandomSearchOracle,
            "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
            "grid": keras_tuner.oracles.GridSearchOracle,
        }
        oracle = kinds[plan.algorithm](max_trials=plan.count(task), **common)
    oracle.verbose = 0
    return oracle
