"""The pipeline: which component feeds which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from components.prepare.example_gen import ExampleGen
from components.prepare.example_validator import ExampleValidator
from components.prepare.schema import SchemaGen
from components.prepare.statistics import statistics_gen
from components.prepare.transform import Transform
from components.release.baseline import baseline_resolver
from components.release.evaluator import evaluator
from components.release.pusher import Pusher
from components.release.skew_gate import SkewGate
from components.task.reference import TaskReference
from components.training.trainer import trainer
from pipeline.paths import Paths

Baseline = Callable[[Any], Any]  # (channel of the candidate) -> node with an output `model`, or None


def build_pipeline(
    reference: TaskReference,
    data: Any,
    paths: Paths,
    beam_args: list[str],
    *,
    baseline_of: Baseline = baseline_resolver,
    metadata: Any = None,
) -> Pipeline:
    """Assembles the pipeline of a task.

    Args:
      reference: the task and this run's settings.
      data: the data folder, or a RuntimeParameter for it.
      paths: where everything goes.
      beam_args: for every component that runs on Beam.
      baseline_of: makes the node that finds what the candidate must not be worse than.
      metadata: ConnectionConfig of ML Metadata; None: a remote backend has its own.
    """
    task = reference.load()
    data_config = reference.config("source", "feature", "label", "ingest")
    examples = ExampleGen(data, task.source, task.ingest, data_config)
    statistics = statistics_gen(examples.outputs["examples"], task.feature)
    schema = SchemaGen(
        examples.outputs["examples"], statistics.outputs["statistics"], reference.config("feature", "label")
    )
    validator = ExampleValidator(
        examples.outputs["examples"],
        statistics.outputs["statistics"],
        schema.outputs["schema"],
        reference.config("ingest"),
        task.evaluate.split,
    )
    transform = Transform(examples.outputs["examples"], schema.outputs["schema"], reference.config("feature", "label"))
    train = trainer(
        examples.outputs["examples"],
        transform.outputs["transform_graph"],
        schema.outputs["schema"],
        reference.config("feature", "label", "augment", "model", "train", "serving"),
    )
    train.add_upstream_node(validator)  # no training on data that were found unfit
    baseline = baseline_of(train.outputs["model"])
    evaluate = evaluator(
        task,
        examples.outputs["examples"],
        train.outputs["model"],
        baseline.outputs["model"] if baseline else None,
        schema.outputs["schema"],
    )
    gate = SkewGate(
        examples.outputs["examples"],
        schema.outputs["schema"],
        transform.outputs["transform_graph"],
        train.outputs["model"],
        train.outputs["model_run"],
        evaluate.outputs["blessing"],
        reference.config("feature", "label", "model", "evaluate", "gate"),
    )
    pusher = Pusher(train.outputs["model"], evaluate.outputs["blessing"], gate.outputs["blessing"], paths.serving)
    components = [examples, statistics, schema, validator, transform, train, baseline, evaluate, gate, pusher]
    return Pipeline(
        pipeline_name=task.name,
        pipeline_root=paths.artifacts,
        components=[node for node in components if node],
        metadata_connection_config=metadata,
        enable_cache=True,
        beam_pipeline_args=beam_args,
    )
