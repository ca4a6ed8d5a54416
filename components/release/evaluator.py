"""TFX's Evaluator: TFMA on the exported signature, with thresholds and the last blessed model as baseline."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx import types
from tfx.components import Evaluator as TfxEvaluator
from tfx.components.evaluator import constants, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.executor import ComponentExecutor, Execution
from components.prepare.schema import classes_of, read_schema
from components.release.baseline import saved_model
from components.release.class_metrics import CONFUSION_MATRIX, ClassMetrics
from components.release.comparable import NAMED, Comparable, accuracies_on_common, check_comparable
from components.release.label_metrics import MEAN_AVERAGE_PRECISION, LabelMetrics
from components.release.limits import Limit, limits_of, sliced_features
from components.release.one_vs_rest import OneVsRest
from components.release.predictions import EXTRACTORS, Kept, keeping_predictions
from components.release.sample import EvaluationSample
from components.task.keras_text import snake_case
from components.task.limits import check_labels
from components.task.task import Task
from data.ingest.manifest import Manifest
from data.names import list_names
from data.spec import LABEL, Number
from serving import signatures
from serving.export.label_file import read_thresholds
from serving.parity.routes import RouteError

log = logging.getLogger(__name__)
NO_BASELINE = "no_baseline"  # custom property of the ModelBlessing: why there was no comparison with the last model


def eval_config(task: Task) -> tfma.EvalConfig:
    """Return the configuration of TFMA.

    The model's signature is evaluated on the raw records, and the label is read from them: the evaluation does not
    repeat the preprocessing.

    Raises:
      UsageError: If a limit of the task names a metric that does not exist for its kind of label.
    """
    spec = tfma.ModelSpec(
        signature_name=signatures.EXAMPLES,
        label_key=LABEL,
        prediction_key=signatures.OUTPUTS if isinstance(task.label, Number) else signatures.SCORES,
    )
    limits = limits_of(task)
    slices = [tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in sliced_features(task))]
    return tfma.EvalConfig(model_specs=[spec], metrics_specs=_metrics(task, limits), slicing_specs=slices)


def _metrics(task: Task, limits: Sequence[Limit]) -> list[tfma.MetricsSpec]:
    """Return the metrics with their limits.

    The first specification has the metrics, each with its limits on all classes. Limits on what `ClassMetrics`,
    `LabelMetrics` and `OneVsRest` compute besides are in one specification for each class.
    """
    limited = [[limit.measure.key, limit.name.label] for limit in limits if limit.measure.config is None]
    metrics = {_key_of(metric): metric for metric in _reported(task, limited)}
    specs = {"": tfma.MetricsSpec()}
    for limit in limits:
        key, label, config = limit.measure.key, limit.name.label, limit.measure.config
        if config is not None:
            metric = metrics.setdefault(key, config)
            if metric.class_name == OneVsRest.__name__:
                _add_to_config(metric, limited=[label])
        if key in metrics and metrics[key].class_name != OneVsRest.__name__:
            thresholds = metrics[key].per_slice_thresholds
        else:
            names = {"output_names": [label]} if label else {}
            thresholds = specs.setdefault(label, tfma.MetricsSpec(**names)).per_slice_thresholds[key].thresholds
        thresholds.add(slicing_specs=limit.slices(sliced_features(task)), threshold=limit.threshold())
    specs[""].metrics.extend(metrics.values())
    return list(specs.values())


def _reported(task: Task, limited: list[list[str]]) -> list[tfma.MetricConfig]:
    """Return the metrics that each evaluation reports."""
    by_label = LABEL in task.evaluate.slices
    count = tfma.MetricConfig(class_name="ExampleCount")
    if task.is_multi_label:
        return [_ours(LabelMetrics, by_label=by_label, limited=limited), count]
    if task.is_classification:
        stock = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]
        ours = [_ours(ClassMetrics, by_class=by_label, limited=limited)]
    else:
        stock, ours = ["MeanSquaredError", "MeanAbsoluteError"], []
    return [*(tfma.MetricConfig(class_name=name) for name in stock), *ours, count]


def _ours(metric: type[tfma.metrics.Metric], **config: Any) -> tfma.MetricConfig:
    return tfma.MetricConfig(class_name=metric.__name__, module=metric.__module__, config=json.dumps(config))


def _key_of(metric: tfma.MetricConfig) -> str:
    """Return the name of a metric in the results."""
    ours = {LabelMetrics.__name__: MEAN_AVERAGE_PRECISION, ClassMetrics.__name__: CONFUSION_MATRIX}
    return ours.get(metric.class_name, snake_case(metric.class_name))


def _add_to_config(metric: tfma.MetricConfig, **more: Any) -> None:
    """Set values of a metric's configuration; lists are joined."""
    config = json.loads(metric.config)
    for name, value in more.items():
        config[name] = [*config.get(name, []), *value] if name == "limited" else value
    metric.config = json.dumps(config)


