"""The observer of a local run: shows each component, and fills the record from its outputs."""

from __future__ import annotations

import json
import sys
import time

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

from components.release import pusher, skew_check
from components.release.evaluation import Evaluation, check_quality
from components.release.evaluator import NO_BASELINE
from components.release.limits import metric_of
from components.release.served_folder import push_model, versions
from components.review.record import Review
from components.review.report_gen import ReportGen
from components.task.task import Task
from data.errors import QualityError, SkewError, SkewlessError
from pipeline.paths import Paths
from pipeline.report.collect import add_client_skew, read_data, read_training, summarize_evaluation
from pipeline.report.display import Display
from pipeline.report.metadata import Metadata, Outputs
from pipeline.report.record import ComponentRun, PushedVersion, RunRecord, write_record
from pipeline.report.skew import first_fault
from serving.parity.compare import Comparison

REPORT_GEN = ReportGen.__name__


class ComponentError(SkewlessError):
    """A component that failed for a reason that the user did not cause; the log has the traceback."""


def describe_end() -> str:
    """Return "interrupted" while the user's Ctrl-C is handled; "" for other exceptions: an error says more."""
    return "interrupted" if isinstance(sys.exc_info()[1], KeyboardInterrupt) else ""


class RecordingObserver:
    """A `pipeline.runners.local.dag_runner.RunObserver` that keeps the display and the record up to date."""

    def __init__(self, task: Task, paths: Paths, store: ConnectionConfig, record: RunRecord, display: Display) -> None:
        """Create the observer of one run.

        Args:
          task: The task that runs.
          paths: Its folders.
          store: The connection to ML Metadata.
          record: To be filled and saved.
          display: The terminal.
        """
        self._task, self._paths, self._store, self._record, self._display = task, paths, store, record, display
        self._skew_folder = ""
        self._rejection: SkewlessError | None = None
        self._readers = {
            "ExampleGen": self._read_data,
            "Trainer": self._read_training,
            "Evaluator": self._read_evaluation,
            "SkewGate": self._read_skew,
            "Pusher": self._read_push,
            REPORT_GEN: self._read_review,
        }

    def skips(self, component: str) -> bool:
        """Return whether the model is rejected: then only the page is still to draw."""
        return self._rejection is not None and component != REPORT_GEN

    def conclude(self) -> None:
        """End the run.

        Raises:
          QualityError: If the Evaluator did not bless the model.
          SkewError: If the skew gate did not bless it.
        """
        if self._rejection is not None:
            raise self._rejection

    def started(self, component: str) -> None:
        """Show that a component runs."""
        self._display.started(component)

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        """Record a component that ended without an exception, and save the record.

        Raises:
          ComponentError: If TFX did not run it.
          SkewError: If the pushed version differs.
        """
        if execution_id is None:
            raise ComponentError(f"{component} was skipped: TFX found no inputs for it")
        metadata = Metadata(self._store)
        state = metadata.state(execution_id)
        if component == "Baseline":
            state, why = "executed" if state == "cached" else state, "looks up the latest blessed model"
        else:
            why = metadata.why(execution_id)
        entry = ComponentRun(component, state, why, round(seconds, 2), execution_id)
        self._record.components.append(entry)
        try:
            if state == "failed":  # TFX's launcher does not raise if it cannot resolve the inputs
                raise ComponentError(f"{component} failed: TFX could not resolve its inputs")
            if component in self._readers:
                self._readers[component](metadata.outputs(execution_id))
        finally:
            self._display.done(component, entry.state, entry.why, seconds)
        self.save()

    def failed(self, component: str, seconds: float) -> None:
        """Record a component that raised, or that the user interrupted."""
        why = describe_end()
        self._record.components.append(ComponentRun(component, "failed", why, round(seconds, 2)))
        self._display.done(component, "failed", why, seconds)

    def save(self) -> None:
        """Write the record, of this run and as the task's latest."""
        write_record(self._record, f"{self._paths.run(self._record.run_id)}/run.json", self._paths.latest)

    def _read_data(self, outputs: Outputs) -> None:
        self._record.data = read_data(outputs["examples"].uri)

    def _read_training(self, outputs: Outputs) -> None:
        self._record.training = read_training(outputs["model_run"].uri)

    def _read_evaluation(self, outputs: Outputs) -> None:
        metric, properties = metric_of(self._task), outputs["blessing"].custom_properties
        folder = outputs["evaluation"].uri
        found = Evaluation.load(folder, metric)
        no_baseline = properties[NO_BASELINE].string_value
        self._record.blessed = properties["blessed"].int_value == 1
        self._record.evaluation = summarize_evaluation(found, metric, no_baseline, folder)
        try:
            check_quality(found, self._task, self._record.blessed)
        except QualityError as error:
            self._rejection = error

    def _read_skew(self, outputs: Outputs) -> None:
        self._skew_folder = outputs["blessing"].uri
        self._record.skew = skew_check.read_report(self._skew_folder)
        if not self._record.skew.passed:
            served = versions(self._paths.serving)[-1:]
            self._rejection = SkewError(
                f"not pushed: {first_fault(self._record.skew)}",
                hint=f"Version {served[0]} keeps serving." if served else "No version is served yet.",
            )

    def _read_review(self, outputs: Outputs) -> None:
        self._record.review = outputs["review"].uri
        add_client_skew(self._record, Review.read(self._record.review))

    def _read_push(self, outputs: Outputs) -> None:
        """Record the pushed version; push it again if it is not the one being served.

        A Pusher from the cache does not know that another model was pushed since, or that the folder was emptied.
        """
        pushed, serving = outputs["pushed_model"], self._paths.serving
        route = Comparison.from_json(json.loads(pushed.custom_properties[pusher.PROOF].string_value))
        version = int(pushed.custom_properties["pushed_version"].string_value)
        served = versions(serving)[-1:]
        if served != [version]:
            path, version = push_model(pushed.uri, serving, time.time())
            route = pusher.prove_pushed(self._skew_folder, path)
        if served != [version]:
            entry = self._record.components[-1]
            entry.state, entry.why = "executed", "it was not the one being served"
        assert self._record.skew is not None, "the skew gate runs before the Pusher"
        self._record.skew.routes.append(route)
        self._record.pushed = PushedVersion(version, f"{serving}/{version}")
