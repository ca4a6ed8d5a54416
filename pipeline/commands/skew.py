"""`skewless skew`: the proof on a finished run, or on any SavedModel, for the terminal."""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from rich.console import Console

from data.errors import DataError, SkewError, UsageError
from pipeline.paths import Paths
from pipeline.report import skew as report
from serving.diagnosis import diagnose
from serving.engines import installed_binary
from serving.graph import checks
from serving.parity.live_server import start_live_server
from serving.parity.proof import Difference, Sample, compare_routes
from serving.signatures import DEFAULT, EXAMPLES

if TYPE_CHECKING:
    from components.task.reference import TaskReference

EMBEDDED = "the embedded one"


@dataclass(frozen=True)
class SkewOptions:
    """What a user asked of a SavedModel, as it was typed.

    Attributes:
      model: folder of the SavedModel.
      files: TFRecords of tf.Examples, gzipped if they end in .gz, or folders of such files.
      feature: of the examples, what `serving_default` takes; empty for the usual ones.
      limit: records at most.
    """

    model: str
    files: Sequence[str]
    feature: str
    limit: int


def prove_model(question: SkewOptions) -> None:
    """Compares the routes of a SavedModel, of which no more is known than its signatures.

    Raises:
      SkewError: two of them differ.
      DataError: there are no records.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    records, program = _records(question), installed_binary()

    def explain(difference: Difference) -> dict[str, Any]:
        fault = diagnose.diagnose(difference, None)
        return {**vars(fault), "route": difference.served.route, "why": "", "source": ""}

    with Console(stderr=True).status("") as status, start_live_server(question.model, (program,) if program else ()) as server:
        sample = Sample(records, question.feature)
        routes, fault = compare_routes(question.model, server, sample, status.update, explain)
    graph = checks.random_ops(question.model, (DEFAULT, EXAMPLES))
    _tell(
        {
            "passed": not graph and not any(one.fault for one in routes),
            "records": len(records),
            "server": program or EMBEDDED,
            "reference": routes[0].reference,
            "tolerance": routes[0].tolerance,
            "routes": [one.to_dict() for one in routes],
            "structure": [vars(one) for one in graph],
            "diagnosis": fault,
        }
    )


def prove_task(path: str, paths: Paths, assignments: Mapping[str, str], metadata: str | None = None) -> None:
    """Runs the gate again on what the last run of a task left, its pushed version included.

    Args:
      path: of the task.
      paths: of its runs.
      assignments: settings beside those of that run.
      metadata: of ML Metadata, as that run was given it.

    Raises:
      SkewError: a route differs from training's.
      UsageError: there is no run that got as far as a model, or the task's feature, label or model changed since.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with Console(stderr=True).status("loading TensorFlow and TFX") as status:
        from components.release import skew_check
        from components.task.reference import TaskReference

        record = _last(paths)
        reference = TaskReference(path, {**record["settings"], **assignments})
        folder = posixpath.join(paths.run(record["run_id"]), "skew")
        artifacts = _artifacts(record, paths, metadata, reference)
        skew = skew_check.check_skew(reference.load(), artifacts, folder, status.update).to_dict()
        if record["pushed"] and tf.io.gfile.isdir(record["pushed"]["path"]):
            status.update("through the pushed version")
            pushed = skew_check.check_pushed(folder, record["pushed"]["path"]).to_dict()
            skew |= {"routes": [*skew["routes"], pushed], "passed": skew["passed"] and not pushed["fault"]}
    _tell(skew)


def _last(paths: Paths) -> dict[str, Any]:
    """The record of the latest run."""
    if not tf.io.gfile.exists(paths.latest):
        raise UsageError(f"no run of '{paths.task}' in {paths.folder}", hint=f"First: skewless run {paths.task}")
    with tf.io.gfile.GFile(paths.latest) as file:
        record: dict[str, Any] = json.load(file)
    return record


def _artifacts(record: dict[str, Any], paths: Paths, metadata: str | None, reference: TaskReference) -> Any:
    """What the last run left, if it is of the task as it is now."""
    from tfx.utils.path_utils import serving_model_path

    from components.release.skew_check import TrainedArtifacts
    from components.task.reference import KEY
    from pipeline import metadata_store
    from pipeline.report.metadata import Metadata

    executions = {one["name"]: one["execution"] for one in record["components"]}
    if "Evaluator" not in executions:
        raise UsageError(
            f"the last run of '{paths.task}' got no further than {next(reversed(executions), 'its beginning')}",
            hint=f"Run it again: skewless run {paths.task}",
        )
    store = metadata_store.connection_config(paths, metadata)
    metadata_store.check_metadata_store(store)
    known = Metadata(store)
    depends = reference.config("feature", "label", "model")[KEY]["depends"]
    changed = known.changed(executions["Trainer"], depends)
    if changed:
        told = "; ".join(changed)
        raise UsageError(
            f"'{paths.task}' is not as it was in its last run: {told}", hint=f"Run it again: skewless run {paths.task}"
        )
    found = {
        key: one.uri
        for component in ("ExampleGen", "SchemaGen", "Transform", "Trainer")
        for key, one in known.outputs(executions[component]).items()
    }
    return TrainedArtifacts(
        found["examples"],
        found["schema"],
        found["transform_graph"],
        found["model_run"],
        serving_model_path(found["model"]),
    )


def _tell(skew: report.Verdict) -> None:
    """Prints the verdict, and raises it."""
    report.print_skew(skew, Console(highlight=False, soft_wrap=True))
    if not skew["passed"]:
        raise SkewError(report.first_fault(skew), hint="Do not serve this model.")


def _records(question: SkewOptions) -> list[bytes]:
    files = [file for given in question.files for file in _files(given)]
    found: list[bytes] = []
    for file in files:
        kind = "GZIP" if file.endswith(".gz") else ""
        try:
            records = tf.data.TFRecordDataset(file, kind).as_numpy_iterator()
            found += islice(records, question.limit - len(found))
        except tf.errors.OpError as error:
            missing = isinstance(error, tf.errors.NotFoundError)
            told = "does not exist" if missing else "cannot be read as TFRecords"
            raise DataError(f"{file} {told}", hint="Give TFRecord files of tf.Examples.") from None
    if not found:
        raise DataError(f"no records in {', '.join(question.files)}", hint="Give TFRecord files of tf.Examples.")
    return found


def _files(given: str) -> list[str]:
    """A folder's files in order, those in folders below it, too."""
    if not tf.io.gfile.isdir(given):
        return [given]
    found = [posixpath.join(path, name) for path, _, names in tf.io.gfile.walk(given) for name in names]
    return sorted(file for file in found if "tfrecord" in posixpath.basename(file) or file.endswith(".gz"))
