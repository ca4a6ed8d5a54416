"""The results of an evaluation, and whether they are good enough to push."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2

from components.release.class_metrics import CONFUSION_MATRIX, ClassMetrics
from components.release.label_metrics import MEAN_AVERAGE_PRECISION
from components.release.limits import Limit, limits_of
from components.release.measures import ACCURACY, ERROR
from components.release.sample import read_held_out
from components.release.score_metrics import CALIBRATION_BINS
from components.task.task import Task
from data.errors import QualityError
from data.spec import LABEL

_ALL = "overall"
_NAMES = {ACCURACY: "accuracy", MEAN_AVERAGE_PRECISION: "mean average precision", ERROR: "mean squared error"}
_NAMED = 5  # limits at most that an error names
_Slice = tuple[tuple[str, Any], ...]  # names and values of its features; empty: all examples


@dataclass(frozen=True)
class Violation:
    """A limit that a model does not meet in a slice.

    Attributes:
      metric: TFMA's name.
      label: Class or label; "": all of them together.
      where: The slice, "image/format=PNG"; "": all examples.
      threshold: TFMA's.
      value: The candidate's; None if there is no such slice.
      before: The baseline's, if the limit compares with it.
    """

    metric: str
    label: str
    where: str
    threshold: tfma.MetricThreshold
    value: float | None
    before: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The results of the Evaluator.

    Attributes:
      metrics: The candidate's metrics by slice ("overall", "label:3") and name. "label:3" has also what compares this
        class or label with all others, on all examples.
      examples: Number of evaluated examples.
      baseline: The deciding metric of the baseline on the same examples; None without a baseline.
      violations: The limits that the candidate does not meet.
      confusion: Number of examples by class and by answer, without zeros; empty without classes.
      calibration: Number, mean score and share of right answers of the scores in each bin; without empty bins.
      held_out: Number of held-out examples, if those evaluated are a sample; 0: all were evaluated.
    """

    metrics: dict[str, dict[str, float]]
    examples: int
    baseline: float | None
    violations: tuple[Violation, ...] = ()
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    calibration: list[dict[str, float]] = field(default_factory=list)
    held_out: int = 0

    @classmethod
    def load(cls, folder: str, metric: str) -> Evaluation:
        """Read a ModelEvaluation artifact."""
        has_baseline = len(tfma.load_eval_results([folder]).get_results()) > 1
        candidate = tfma.load_eval_result(folder, model_name="candidate" if has_baseline else None)
        before = _values(tfma.load_eval_result(folder, model_name="baseline")) if has_baseline else {}
        now, of_all = _values(candidate), dict(candidate.slicing_metrics)[()][""][""]
        metrics = _by_slice(now)
        return cls(
            metrics,
            int(metrics[_ALL].get("example_count", 0)),
            before[(), "", metric] if has_baseline else None,
            tuple(violations(tfma.load_validation_result(folder), now, before)),
            _confusion(of_all, _classes(candidate.config)),
            _calibration(of_all),
            read_held_out(folder),
        )


_Values = Mapping[tuple[_Slice, str, str], float]  # by slice, class or label, and metric


def _values(result: Any) -> dict[tuple[_Slice, str, str], float]:
    """Return the values of all metrics that are numbers."""
    return {
        (keys, output, name): float(value["doubleValue"])  # "NaN" is a text in JSON
        for keys, outputs in result.slicing_metrics
        for output, found in outputs.items()
        for name, value in found[""].items()  # "" is TFMA's place for a binarization, which there is none of
        # With a baseline, TFMA adds the differences under other names.
        if "doubleValue" in value and not name.endswith("_diff")
    }


def _by_slice(values: _Values) -> dict[str, dict[str, float]]:
    """Return the metrics of each slice; those of a class or label, on all examples, are in its slice.

    A slice may have no example of any label; of all examples, the metric that decides must show.
    """
    found: dict[str, dict[str, float]] = {}
    for (keys, label, name), value in values.items():
        if keys and label:
            continue
        metrics = found.setdefault(f"{LABEL}:{label}" if label else _slice_name(keys), {})
        if not math.isnan(value) or not (keys or label):
            metrics[name] = value
    for (keys, label, name), value in values.items():
        if label and not keys and not math.isnan(value):  # not what the slice of the class has under this name
            found[f"{LABEL}:{label}"][name] = value
    return found


def _slice_name(keys: _Slice) -> str:
    return ", ".join(f"{name}:{_text(value)}" for name, value in keys) or _ALL


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _classes(config: tfma.EvalConfig) -> list[str]:
    """Return the classes in the order of the confusion matrix."""
    for metric in config.metrics_specs[0].metrics:
        if metric.class_name == ClassMetrics.__name__:
            return list(json.loads(metric.config)["classes"])
    return []


