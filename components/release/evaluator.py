"""TFX's Evaluator: TFMA on the exported signature, with thresholds and the last blessed model as baseline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice

import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import wrappers_pb2
from tfx import types
from tfx.components import Evaluator as TfxEvaluator
from tfx.components.evaluator import constants, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils

from components.executor import ComponentExecutor, Execution
from components.prepare.schema import read_schema
from components.release.baseline import saved_model
from components.release.comparable import NAMED, Comparable, accuracies_on_common, check_comparable
from components.release.evaluation import ROUNDING, quality_limit
from components.task.task import Task
from data.names import list_names
from data.spec import LABEL
from serving import signatures
from serving.parity.routes import RouteError

log = logging.getLogger(__name__)
NO_BASELINE = "no_baseline"  # custom property of the ModelBlessing: why there was no comparison with the last model


def eval_config(task: Task) -> tfma.EvalConfig:
    """Return the configuration of TFMA.

    The model's signature is evaluated on the raw records, and the label is read from them: the evaluation does not
    repeat the preprocessing.
    """
    settings = task.evaluate
    spec = tfma.ModelSpec(
        signature_name=signatures.EXAMPLES,
        label_key=LABEL,
        prediction_key=signatures.SCORES if task.is_classification else signatures.OUTPUTS,
    )
    names = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"] if task.is_classification else []
    names += [] if task.is_classification else ["MeanSquaredError", "MeanAbsoluteError"]
    metrics = [tfma.MetricConfig(class_name=name) for name in [*names, "ExampleCount"]]
    metrics[0].per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=_threshold(task))
    # "label" is the default, but numbers have no slices.
    by = [name for name in settings.slices if task.is_classification or name != LABEL]
    slices = [tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in by)]
    return tfma.EvalConfig(model_specs=[spec], metrics_specs=[tfma.MetricsSpec(metrics=metrics)], slicing_specs=slices)


def _threshold(task: Task) -> tfma.MetricThreshold:
    """Return the limit on the value and on the change from the baseline; TFMA ignores the latter without a baseline."""
    limit, drop = quality_limit(task.evaluate, task.is_classification), task.evaluate.max_drop + ROUNDING
    if task.is_classification:
        value = tfma.GenericValueThreshold(lower_bound=wrappers_pb2.DoubleValue(value=limit))
        change = tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute=wrappers_pb2.DoubleValue(value=-drop)
        )
    else:
        value = tfma.GenericValueThreshold(upper_bound=wrappers_pb2.DoubleValue(value=limit))
        change = tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.LOWER_IS_BETTER, relative=wrappers_pb2.DoubleValue(value=drop)
        )
    return tfma.MetricThreshold(value_threshold=value, change_threshold=change)


class EvaluatorExecutor(ComponentExecutor, executor.Executor):
    """TFX's evaluation, with a baseline only if it can be compared (`components.release.comparable`).

    If it cannot, the limits on the candidate alone decide, and the blessing gives the reason under `NO_BASELINE`: a
    first model of a new kind must not be rejected because of one that answers another question.
    """

    def execute(self, execution: Execution) -> None:
        """Evaluate the candidate, and the baseline if there is one that can be compared."""
        baselines = execution.inputs.get(standard_component_specs.BASELINE_MODEL_KEY)
        if not baselines:
            self.run_stock(execution)
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
        (baseline,) = execution.inputs[standard_component_specs.BASELINE_MODEL_KEY]
        if folder == path_utils.serving_model_dir(baseline.uri):
            self.run_stock(execution)
            return
        given = baseline.uri
        # Among the outputs, where Beam's workers can read it, too.
        copy = f"{execution.output(constants.EVALUATION_KEY).uri}/.baseline"
        io_utils.copy_dir(folder, path_utils.serving_model_dir(copy))
        try:
            baseline.uri = copy
            self.run_stock(execution)
        finally:
            baseline.uri = given
            tf.io.gfile.rmtree(copy)
        blessing = execution.output(standard_component_specs.BLESSING_KEY)
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, folder)

    def _run_without_baseline(self, execution: Execution, reason: str) -> None:
        log.warning("no baseline: %s", reason)
        self.run_stock(execution.with_inputs(**{standard_component_specs.BASELINE_MODEL_KEY: []}))
        blessing = execution.output(standard_component_specs.BLESSING_KEY)
        blessing.set_string_custom_property(NO_BASELINE, reason)


def _records(execution: Execution) -> Iterator[bytes]:
    """Yield the serialized tf.Examples that are evaluated."""
    for split in json_utils.loads(execution.properties[standard_component_specs.EXAMPLE_SPLITS_KEY]):
        for folder in artifact_utils.get_split_uris(execution.inputs[standard_component_specs.EXAMPLES_KEY], split):
            files = sorted(tf.io.gfile.glob(io_utils.all_files_pattern(folder)))
            yield from tf.data.TFRecordDataset(files).as_numpy_iterator()


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
