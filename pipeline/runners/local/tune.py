"""A tuning of a task on this machine, one trial after the other."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from rich.console import Console

from components.task.reference import TaskReference
from components.tuning.plan import TuningPlan
from components.tuning.record import TuningRecord
from pipeline import graph
from pipeline.paths import Paths
from pipeline.report.display import Display
from pipeline.report.metadata import Metadata
from pipeline.report.record import ComponentRun, RunRecord
from pipeline.runners import beam
from pipeline.runners.local import dag_runner
from pipeline.runners.local.observer import ComponentError, describe_end
from pipeline.runners.local.run import prepared_run, recorded_outcome

log = logging.getLogger(__name__)


def run_tuning(
    reference: TaskReference,
    plan: TuningPlan,
    *,
    data: str | None,
    paths: Paths,
    beam_args: Sequence[str],
    run_id: str,
    log_file: str,
    console: Console,
    metadata: str | None = None,
) -> TuningRecord:
    """Prepare the data as a run does, and train the trials; those of earlier calls are not trained again.

    Args:
      reference: The task and the settings of all trials.
      plan: What to tune.
      data: The data folder; None for a task that has its own data.
      paths: The task's folders. The record is written into that of the run, and as the task's latest.
      beam_args: Beam's arguments for every component; the local runner's if empty.
      run_id: Name of the run.
      log_file: Path of the log.
      console: A console on the terminal.
      metadata: Where ML Metadata is, see `pipeline.metadata_store`; None: the task's own file.

    Raises:
      SkewlessError: If the plan does not fit the task, or no trial finished.
    """
    task = reference.load()
    plan.check(task)
    with prepared_run(task, data, paths, metadata) as (store, folder):
        started = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        run = RunRecord(task.name, run_id, folder, dict(reference.settings), log_file, started)
        with Display(console) as display, recorded_outcome(run):
            observer = TuningObserver(store, run, display)
            pipeline = graph.build_tuning_pipeline(
                reference, folder, paths, list(beam_args or beam.DIRECT), plan, metadata=store
            )
            dag_runner.run_dag(pipeline, observer)
        found = TuningRecord.read(observer.results)
        found.write(paths.run(run_id))
        found.write(paths.folder)
    return found


class TuningObserver:
    """A `pipeline.runners.local.dag_runner.RunObserver` of a tuning.

    Attributes:
      results: Folder of the Tuner's results, once it has ended.
    """

    def __init__(self, store: ConnectionConfig, run: RunRecord, display: Display) -> None:
        """Create the observer.

        Args:
          store: The connection to ML Metadata.
          run: Gets the components; it is not saved: the task's latest run stays the one whose model is served.
          display: The terminal.
        """
        self._store, self._run, self._display = store, run, display
        self.results = ""

    def skips(self, component: str) -> bool:
        """Return that all components run."""
        return False

    def started(self, component: str) -> None:
        """Show that a component runs."""
        self._display.started(component)

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        """Show that a component ended.

        Raises:
          ComponentError: If TFX did not run it.
        """
        if execution_id is None:
            raise ComponentError(f"{component} was skipped: TFX found no inputs for it")
        metadata = Metadata(self._store)
        state, why = metadata.state(execution_id), metadata.why(execution_id)
        self._run.components.append(ComponentRun(component, state, why, round(seconds, 2), execution_id))
        self._display.done(component, state, why, seconds)
        if state == "failed":  # TFX's launcher does not raise if it cannot resolve the inputs
            raise ComponentError(f"{component} failed: TFX could not resolve its inputs")
        if component == "Tuner":
            self.results = metadata.outputs(execution_id)["tuner_results"].uri

    def failed(self, component: str, seconds: float) -> None:
        """Show that a component raised, or that the user interrupted it."""
        why = describe_end()
        self._run.components.append(ComponentRun(component, "failed", why, round(seconds, 2)))
        self._display.done(component, "failed", why, seconds)
