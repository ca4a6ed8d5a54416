"""The gate: whether a SavedModel answers as the model was trained, by every route, and what that has spared us."""

from __future__ import annotations

import dataclasses
import io
import json
import posixpath
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from components.prepare.schema import classes_of, read_schema
from components.task.task import Task
from components.training.trained_model import TrainedModel
from data.files.atomic import write_aside
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.input import probe_sample
from data.names import from_bytes, printable
from data.spec import LABEL, Image
from serving.diagnosis.diagnose import diagnose
from serving.diagnosis.model import diagnose_weights
from serving.engines import installed_binary
from serving.graph import checks as structure
from serving.graph.checks import Finding
from serving.parity import client_skew, compare, proof, routes
from serving.parity.compare import Answers, Comparison
from serving.parity.live_server import start_live_server
from serving.signatures import DEFAULT, EXAMPLES

REPORT = "skew.json"
SAMPLE, ANSWERS = "sample.tfrecord", "answers.npz"  # beside it: the records, and what training says of them


@dataclass(frozen=True)
class TrainedArtifacts:
    """What a training made: the folders, local or remote.

    Attributes:
      examples, schema, transform_graph, model_run: of the artifacts of these names.
      model: of the SavedModel.
    """

    examples: str
    schema: str
    transform_graph: str
    model_run: str
    model: str


