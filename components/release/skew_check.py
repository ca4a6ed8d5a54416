"""The skew gate's check: whether a SavedModel answers as the trained model does, by every route."""

from __future__ import annotations

import dataclasses
import io
import json
import posixpath
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.prepare.schema import classes_of, read_schema
from components.release.record_labels import expected_label, read_text, read_texts
from components.task.task import Task
from components.training.trained_model import TrainedModel, restore_model
from components.training.training_route import TrainedAnswers, answer_records
from data.files.atomic import write_aside
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.input import probe_sample
from data.input.probe_sample import Probe
from data.spec import LABEL
from serving.diagnosis.diagnose import diagnose
from serving.diagnosis.model import diagnose_weights
from serving.engines import installed_binary
from serving.export import label_file
from serving.graph import checks
from serving.graph.checks import Finding
from serving.parity import compare, mixed_precision, proof, routes
from serving.parity.compare import Answers, Comparison
from serving.parity.live_server import start_live_server
from serving.parity.report import EMBEDDED, Diagnosis, SkewReport
from serving.signatures import DEFAULT, EXAMPLES

REPORT = "skew.json"
SAMPLE, ANSWERS = "sample.tfrecord", "answers.npz"  # next to the report: the records, and training's answers


@dataclass(frozen=True)
class TrainedArtifacts:
    """The artifacts of a training: folders, local or remote.

    Attributes:
      examples: The Examples artifact.
      schema: The Schema artifact.
      transform_graph: The TransformGraph artifact.
      model_run: The ModelRun artifact.
      model: The SavedModel.
    """

    examples: str
    schema: str
    transform_graph: str
    model_run: str
    model: str


def check_skew(task: Task, artifacts: TrainedArtifacts, folder: str, progress: Callable[[str], None]) -> SkewReport:
    """Compare every route to a model with training, and write what the check of the pushed version needs.

    Args:
      task: The task that was trained.
      artifacts: The artifacts of its training.
      folder: Folder to write the report, the sample and training's answers to.
      progress: Called with the name of the next step.

    Raises:
      SkewlessError: If the model or the data are missing, or no server comes up with the model.
    """
    started = time.perf_counter()
    progress("choosing records")
    classes = classes_of(read_schema(artifacts.schema))
    manifest = Manifest.load(artifacts.examples)
    files = shard_paths(artifacts.examples, manifest.splits[task.evaluate.split])
    probes = probe_sample.choose_probes(files, task.feature, task.label, task.gate.sample)
    records, program = [probe.record for probe in probes], installed_binary()
    with start_live_server(artifacts.model, (program,) if program else ()) as clients:
        progress("through training's own route")
        trained = restore_model(task, classes, artifacts.model_run)
        answers = answer_records(trained, artifacts.transform_graph, records)
        reference, *again = answers.answers

        def explain(difference: proof.Difference) -> Diagnosis:
            progress("looking for the cause")
            diagnosis = diagnose(difference, trained.function())
            probe = probes[diagnosis.record]
            source = read_text(probe.record, "image/source")
            return dataclasses.replace(diagnosis, route=difference.served.route, why=probe.reason, source=source)

        sample = proof.Sample(records, task.feature.name, [reference, *again])
        comparisons, diagnosis = proof.compare_routes(artifacts.model, clients, sample, progress, explain)
    mixed = _compare_mixed(task, answers)
    report = SkewReport(
        records=len(records),
        server=program or EMBEDDED,
        reference=reference.route,
        tolerance=compare.score_tolerance(reference, again),
        feature=task.feature.name,
        synthetic=sum(probe.is_generated for probe in probes),
        routes=[*mixed, *comparisons],
        structure=[*_structure(task, artifacts, trained), *_label_findings(trained, records, answers.labels)],
        diagnosis=diagnosis or _diagnose_mixed(task, mixed),
        is_multi_label=task.is_multi_label,
    )
    report.seconds = round(time.perf_counter() - started, 2)
    _write(folder, report, probes, reference)
    return report


def _compare_mixed(task: Task, trained: TrainedAnswers) -> list[Comparison]:
    """Compare the model as training computed it, in mixed precision, with that in float32; nothing without."""
    if trained.mixed is None or trained.rounded is None:
        return []
    reference = trained.answers[0]
    allowed = mixed_precision.mixed_tolerance(reference, trained.rounded, task.train.mixed_precision)
    return [compare.compare_answers(reference, trained.mixed, allowed)]


def _diagnose_mixed(task: Task, mixed: Sequence[Comparison]) -> Diagnosis | None:
    """Return the cause if only the model in mixed precision answers otherwise."""
    found = next((one for one in mixed if one.fault), None)
    if found is None:
        return None
    skew = f"in float32 the model computes otherwise than in mixed_{task.train.mixed_precision}, as it was trained"
    detail = "rounding explains less; look for layers that overflow, or that depend on the dtype policy"
    return Diagnosis("model", skew, found.record, detail, found.route)


