"""The parts of a run's record, read from the components' artifacts."""

from __future__ import annotations

import datetime
import json
from typing import Any

from tfx.utils.io_utils import read_string_file

from components.executor import Artifacts
from components.release import pusher, skew_check
from components.release.evaluation import Evaluation
from components.release.evaluator import NO_BASELINE
from components.release.limits import metric_of
from components.review.record import Review
from components.task.task import Task
from components.training.trained_model import REPORT
from data.ingest.manifest import Manifest
from pipeline.report.record import DataSummary, EvaluationSummary, PushedVersion, RunRecord, TrainingSummary
from serving.parity.compare import Comparison


def read_data(examples: str) -> DataSummary:
    """Return the summary of an Examples artifact, given its folder."""
    return DataSummary.of_manifest(Manifest.load(examples), examples)


def read_training(model_run: str) -> TrainingSummary:
    """Return the Trainer's report, given the folder of its ModelRun artifact."""
    report = json.loads(read_string_file(f"{model_run}/{REPORT}"))
    return TrainingSummary.from_json(report | {"folder": model_run})


def summarize_evaluation(found: Evaluation, metric: str, no_baseline: str, folder: str) -> EvaluationSummary:
    """Return the summary of the Evaluator's results.

    Args:
      found: The results.
      metric: The metric that decides, by TFMA's name.
      no_baseline: Why there was no comparison with an earlier model; may be empty.
      folder: Of the ModelEvaluation artifact.
    """
    return EvaluationSummary(
        metric, found.baseline, no_baseline, found.metrics, found.confusion, found.calibration, folder, found.held_out
    )


def add_client_skew(record: RunRecord, review: Review) -> None:
    """Add what the review has measured of clients to a record, which has it with the gate's results."""
    if record.skew and review.proof:
        record.skew.client_skew = review.proof.costs


def collect_record(task: Task, inputs: Artifacts, review: Review) -> RunRecord:
    """Return the record of a run from the artifacts that ReportGen reads, without what only a runner knows.

    Args:
      task: The task.
      inputs: Artifacts by input key of ReportGen.
      review: What ReportGen has made of them.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    record = RunRecord(task.name, "", "", {}, "", now, exit_code=0)
    record.data = read_data(inputs["examples"][0].uri)
    record.training = read_training(inputs["model_run"][0].uri)
    metric, blessing = metric_of(task), inputs["model_blessing"][0]
    folder = inputs["evaluation"][0].uri
    found = Evaluation.load(folder, metric)
    record.evaluation = summarize_evaluation(found, metric, _text(blessing, NO_BASELINE), folder)
    record.blessed = bool(blessing.get_int_custom_property("blessed"))
    if record.blessed and inputs.get("infra_blessing"):
        record.skew = skew_check.read_report(inputs["infra_blessing"][0].uri)
    for pushed in inputs.get("pushed_model", ()):
        if pushed.get_int_custom_property("pushed"):
            record.pushed = PushedVersion(int(_text(pushed, "pushed_version")), _text(pushed, "pushed_destination"))
            if record.skew:
                record.skew.routes.append(Comparison.from_json(json.loads(_text(pushed, pusher.PROOF))))
    add_client_skew(record, review)
    record.status = "pushed" if record.pushed else "not pushed"
    return record


def _text(artifact: Any, name: str) -> str:
    return str(artifact.get_string_custom_property(name) or "")
