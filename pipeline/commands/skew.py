"""`skewless skew`: the proof on a finished run, or on any SavedModel, for the terminal."""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from rich.console import Console

from data.errors import DataError, SkewError, UsageError
from pipeline.paths import Paths
from pipeline.report import skew as report
from pipeline.report.record import RunRecord, read_record
from serving.diagnosis import diagnose
from serving.engines import installed_binary
from serving.graph import checks
from serving.parity.live_server import start_live_server
from serving.parity.proof import Difference, Sample, compare_routes
from serving.parity.report import EMBEDDED, Diagnosis, SkewReport
from serving.signatures import DEFAULT, EXAMPLES

if TYPE_CHECKING:
    from components.task.reference import TaskReference


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


def prove_model(options: SkewOptions) -> None:
    """Compares the routes of a SavedModel, of which no more is known than its signatures.

    Raises:
      SkewError: two of them differ.
      DataError: there are no records.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    records, program = _records(options), installed_binary()

    def explain(difference: Difference) -> Diagnosis:
        return replace(diagnose.diagnose(difference, None), route=difference.served.route)

    with (
        Console(stderr=True).status("") as status,
        start_live_server(options.model, (program,) if program else ()) as server,
    ):
        sample = Sample(records, options.feature)
        routes, diagnosis = compare_routes(options.model, server, sample, status.update, explain)
    skew = SkewReport(
        records=len(records),
        server=program or EMBEDDED,
        reference=routes[0].reference,
        tolerance=routes[0].tolerance,
        routes=routes,
        structure=checks.random_ops(options.model, (DEFAULT, EXAMPLES)),
        diagnosis=diagnosis,
    )
    _report(skew)


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

        record = _latest_record(paths)
        reference = TaskReference(path, {**record.settings, **assignments})
        folder = posixpath.join(paths.run(record.run_id), "skew")
        artifacts = _artifacts(record, paths, metadata, reference)
        skew = skew_check.check_skew(reference.load(), artifacts, folder, status.update)
        if record.pushed and tf.io.gfile.isdir(record.pushed.path):
            status.update("through the pushed version")
            skew.routes.append(skew_check.check_pushed(folder, record.pushed.path))
    _report(skew)


def _latest_record(paths: Paths) -> RunRecord:
    """Read the record of the latest run."""
    if not tf.io.gfile.exists(paths.latest):
        raise UsageError(f"no run of '{paths.task}' in {paths.folder}", hint=f"First: skewless run {paths.task}")
    return read_record(paths.latest)


def _artifacts(record: RunRecord, paths: Paths, metadata: str | None, reference: TaskReference) -> Any:
    """What the last run left, if it is of the task as it is now."""
    from tfx.utils.path_utils import serving_model_path

    from components.release.skew_check import TrainedArtifacts
    from components.task.reference import KEY
    from pipeline import metadata_store
    from pipeline.report.metadata import Metadata

    executions = {one.name: one.execution for one in record.components if one.execution is not None}
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


def _report(skew: SkewReport) -> None:
    """Print the report.

    Raises:
      SkewError: If a route or the graph differs.
    """
    report.print_skew(skew, Console(highlight=False, soft_wrap=True))
    if not skew.passed:
        raise SkewError(report.first_fault(skew), hint="Do not serve this model.")


def _records(options: SkewOptions) -> list[bytes]:
    files = [file for given in options.files for file in _files(given)]
    found: list[bytes] = []
    for file in files:
        kind = "GZIP" if file.endswith(".gz") else ""
        try:
            records = tf.data.TFRecordDataset(file, kind).as_numpy_iterator()
            found += islice(records, options.limit - len(found))
        except tf.errors.OpError as error:
            missing = isinstance(error, tf.errors.NotFoundError)
            told = "does not exist" if missing else "cannot be read as TFRecords"
            raise DataError(f"{file} {told}", hint="Give TFRecord files of tf.Examples.") from None
    if not found:
        raise DataError(f"no records in {', '.join(options.files)}", hint="Give TFRecord files of tf.Examples.")
    return found


def _files(given: str) -> list[str]:
    """A folder's files in order, those in folders below it, too."""
    if not tf.io.gfile.isdir(given):
        return [given]
    found = [posixpath.join(path, name) for path, _, names in tf.io.gfile.walk(given) for name in names]
    return sorted(file for file in found if "tfrecord" in posixpath.basename(file) or file.endswith(".gz"))
