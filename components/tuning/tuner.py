"""The Tuner: TFX's component with KerasTuner's search over the settings of a task.

KerasTuner chooses the settings of each trial; the trial itself is the Trainer's training.
"""

from __future__ import annotations

import posixpath
import tempfile
from typing import Any

from keras_tuner import Oracle
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FailedTrialError, FatalError
from tfx import types
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import Tuner as TfxTuner
from tfx.components.tuner.component import TunerFnResult
from tfx.components.tuner.executor import Executor
from tfx.dsl.components.base import executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_component_specs

from components.executor import ComponentExecutor, Execution
from components.task.reference import KEY, TaskReference, task_of
from components.tuning.plan import EPOCHS, TuningPlan, make_oracle
from components.tuning.record import TuningRecord
from components.tuning.scoring import objective_of
from components.tuning.space import Dimension, search_space
from components.tuning.trials import Trials
from data.errors import QualityError, SkewlessError

_FOLDERS = "folders"  # key of `_folders` in the custom_config that `tuner_fn` gets
_OF_HYPERBAND = "tuner/epochs"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Return the search for a task; TFX's entry point.

    Args:
      fn_args: Patterns of the shards, the TransformGraph, the schema, and the `custom_config` of a `TuningPlan`.
    """
    config = fn_args.custom_config
    plan, task, folders = TuningPlan.from_config(config), task_of(config), config[_FOLDERS]
    space = search_space(task, plan.over)
    name, direction = objective_of(task, plan.objective)
    reference = TaskReference(config[KEY]["task"], config[KEY]["settings"])
    trials = Trials(
        reference, fn_args, folders["trials"], name, direction, plan.count(task), plan.algorithm == "hyperband"
    )
    search = TaskTuner(make_oracle(plan, task, space), folders["scratch"], trials, space, plan)
    search.record = TuningRecord(task.name, name, direction, plan.algorithm, dict(plan.over), trials.records)
    search.results = folders["results"]
    return TunerFnResult(search, {})


class TaskTuner(BaseTuner):
    """KerasTuner's loop over the trials of a task."""

    record: TuningRecord
    results: str

    def __init__(self, oracle: Oracle, scratch: str, trials: Trials, space: list[Dimension], plan: TuningPlan) -> None:
        """Create the search.

        Args:
          oracle: Chooses the values of each trial.
          scratch: Local folder for KerasTuner's own files, which nobody reads.
          trials: Trains them, or knows their results.
          space: The settings to tune.
          plan: With the share of the trials that this Tuner trains.
        """
        super().__init__(oracle, directory=scratch, overwrite=True)
        self._trials, self._space, self._plan = trials, space, plan

    def run_trial(self, trial: Trial, *_: Any, **__: Any) -> dict[str, float]:
        """Return the score of a trial.

        Raises:
          FailedTrialError: If it failed, or is another Tuner's.
          FatalError: To end the search; its cause is the reason.
        """
        number = int(trial.trial_id)
        mine, tuners = self._plan.share
        if number % tuners != mine:
            raise FailedTrialError("another Tuner's")
        try:
            outcome = self._trials.outcome(number + 1, self._settings(trial))
        except SkewlessError as error:
            raise FatalError(str(error)) from error
        if outcome.score is None:
            raise FailedTrialError(outcome.error)
        return {self._trials.objective: outcome.score}

    def _settings(self, trial: Trial) -> dict[str, str]:
        values = trial.hyperparameters.values
        found = {one.key: one.text(values[one.key]) for one in self._space}
        return {**found, EPOCHS: str(values[_OF_HYPERBAND])} if _OF_HYPERBAND in values else found

    def on_search_end(self) -> None:
        """Write the record, and give TFX the values that the trials were trained with: rounded ones.

        Raises:
          QualityError: If no trial finished.
        """
        for trial in self.oracle.trials.values():
            settings = self._settings(trial)
            trial.hyperparameters.values.update({one.key: one.value(settings[one.key]) for one in self._space})
        self._trials.clear()
        if self._plan.share[1] == 1:
            check_finished(self.record)
        self.record.write(self.results)

    def save(self) -> None:
        """Write nothing: `Trials` keeps what a search called again needs."""


def check_finished(record: TuningRecord) -> None:
    """Check that a tuning has a result.

    Raises:
      QualityError: If no trial finished.
    """
    if not record.ranked:
        reason = record.trials[-1].error if record.trials else "there was none"
        raise QualityError(f"no trial finished; the last one: {reason}", hint="Tune over other values.")


class TunerExecutor(ComponentExecutor, Executor):
    """TFX's executor, which calls `tuner_fn` and writes the best hyperparameters and all results."""

    def execute(self, execution: Execution) -> None:
        """Run the search; the trials are kept next to the outputs of all Tuners.

        Raises:
          SkewlessError: If no trial finished, or the first ones failed.
        """
        results = execution.output(standard_component_specs.TUNER_RESULTS_KEY)
        trials = posixpath.join(posixpath.dirname(posixpath.dirname(results.uri)), "trials")
        with tempfile.TemporaryDirectory() as scratch:
            folders = {"trials": trials, "scratch": scratch, "results": results.uri}
            try:
                self.run_stock(execution.with_config(**{_FOLDERS: folders}))
            except FatalError as error:
                raise error.__cause__ or error from None
        TuningRecord.read(results.uri).describe(results)


class Tuner(TfxTuner):
    """TFX's component with that executor."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TunerExecutor)


def tuner(
    examples: types.Channel, transform_graph: types.Channel, schema: types.Channel, config: dict[str, Any]
) -> Tuner:
    """Return the component; `config` is from `TuningPlan.config`."""
    return Tuner(
        tuner_fn=f"{__name__}.tuner_fn",
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=config,
    )
