"""The results of an evaluation, and whether they are good enough to push."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow_model_analysis as tfma

from components.task.task import Evaluate, Task
from data.errors import QualityError

ACCURACY = "sparse_categorical_accuracy"
ERROR = "mean_squared_error"
ROUNDING = 1e-6  # TFMA's metrics are float32: 7 of 10 is 0.69999999, which must pass a limit of 0.7


def metric_of(task: Task) -> str:
    """Return TFMA's name of the metric that decides."""
    return ACCURACY if task.is_classification else ERROR


def quality_limit(settings: Evaluate, is_classification: bool) -> float:
    """Return the smallest accuracy or the largest error that passes, with a margin for rounding."""
    if is_classification:
        return settings.min_accuracy - ROUNDING
    return float("inf") if settings.max_error is None else settings.max_error * (1 + ROUNDING)


@dataclass(frozen=True)
class Evaluation:
    """The results of the Evaluator.

    Attributes:
      metrics: The candidate's metrics by slice ("overall", "label:3") and name.
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
        metrics = {_slice_name(keys): _values(found) for keys, found in candidate.slicing_metrics}
        baseline = None
        if result is None:
            other = tfma.load_eval_result(folder, model_name="baseline")
            baseline = {_slice_name(keys): _values(found) for keys, found in other.slicing_metrics}["overall"][metric]
        return cls(metrics, int(metrics["overall"].get("example_count", 0)), baseline)


def _has_baseline(folder: str) -> bool:
    return len(tfma.load_eval_results([folder]).get_results()) > 1


def _slice_name(keys: tuple[tuple[str, Any], ...]) -> str:
    return ", ".join(f"{name}:{_text(value)}" for name, value in keys) or "overall"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _values(found: Any) -> dict[str, float]:
    flat = found[""][""]
    # With a baseline, TFMA adds the differences under other names.
    return {
        name: value["doubleValue"]
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
    value = evaluation.metrics["overall"][metric]
    name = "accuracy" if task.is_classification else "mean squared error"
    limit = quality_limit(settings, task.is_classification)
    below, above = task.is_classification and value < limit, not task.is_classification and value > limit
    if below or above:
        key = "min_accuracy" if below else "max_error"
        raise QualityError(
            f"not pushed: {name} {value:.4f} is {'below' if below else 'above'} the limit {getattr(settings, key):.4f}",
            hint=f"Improve the training, or change the limit with --set evaluate.{key}=VALUE",
        )
    if evaluation.baseline is not None:
        raise QualityError(
            f"not pushed: {name} {value:.4f} is worse than {evaluation.baseline:.4f} of the last blessed model"
            f" (allowed drop {settings.max_drop:g})",
            hint="The last model keeps serving. To allow a drop, use --set evaluate.max_drop=VALUE",
        )
    raise QualityError(f"not pushed: {name} is {value}")