def _confusion(found: Mapping[str, Any], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the confusion matrix from TFMA's form; a place of 0 is left out there."""
    value = found.get(CONFUSION_MATRIX, {}).get("multiClassConfusionMatrixAtThresholds", {})
    counts: dict[str, dict[str, int]] = {}
    for matrix in value.get("matrices", ()):
        for entry in matrix.get("entries", ()):
            label, answer = (classes[entry.get(name, 0)] for name in ("actualClassId", "predictedClassId"))
            counts.setdefault(label, {})[answer] = int(entry["numWeightedExamples"])
    return counts


def _calibration(found: Mapping[str, Any]) -> list[dict[str, float]]:
    value = found.get("calibration_bins", {}).get("arrayValue", {}).get("float64Values", ())
    bins = [value[place::CALIBRATION_BINS] for place in range(CALIBRATION_BINS)] if value else []
    return [
        {"examples": int(count), "score": scores / count, "right": right / count}
        for count, scores, right in (map(float, one) for one in bins)
        if count and math.isfinite(scores)
    ]


# Limits


def violations(result: validation_result_pb2.ValidationResult, now: _Values, before: _Values) -> list[Violation]:
    """Return the limits that a model does not meet.

    Args:
      result: TFMA's verdict.
      now: The candidate's metrics.
      before: The baseline's; may be empty.
    """
    found = []
    for one in result.metric_validations_per_slice:
        keys = tfma.slicer.deserialize_slice_key(one.slice_key)
        where = ", ".join(f"{name}={_text(value)}" for name, value in keys)
        for failure in one.failures:
            key = failure.metric_key
            place = (keys, key.output_name, key.name)
            value, other = now.get(place), before.get(place) if key.is_diff else None
            found.append(Violation(key.name, key.output_name, where, failure.metric_threshold, value, other))
    for spec in result.missing_slices:
        where = ", ".join([*(f"{name}={value}" for name, value in spec.feature_values.items()), *spec.feature_keys])
        found.append(Violation("", "", where, tfma.MetricThreshold(), None))
    return found


def check_quality(evaluation: Evaluation, task: Task, blessed: bool) -> None:
    """Check that the model was blessed.

    Raises:
      QualityError: If it was not; names each limit that is not met, with the metric, its value and the limit.
    """
    if blessed:
        return
    limits = limits_of(task)
    found = [(_limit_of(violation, limits), violation) for violation in evaluation.violations]
    found.sort(key=lambda pair: limits.index(pair[0]) if pair[0] else len(limits))
    texts = list(dict.fromkeys(_describe(limit, violation) for limit, violation in found))
    more = f" and {len(texts) - _NAMED} more limits" if len(texts) > _NAMED else ""
    raise QualityError(f"not pushed: {'; '.join(texts[:_NAMED])}{more}", hint=_hint(found))


def _limit_of(violation: Violation, limits: Sequence[Limit]) -> Limit | None:
    """Return the limit of a task that a violation is about."""
    for limit in limits:
        same = (limit.measure.key, limit.name.label) == (violation.metric, violation.label)
        if same and bool(limit.name.feature) == bool(violation.where) and limit.threshold() == violation.threshold:
            return limit
    return None


def _describe(limit: Limit | None, violation: Violation) -> str:
    """Return a violation as text."""
    if limit is None:
        return f"no example has {violation.where}, which a limit names"
    name = _NAMES.get(violation.metric, limit.name.metric)
    name += f" of {limit.name.label}" if limit.name.label else ""
    name += f" on {violation.where}" if violation.where else ""
    value = violation.value
    if value is None or math.isnan(value):
        return f"{name} is {value}" if value is not None else f"{name} is missing"
    if limit.kind != "max_drop":
        side = "below" if limit.kind == "minimum" else "above"
        return f"{name} {value:.4f} is {side} the limit {limit.value:.4f}"
    before = math.nan if violation.before is None else violation.before
    return f"{name} {value:.4f} is worse than {before:.4f} of the last blessed model (allowed drop {limit.value:g})"


def _hint(found: Sequence[tuple[Limit | None, Violation]]) -> str:
    """Return what to do about violations."""
    known = [(limit, violation) for limit, violation in found if limit is not None]
    undefined = [limit for limit, violation in known if violation.value is None or math.isnan(violation.value)]
    measured = [limit for limit, _ in known if limit not in undefined]
    hints = []
    values = _settings([limit for limit in measured if limit.kind != "max_drop"])
    if values:
        hints.append(f"Improve the training, or change the limit with {values}")
    drops = _settings([limit for limit in measured if limit.kind == "max_drop"])
    if drops:
        hints.append(f"The last model keeps serving. To allow a drop, use {drops}")
    if any(limit.measure.one_vs_rest for limit in undefined):
        hints.append("A metric of one class against the others needs examples of both.")
    if len(known) < len(found):
        hints.append("Remove the limit, or correct the name or the value of the feature.")
    return " ".join(hints)


def _settings(limits: Sequence[Limit]) -> str:
    """Return the arguments of the command line that change limits."""
    found: dict[str, list[str]] = {}
    for limit in limits:
        text = f"{limit.name.text}:VALUE" if limit.is_by_metric else "VALUE"
        found[limit.setting] = list(dict.fromkeys([*found.get(limit.setting, []), text]))
    return " ".join(f"--set evaluate.{setting}={','.join(texts)}" for setting, texts in found.items())
