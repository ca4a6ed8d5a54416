"""`skewless skew`: prove that a finished run, or any SavedModel, has no skew, and print the result."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import tensorflow as tf
from rich.console import Console

from data.errors import DataError, SkewError, UsageError
from pipeline.next_steps import root_words, skewless_command
from pipeline.paths import Paths
from pipeline.report import skew as report
from pipeline.report.record import RunRecord, read_record
from pipeline.report.waiting import Waiting
from serving.diagnosis import diagnose
from serving.engines import installed_binary
from serving.graph import checks
from serving.graph.saved_graph import SavedGraph
from serving.parity.client_skew import ClientSkewCost
from serving.parity.live_server import start_live_server
from serving.parity.proof import Difference, Sample, compare_routes
from serving.parity.report import EMBEDDED, Diagnosis, SkewReport
from serving.signatures import DEFAULT, EXAMPLES, THRESHOLDS

if TYPE_CHECKING:
    from components.release.skew_check import TrainedArtifacts
    from components.task.reference import TaskReference
    from components.task.task import Task


@dataclass(frozen=True)
class SkewOptions:
    """The options of `skewless skew --model`.

    Attributes:
      model: Folder of the SavedModel.
      files: TFRecords of tf.Examples, gzipped if they end in .gz, or folders of such files.
      feature: Feature of the examples that `serving_default` takes; empty for the usual ones.
      limit: Number of records at most.
    """

    model: str
    files: Sequence[str]
    feature: str
    limit: int


def prove_model(options: SkewOptions) -> None:
    """Compare the routes of a SavedModel of which only the signatures are known.

    Raises:
      SkewError: If two of them differ.
      DataError: If there are no records.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    records, program = _records(options), installed_binary()

    def explain(difference: Difference) -> Diagnosis:
        return replace(diagnose.diagnose(difference, None), route=difference.served.route)

    with (
        Console(stderr=True).status(Waiting("starting the server")) as status,
        start_live_server(options.model, (program,) if program else ()) as server,
    ):
        sample = Sample(records, options.feature)
        routes, diagnosis = compare_routes(
            options.model, server, sample, lambda text: status.update(Waiting(text)), explain
        )
    skew = SkewReport(
        records=len(records),
        server=program or EMBEDDED,
        reference=routes[0].reference,
        tolerance=routes[0].tolerance,
        routes=routes,
        structure=checks.random_ops(options.model, (DEFAULT, EXAMPLES)),
        diagnosis=diagnosis,
        is_multi_label=THRESHOLDS in SavedGraph(options.model).outputs(DEFAULT),
    )
    _report(skew)


def prove_task(path: str, paths: Paths, assignments: Mapping[str, str], metadata: str | None = None) -> None:
    """Run the gate again on the artifacts of a task's last run and on its pushed version.

    Args:
      path: Import path of the task.
      paths: Paths of its runs.
      assignments: Settings on top of those of that run.
      metadata: Where ML Metadata is, as that run had it.

    Raises:
      SkewError: If a route differs from training's.
      UsageError: If no run has reached a model, or the task's feature, label or model has changed since.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with Console(stderr=True).status(Waiting("loading TFX")) as status:
        from components.release import skew_check
        from components.task.reference import TaskReference

        record = _latest_record(paths)
        reference = TaskReference(path, {**record.settings, **assignments})
        folder = posixpath.join(paths.run(record.run_id), "skew")
        artifacts = _artifacts(record, paths, metadata, reference)
        task = reference.load()
        skew = skew_check.check_skew(task, artifacts, folder, lambda text: status.update(Waiting(text)))
        if record.pushed and tf.io.gfile.isdir(record.pushed.path):
            status.update(Waiting("checking the pushed version"))
            skew.routes.append(skew_check.check_pushed(folder, record.pushed.path))
        if skew.passed:
            status.update(Waiting("measuring client skew"))
            skew.client_skew = _client_skew(task, artifacts)
    _report(skew)


def _client_skew(task: Task, artifacts: TrainedArtifacts) -> list[ClientSkewCost]:
    """Measure what clients with their own preprocessing would cost; nothing for models on numbers."""
    from components.prepare.schema import classes_of, read_schema
    from components.review.client_pictures import is_measured, measure_client_skew
    from components.training.trained_model import restore_model

    classes = classes_of(read_schema(artifacts.schema))
    if not is_measured(task, len(classes)):
        return []
    return measure_client_skew(restore_model(task, classes, artifacts.model_run), artifacts.examples)[0]


def _latest_record(paths: Paths) -> RunRecord:
    """Read the record of the latest run."""
    if not tf.io.gfile.exists(paths.latest):
        first = skewless_command("run", paths.task, *root_words(paths.root))
        raise UsageError(f"no run of '{paths.task}' in {paths.folder}", hint=f"First: {first}")
    return read_record(paths.latest)


def _artifacts(record: RunRecord, paths: Paths, metadata: str | None, reference: TaskReference) -> TrainedArtifacts:
    """Return the artifacts of the last run, if the task has not changed since."""
    from tfx.utils.path_utils import serving_model_path

    from components.release.skew_check import TrainedArtifacts
    from components.task.reference import KEY
    from pipeline import metadata_store
    from pipeline.report.metadata import Metadata

    names = [one.name for one in record.components]
    executions = {one.name: one.execution for one in record.components if one.execution is not None}
    if "Evaluator" not in names:
        raise UsageError(
            f"the last run of '{paths.task}' ended at {names[-1] if names else 'its start'}, before the Evaluator",
            hint=f"Run it again: {skewless_command('run', paths.task, *root_words(paths.root))}",
        )
    store = metadata_store.connection_config(paths, metadata)
    metadata_store.check_metadata_store(store)
    known = Metadata(store)
    depends = reference.config("feature", "label", "model")[KEY]["depends"]
    changed = known.changed(executions["Trainer"], depends)
    if changed:
        changes = "; ".join(changed)
        hint = f"Run it again: {skewless_command('run', paths.task, *root_words(paths.root))}"
        raise UsageError(f"'{paths.task}' has changed since its last run: {changes}", hint=hint)
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
            problem = "does not exist" if missing else "cannot be read as TFRecords"
            raise DataError(f"{file} {problem}", hint="Give TFRecord files of tf.Examples.") from None
    if not found:
        raise DataError(f"no records in {', '.join(options.files)}", hint="Give TFRecord files of tf.Examples.")
    return found


def _files(given: str) -> list[str]:
    """Return the files in and below a folder, sorted; a file alone is returned as it is."""
    if not tf.io.gfile.isdir(given):
        return [given]
    found = [posixpath.join(path, name) for path, _, names in tf.io.gfile.walk(given) for name in names]
    return sorted(file for file in found if "tfrecord" in posixpath.basename(file) or file.endswith(".gz"))