def _structure(task: Task, artifacts: TrainedArtifacts, trained: TrainedModel) -> list[Finding]:
    """Return what can be found without an answer of the served model: scores that are all 0 or 1 would hide much."""
    signatures = (DEFAULT, EXAMPLES)
    found = checks.random_ops(artifacts.model, signatures)
    found += checks.same_preprocessing(artifacts.model, artifacts.transform_graph, task.feature.name, signatures)
    weights = diagnose_weights(artifacts.model, trained.weights, 0)
    if weights is not None:
        found.append(Finding("all", "weights", weights.detail))
    thresholds = dict(zip(trained.classes, trained.thresholds, strict=False))
    if label_file.read_thresholds(artifacts.model) != thresholds:
        detail = f"{posixpath.join(*label_file.PATH)} has other thresholds than the training chose"
        found.append(Finding("all", "labels", detail))
    return found


def _label_findings(
    trained: TrainedModel, records: Sequence[bytes], transformed: Sequence[int] | Sequence[Sequence[float]]
) -> list[Finding]:
    """Return the first label, if any, that the TransformGraph gives to other outputs than the schema.

    Args:
      trained: The model, with the classes in the schema's order.
      records: Serialized tf.Examples.
      transformed: What the TransformGraph makes of each record's label; empty for numbers.
    """
    for record, found in zip(records, transformed, strict=False):
        names = read_texts(record, LABEL)
        expected = expected_label(trained, names)
        if found == expected:
            continue
        if isinstance(found, Sequence) and isinstance(expected, list):
            pairs = zip(trained.classes, found, expected, strict=True)
            name, value, right = next((name, value, right) for name, value, right in pairs if value != right)
            detail = f"label '{name}' is {value:g} in the TransformGraph for a record with '{', '.join(names)}'"
            return [Finding("training", "labels", f"{detail}, not {right}")]
        name = "".join(names)
        detail = f"label '{name}' has index {found} in the TransformGraph, {expected} in the schema's classes"
        return [Finding("training", "labels", detail)]
    return []


def _write(folder: str, report: SkewReport, probes: Sequence[Probe], reference: Answers) -> None:
    """Write the report, the sample and training's answers; the report last, as readers look for it."""
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(posixpath.join(folder, SAMPLE)) as writer:
        for probe in probes:
            writer.write(probe.record)
    content = io.BytesIO()
    names = np.empty((0, 0)) if reference.classes is None else np.vectorize(bytes.decode)(reference.classes)
    limits = {} if reference.thresholds is None else {"thresholds": reference.thresholds}
    unknown = (float("nan"),) * len(probes)
    differences = np.array([route.rows or unknown for route in report.routes], np.float64)
    reasons = np.array([probe.reason for probe in probes])
    facts = {"classes": names, "reasons": reasons, "differences": differences, **limits}
    np.savez_compressed(content, scores=reference.scores, **facts)
    with tf.io.gfile.GFile(posixpath.join(folder, ANSWERS), "wb") as file:
        file.write(content.getvalue())
    write_aside(posixpath.join(folder, REPORT), json.dumps(report.to_json(), indent=1))


def read_report(folder: str) -> SkewReport:
    """Read the report that `check_skew` wrote to a folder."""
    with tf.io.gfile.GFile(posixpath.join(folder, REPORT)) as file:
        return SkewReport.from_json(json.load(file))


@dataclass(frozen=True)
class ProvedSample:
    """The records that the gate sent down every route, and what it found.

    Attributes:
      records: N serialized tf.Examples.
      answers: Training's answers to them.
      reasons: Why each record is in the sample, N texts; empty in a folder of an earlier version.
      differences: Largest difference of a score by route of the report and record, float64 [routes, N], NaN for a route
        that could not be compared; [0, N] in a folder of an earlier version.
    """

    records: list[bytes]
    answers: Answers
    reasons: list[str]
    differences: npt.NDArray[np.float64]


def read_sample(folder: str) -> ProvedSample:
    """Read the records that `check_skew` wrote to a folder, with what it found on each."""
    records = list(tf.data.TFRecordDataset(posixpath.join(folder, SAMPLE)).as_numpy_iterator())
    arrays = _read_arrays(folder)
    reasons = arrays["reasons"].tolist() if "reasons" in arrays else []
    differences = arrays["differences"] if "differences" in arrays else np.zeros((0, len(records)))
    return ProvedSample(records, _answers_of(arrays, read_report(folder).reference), reasons, differences)


def check_pushed(folder: str, pushed: str) -> Comparison:
    """Compare a pushed version's answers to the sample with training's.

    Args:
      folder: Folder that `check_skew` wrote to.
      pushed: Folder of the version.
    """
    report = read_report(folder)
    records = list(tf.data.TFRecordDataset(posixpath.join(folder, SAMPLE)).as_numpy_iterator())
    model = routes.LoadedModel(pushed)
    answers = model.default(routes.feature_values(records, report.feature, model.input.dtype), len(records))
    return compare.compare_answers(
        _answers_of(_read_arrays(folder), report.reference),
        dataclasses.replace(answers, route="the pushed version"),
        report.tolerance,
    )


def _read_arrays(folder: str) -> Mapping[str, npt.NDArray[Any]]:
    with tf.io.gfile.GFile(posixpath.join(folder, ANSWERS), "rb") as file:
        return dict(np.load(io.BytesIO(file.read())))


def _answers_of(arrays: Mapping[str, npt.NDArray[Any]], route: str) -> Answers:
    names: npt.NDArray[Any] | None = arrays["classes"]
    names = np.char.encode(names, "utf-8").astype(object) if names is not None and names.size else None
    return Answers(route, arrays["scores"], names, arrays.get("thresholds"))