def _with_labels(execution: Execution, baseline: str = "") -> Execution:
    """Return a copy whose metrics know the classes, and the thresholds of several labels.

    They exist only after the training, later than the configuration.

    Args:
      execution: With the configuration.
      baseline: Folder of the baseline's SavedModel; "": there is none.
    """
    config = _config(execution)
    names = list(classes_of(read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri)))
    thresholds = read_thresholds(path_utils.serving_model_path(execution.input("model").uri))
    before = read_thresholds(baseline) if baseline else {}
    known: dict[str, dict[str, Any]] = {
        ClassMetrics.__name__: {"classes": names},
        OneVsRest.__name__: {"names": names},
        LabelMetrics.__name__: {
            "labels": list(thresholds),
            "thresholds": list(thresholds.values()),
            "baseline_thresholds": [before[label] for label in thresholds if label in before],
        },
    }
    for metric in config.metrics_specs[0].metrics:
        if metric.class_name in known:
            limited = json.loads(metric.config).get("limited", [])
            check_labels([one if isinstance(one, str) else one[1] for one in limited], names)
            _add_to_config(metric, **known[metric.class_name])
    text = proto_utils.proto_to_json(config)
    return replace(execution, properties={**execution.properties, standard_component_specs.EVAL_CONFIG_KEY: text})


class EvaluatorExecutor(ComponentExecutor, executor.Executor):
    """TFX's evaluation, with a baseline only if it can be compared (`components.release.comparable`).

    If it cannot, the limits on the candidate alone decide, and the blessing gives the reason under `NO_BASELINE`: a
    first model of a new kind must not be rejected because of one that answers another question.
    """

    def execute(self, execution: Execution) -> None:
        """Evaluate the candidate, and the baseline if there is one that can be compared."""
        execution = _with_labels(execution)
        baselines = execution.inputs.get(standard_component_specs.BASELINE_MODEL_KEY)
        if not baselines:
            self._run_kept(execution)
            return
        folder = saved_model(baselines[0].uri)
        if folder is None:  # the first run, before anything was pushed; or the model was deleted
            self._run_without_baseline(execution, f"there is no model at {baselines[0].uri}")
            return
        verdict = self._run_if_comparable(execution, folder)
        if not verdict:
            reason = verdict.reason
            if verdict.common:
                candidate = path_utils.serving_model_path(execution.input("model").uri)
                reason += _on_common(folder, candidate, verdict.common, _records(execution))
            self._run_without_baseline(execution, reason)

    def _run_if_comparable(self, execution: Execution, folder: str) -> Comparable:
        """Evaluate with the baseline unless it cannot be compared; that may show only during the evaluation.

        Args:
          execution: With the baseline among its inputs.
          folder: Of the baseline's SavedModel.

        Returns:
          Whether the candidate was evaluated with the baseline; if not, why.
        """
        schema = read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri)
        verdict = check_comparable(folder, schema, islice(_records(execution), 1))
        if not verdict:
            return verdict
        try:
            self._run_with_baseline(execution, folder)
        except Exception:
            verdict = check_comparable(folder, schema, _records(execution))
            if verdict:  # the baseline answers all the records: it did not cause the failure
                raise
        return verdict

    def _run_with_baseline(self, execution: Execution, folder: str) -> None:
        """Evaluate with a baseline; one that was imported is copied to the layout of a Trainer's output."""
        execution = _with_labels(execution, folder)
        (baseline,) = execution.inputs[standard_component_specs.BASELINE_MODEL_KEY]
        if folder == path_utils.serving_model_dir(baseline.uri):
            self._run_kept(execution)
            return
        given = baseline.uri
        # Among the outputs, where Beam's workers can read it, too.
        copy = f"{execution.output(constants.EVALUATION_KEY).uri}/.baseline"
        io_utils.copy_dir(folder, path_utils.serving_model_dir(copy))
        try:
            baseline.uri = copy
            self._run_kept(execution)
        finally:
            baseline.uri = given
            tf.io.gfile.rmtree(copy)
        blessing = execution.output(standard_component_specs.BLESSING_KEY)
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, folder)

    def _run_without_baseline(self, execution: Execution, reason: str) -> None:
        log.warning("no baseline: %s", reason)
        self._run_kept(execution.with_inputs(**{standard_component_specs.BASELINE_MODEL_KEY: []}))
        blessing = execution.output(standard_component_specs.BLESSING_KEY)
        blessing.set_string_custom_property(NO_BASELINE, reason)

    def _run_kept(self, execution: Execution) -> None:
        """Run TFX's executor, and keep the answers (`components.release.predictions`)."""
        properties = {**execution.properties, "custom_extractors": EXTRACTORS}
        folder, sample = execution.output(constants.EVALUATION_KEY).uri, _sample(execution)
        if not sample.is_whole:
            log.info("evaluating on a sample of %.1f %% of %d examples", 100 * sample.share, sample.held_out)
        with keeping_predictions(folder, _kept(execution), sample):
            # TFMA updates its metrics in Python: AutoGraph has nothing to convert, but its look at them takes seconds.
            tf.autograph.experimental.do_not_convert(self.run_stock)(replace(execution, properties=properties))
        if not sample.is_whole:
            sample.save(folder)


