"""The results of an evaluation, and whether they are good enough to push."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow_model_analysis as tfma

from components.release.label_metrics import MEAN_AVERAGE_PRECISION
from components.task.task import Task
from data.errors import QualityError
from data.spec import LABEL

ACCURACY = "sparse_categorical_accuracy"
ERROR = "mean_squared_error"
ROUNDING = 1e-6  # TFMA's metrics are float32: 7 of 10 is 0.69999999, which must pass a limit of 0.7
_ALL = "overall"
_NAMES = {ACCURACY: "accuracy", MEAN_AVERAGE_PRECISION: "mean average precision", ERROR: "mean squared error"}
_LIMITS = {ACCURACY: "min_accuracy", MEAN_AVERAGE_PRECISION: "min_average_precision", ERROR: "max_error"}


def metric_of(task: Task) -> str:
    """Return TFMA's name of the metric that decides."""
    if task.is_multi_label:
        return MEAN_AVERAGE_PRECISION
    return ACCURACY if task.is_classification else ERROR


def quality_limit(task: Task) -> float:
    """Return the smallest value that passes, of an error the largest, with a margin for rounding."""
    metric = metric_of(task)
    limit = getattr(task.evaluate, _LIMITS[metric])
    if metric != ERROR:
        return limit - ROUNDING
    return float("inf") if limit is None else limit * (1 + ROUNDING)


@dataclass(frozen=True)
class Evaluation:
    """The results of the Evaluator.

    Attributes:
      metrics: The candidate's metrics by slice ("overall", "label:3") and name. With several labels, "label:3" has the
        metrics of this label on all examples.
      examples: Number of evaluated examples.
      baseline: The deciding metric of the baseline on the same examples; None without a baseline.
    """

    metrics: dict[str, dict[str, float]]
    examples: int
    baseline: float | None

    @classmethod
    def load(cls, folder: str, metric: str) -> Evaluation:
        """Read a ModelEvaluation artifact."""
        result = tfma.load_eval_result(folder, model_name=None) if not _has_baseline(folder) else None
        candidate = result or tfma.load_eval_result(folder, model_name="candidate")
        metrics = _by_slice(candidate)
        of_all = next(found for keys, found in candidate.slicing_metrics if not keys)
        # `components.release.label_metrics` has the labels as TFMA's output names.
        metrics |= {f"{LABEL}:{label}": _values(found) for label, found in of_all.items() if label}
        baseline = None
        if result is None:
            baseline = _by_slice(tfma.load_eval_result(folder, model_name="baseline"))[_ALL][metric]
        return cls(metrics, int(metrics[_ALL].get("example_count", 0)), baseline)


def _has_baseline(folder: str) -> bool:
    return len(tfma.load_eval_results([folder]).get_results()) > 1


def _by_slice(result: Any) -> dict[str, dict[str, float]]:
    found = {_slice_name(keys): _values(values[""]) for keys, values in result.slicing_metrics}
    for name, metrics in found.items():
        if name != _ALL:  # a slice may have no example of any label; of all examples, the metric that decides must show
            found[name] = {metric: value for metric, value in metrics.items() if not math.isnan(value)}
    return found


def _slice_name(keys: tuple[tuple[str, Any], ...]) -> str:
    return ", ".join(f"{name}:{_text(value)}" for name, value in keys) or _ALL


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _values(found: Any) -> dict[str, float]:
    flat = found[""]
    # With a baseline, TFMA adds the differences under other names.
    return {
        name: float(value["doubleValue"])  # "NaN" is a text in JSON
        for name, value in flat.items()
        if "doubleValue" in value and not name.endswith("_diff")
    }


def check_quality(evaluation: Evaluation, task: Task, blessed: bool) -> None:
    """Check that the model was blessed.

    Raises:
      QualityError: If it was not; names the metric, its value and the limit.
    """
    if blessed:
        return
    metric, settings = metric_of(task), task.evaluate
    value, name = evaluation.metrics[_ALL][metric], _NAMES[metric]
    limit = quality_limit(task)
    if value > limit if metric == ERROR else value < limit:
        key = _LIMITS[metric]
        side = "above" if metric == ERROR else "below"
        raise QualityError(
            f"not pushed: {name} {value:.4f} is {side} the limit {getattr(settings, key):.4f}",
            hint=f"Improve the training, or change the limit with --set evaluate.{key}=VALUE",
        )
    if evaluation.baseline is not None:
        raise QualityError(
            f"not pushed: {name} {value:.4f} is worse than {evaluation.baseline:.4f} of the last blessed model"
            f" (allowed drop {settings.max_drop:g})",
            hint="The last model keeps serving. To allow a drop, use --set evaluate.max_drop=VALUE",
        )
    raise QualityError(f"not pushed: {name} is {value}")