@dataclass
class Proof:
    """What was found.

    Attributes:
      feature: of the records, what `serving_default` takes.
      records, made: how many went down every route, and how many of them were made for it.
      server: the live one.
      reference: the route that the others were compared with.
      tolerance: what scores may differ by.
      routes: the comparisons.
      structure: what the graph alone tells.
      diagnosis: what the fault is, and the picture that shows it; None where there is none.
      avoided: what clients with preprocessing of their own would have cost; empty for numbers.
      seconds: that all this took.
    """

    feature: str
    records: int
    made: int
    server: str
    reference: str
    tolerance: float
    routes: list[Comparison] = field(default_factory=list)
    structure: list[Finding] = field(default_factory=list)
    diagnosis: dict[str, Any] | None = None
    avoided: list[client_skew.ClientSkewCost] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no route and nothing in the graph differs."""
        return not self.structure and not any(one.fault for one in self.routes)

    def to_dict(self) -> dict[str, Any]:
        """For `skew.json`, and the entry `skew` of `run.json`."""
        told = {**dataclasses.asdict(self), "passed": self.passed}
        return told | {"routes": [one.to_dict() for one in self.routes]}


def check_skew(task: Task, artifacts: TrainedArtifacts, folder: str, say: Callable[[str], None]) -> Proof:
    """Compares every route with training's, and writes what the check of the pushed version needs.

    Args:
      task: that was trained.
      artifacts: what its training made.
      folder: where to write the report, the sample and training's answers.
      say: told what is done next.

    Raises:
      SkewlessError: the model or the data are not there, or no server comes to serve it.
    """
    started = time.perf_counter()
    say("choosing records")
    classes = classes_of(read_schema(artifacts.schema))
    shards = Manifest.load(artifacts.examples)
    files = shard_paths(artifacts.examples, shards.splits[task.evaluate.split])
    picked = probe_sample.choose_probes(files, task.feature, task.label, task.gate.sample)
    records, program = [one.record for one in picked], installed_binary()
    with start_live_server(artifacts.model, (program,) if program else ()) as server:
        say("through training's own route")
        trained = TrainedModel(task, classes, artifacts.model_run, artifacts.transform_graph)
        (reference, *again), labels = trained.answers(records)

        def explain(difference: proof.Difference) -> dict[str, Any]:
            say("looking for the fault")
            fault = diagnose(difference, trained.function())
            shown = picked[fault.record]
            seen = {"why": shown.reason, "source": _text(shown.record, "image/source")}
            return {**vars(fault), "route": difference.served.route, **seen}

        given = proof.Sample(records, task.feature.name, [reference, *again])
        compared, diagnosis = proof.compare_routes(artifacts.model, server, given, say, explain)
    found = Proof(
        task.feature.name,
        len(records),
        sum(one.is_generated for one in picked),
        program or "the embedded one",
        reference.route,
        compare.score_tolerance(reference, again),
        compared,
        _structure(task, artifacts, trained, records, labels),
        diagnosis,
    )
    if isinstance(task.feature, Image) and len(classes) > 1 and task.gate.pictures:
        say("what other clients would have cost")
        found.avoided = _avoided(task, trained, files, shards.examples(task.evaluate.split))
    found.seconds = round(time.perf_counter() - started, 2)
    _keep(folder, found, records, reference)
    return found


def _structure(
    task: Task, artifacts: TrainedArtifacts, trained: TrainedModel, records: Sequence[bytes], labels: Sequence[int]
) -> list[Finding]:
    """What needs no answer of the served model: scores that are all 0 or 1 would hide much."""
    signatures = (DEFAULT, EXAMPLES)
    found = structure.random_ops(artifacts.model, signatures)
    found += structure.same_preprocessing(artifacts.model, artifacts.transform_graph, task.feature.name, signatures)
    weights = diagnose_weights(artifacts.model, trained.weights, 0)
    if weights is not None:
        found.append(Finding("all", "weights", weights.detail))
    classes = trained.classes
    for record, index in zip(records, labels, strict=False):
        name = _text(record, LABEL)
        wanted = classes.index(name) if name in classes else -1
        if index != wanted:
            told = f"the TransformGraph gives label '{name}' the index {index}, the schema's classes say {wanted}"
            return [*found, Finding("training", "labels", told)]
    return found


def _avoided(task: Task, trained: TrainedModel, files: Sequence[str], examples: int) -> list[client_skew.ClientSkewCost]:
    """On evaluation pictures at even distances, so that every class has its share."""
    step = max(1, -(-examples // task.gate.pictures))
    drawn = list(tf.data.TFRecordDataset(list(files)).shard(step, 0).as_numpy_iterator())
    contents = [
        tf.train.Example.FromString(one).features.feature[task.feature.name].bytes_list.value[0] for one in drawn
    ]
    names = [_text(one, LABEL) for one in drawn]
    labels = [trained.classes.index(name) if name in trained.classes else -1 for name in names]
    assert isinstance(task.feature, Image)
    return client_skew.client_skew_costs(contents, labels, task.feature, trained.pixels(contents), trained.score)


def _text(record: bytes, name: str) -> str:
    """Empty where the record has no such text."""
    found = tf.train.Example.FromString(record).features.feature[name].bytes_list.value
    return printable(from_bytes(found[0])) if found else ""


def _keep(folder: str, found: Proof, records: Sequence[bytes], reference: Answers) -> None:
    """The report, and beside it the sample with training's answers."""
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(posixpath.join(folder, SAMPLE)) as writer:
        for record in records:
            writer.write(record)
    content = io.BytesIO()
    names = np.empty((0, 0)) if reference.classes is None else np.vectorize(bytes.decode)(reference.classes)
    np.savez_compressed(content, scores=reference.scores, classes=names)
    with tf.io.gfile.GFile(posixpath.join(folder, ANSWERS), "wb") as file:
        file.write(content.getvalue())
    write_aside(posixpath.join(folder, REPORT), json.dumps(found.to_dict(), indent=1))


def read_report(folder: str) -> dict[str, Any]:
    """The report that `check_skew` wrote into a folder."""
    with tf.io.gfile.GFile(posixpath.join(folder, REPORT)) as file:
        report: dict[str, Any] = json.load(file)
    return report


def check_pushed(folder: str, pushed: str) -> Comparison:
    """The sample through a pushed version, against what training said of it.

    Args:
      folder: where `check_skew` wrote.
      pushed: folder of the version.
    """
    report = read_report(folder)
    with tf.io.gfile.GFile(posixpath.join(folder, ANSWERS), "rb") as file:
        kept = np.load(io.BytesIO(file.read()))
    names = np.char.encode(kept["classes"], "utf-8").astype(object) if kept["classes"].size else None
    records = list(tf.data.TFRecordDataset(posixpath.join(folder, SAMPLE)).as_numpy_iterator())
    model = routes.LoadedModel(pushed)
    found = model.default(routes.feature_values(records, report["feature"], model.input.dtype), len(records))
    reference = Answers(report["reference"], kept["scores"], names)
    return compare.compare_answers(reference, dataclasses.replace(found, route="the pushed version"), report["tolerance"])
