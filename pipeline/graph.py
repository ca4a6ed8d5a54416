"""The pipeline of a task: its components, and which feeds which."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
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
from components.review.report_gen import ReportGen
from components.task.reference import TaskReference
from components.training.trainer import trainer
from components.tuning.plan import TuningPlan
from pipeline.paths import Paths

_DRAW_PAGE = "pipeline.report.page.of_artifacts.draw_page"
BaselineOf = Callable[[Any], Any]  # the candidate's channel -> a node with an output `model`, or None


@dataclass(frozen=True)
class _PreparedData:
    """The components before training, and the channels that later components read."""

    nodes: tuple[Any, ...]
    examples: Any
    statistics: Any
    schema: Any
    transform_graph: Any
    validator: Any


def build_pipeline(
    reference: TaskReference,
    data: Any,
    paths: Paths,
    beam_args: list[str],
    *,
    baseline_of: BaselineOf = baseline_resolver,
    metadata: Any = None,
) -> Pipeline:
    """Assemble the pipeline of a task.

    Args:
      reference: The task and this run's settings.
      data: The data folder, or a RuntimeParameter for it.
      paths: The task's folders.
      beam_args: Arguments for every component that runs on Beam.
      baseline_of: Makes the node that finds the baseline: the model that the candidate must not be worse than.
      metadata: ConnectionConfig of ML Metadata; None for a remote backend, which has its own store.
    """
    prepared = _prepare(reference, data)
    train = trainer(
        prepared.examples,
        prepared.transform_graph,
        prepared.schema,
        reference.config("feature", "label", "augment", "model", "train", "serving"),
    )
    train.add_upstream_node(prepared.validator)  # no training on rejected data
    released = _release(reference, prepared, train, paths.serving, baseline_of)
    return Pipeline(
        pipeline_name=reference.load().name,
        pipeline_root=paths.artifacts,
        components=[*prepared.nodes, train, *released],
        metadata_connection_config=metadata,
        enable_cache=True,
        beam_pipeline_args=beam_args,
    )


def build_tuning_pipeline(
    reference: TaskReference,
    data: Any,
    paths: Paths,
    beam_args: list[str],
    plan: TuningPlan,
    *,
    tuners: int = 1,
    metadata: Any = None,
) -> Pipeline:
    """Assemble the pipeline of a tuning: the components up to the Transform are those of a run, and share its cache.

    Several Tuners train at the same time, where the platform has several machines. Each makes the same choices as a
    single one would, but trains only its share of the trials, every n-th; MergeTrials has the result of all. They need
    no connection to each other, as KerasTuner's chief and workers do, so that each can fail and be repeated alone.

    Args:
      reference: The task and the settings of all trials.
      data: The data folder, or a RuntimeParameter for it.
      paths: The task's folders.
      beam_args: Arguments for every component that runs on Beam.
      plan: What to tune.
      tuners: Number of Tuners.
      metadata: ConnectionConfig of ML Metadata; None for a remote backend, which has its own store.
    """
    from components.tuning.merge import MergeTrials  # KerasTuner is loaded only where it is used
    from components.tuning.tuner import tuner

    prepared = _prepare(reference, data)
    nodes = []
    for number in range(tuners):
        config = dataclasses.replace(plan, share=(number, tuners)).config(reference)
        node = tuner(prepared.examples, prepared.transform_graph, prepared.schema, config)
        nodes.append(node if tuners == 1 else node.with_id(f"Tuner-{number + 1}"))
        node.add_upstream_node(prepared.validator)
    return Pipeline(
        pipeline_name=reference.load().name,
        pipeline_root=paths.artifacts,
        components=[*prepared.nodes, *nodes, *([MergeTrials(nodes)] if tuners > 1 else [])],
        metadata_connection_config=metadata,
        enable_cache=True,
        beam_pipeline_args=beam_args,
    )


def _prepare(reference: TaskReference, data: Any) -> _PreparedData:
    """Return the components from the data to the TransformGraph."""
    task = reference.load()
    example_gen = ExampleGen(data, task.source, task.ingest, reference.config("source", "feature", "label", "ingest"))
    examples = example_gen.outputs["examples"]
    statistics_node = statistics_gen(examples, task.feature, task.source.extra_features)
    statistics = statistics_node.outputs["statistics"]
    schema_gen = SchemaGen(examples, statistics, reference.config("source", "feature", "label"))
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(
        examples,
        statistics,
        schema,
        reference.config("ingest"),
        task.evaluate.split,
        task.evaluate.limited_labels,
    )
    transform = Transform(examples, schema, reference.config("feature", "label"))
    nodes = (example_gen, statistics_node, schema_gen, validator, transform)
    return _PreparedData(nodes, examples, statistics, schema, transform.outputs["transform_graph"], validator)


def _release(
    reference: TaskReference, prepared: _PreparedData, train: Any, serving: str, baseline_of: BaselineOf
) -> list[Any]:
    """Return the components from a trained model to the served version and the page of the run."""
    task, model = reference.load(), train.outputs["model"]
    baseline = baseline_of(model)
    evaluate = evaluator(
        task, prepared.examples, model, baseline.outputs["model"] if baseline else None, prepared.schema
    )
    gate = SkewGate(
        prepared.examples,
        prepared.schema,
        prepared.transform_graph,
        model,
        train.outputs["model_run"],
        evaluate.outputs["blessing"],
        reference.config("source", "feature", "label", "model", "train", "evaluate", "gate"),
    )
    pusher = Pusher(model, evaluate.outputs["blessing"], gate.outputs["blessing"], serving)
    page = ReportGen(
        reference.config("source", "feature", "label", "augment", "model", "train", "evaluate", "gate"),
        _DRAW_PAGE,
        examples=prepared.examples,
        statistics=prepared.statistics,
        schema=prepared.schema,
        anomalies=prepared.validator.outputs["anomalies"],
        model_run=train.outputs["model_run"],
        evaluation=evaluate.outputs["evaluation"],
        model_blessing=evaluate.outputs["blessing"],
        infra_blessing=gate.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
    )
    return [node for node in (baseline, evaluate, gate, pusher, page) if node]