def _kept(execution: Execution) -> Kept:
    """Return what is kept of an execution besides the answers."""
    config = _config(execution)
    features = [name for spec in config.slicing_specs for name in (*spec.feature_keys, *spec.feature_values)]
    metrics = config.metrics_specs[0].metrics
    ours: dict[str, Any] = next(
        (json.loads(one.config) for one in metrics if one.class_name == LabelMetrics.__name__), {}
    )
    names = classes_of(read_schema(execution.input(standard_component_specs.SCHEMA_KEY).uri))

    def in_order(key: str) -> tuple[float, ...]:
        thresholds = dict(zip(ours.get("labels", ()), ours.get(key, ()), strict=False))
        return tuple(thresholds[name] for name in names if name in thresholds)

    slices = tuple(dict.fromkeys(name for name in features if name != LABEL))
    return Kept(names, in_order("thresholds"), in_order("baseline_thresholds"), slices)


def _sample(execution: Execution) -> EvaluationSample:
    """Return the sample of the held-out examples on which the model is evaluated."""
    manifest = Manifest.load(execution.input(standard_component_specs.EXAMPLES_KEY).uri)
    splits = json_utils.loads(execution.properties[standard_component_specs.EXAMPLE_SPLITS_KEY])
    return EvaluationSample.of(sum(map(manifest.examples, splits)))


def _config(execution: Execution) -> tfma.EvalConfig:
    """Return the configuration of TFMA that an execution has."""
    config = tfma.EvalConfig()
    proto_utils.json_to_proto(execution.properties[standard_component_specs.EVAL_CONFIG_KEY], config)
    return config


def _records(execution: Execution) -> Iterator[bytes]:
    """Yield the serialized tf.Examples that are evaluated."""
    sample = _sample(execution)
    for split in json_utils.loads(execution.properties[standard_component_specs.EXAMPLE_SPLITS_KEY]):
        for folder in artifact_utils.get_split_uris(execution.inputs[standard_component_specs.EXAMPLES_KEY], split):
            files = sorted(tf.io.gfile.glob(io_utils.all_files_pattern(folder)))
            yield from (one for one in tf.data.TFRecordDataset(files).as_numpy_iterator() if one in sample)


def _on_common(baseline: str, candidate: str, common: Sequence[str], records: Iterator[bytes]) -> str:
    """Return the accuracies on the classes that both models know, as text for the reason."""
    try:
        count, accuracies = accuracies_on_common((baseline, candidate), common, records)
    except RouteError as error:
        return f" (and rejects an example: {error})"
    if not count:
        return ""
    before, now = accuracies
    return f" (on the {count:,} examples of {list_names(common, NAMED)}: {before:.4f} before, {now:.4f} now)"


class Evaluator(TfxEvaluator):
    """TFX's component with that executor."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(EvaluatorExecutor)


def evaluator(
    task: Task, examples: types.Channel, model: types.Channel, baseline: types.Channel | None, schema: types.Channel
) -> Evaluator:
    """Return the component; without a baseline, only the limits on the candidate apply."""
    return Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline,
        schema=schema,
        eval_config=eval_config(task),
        example_splits=[task.evaluate.split],
    )
