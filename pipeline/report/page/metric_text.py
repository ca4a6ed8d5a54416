"""Metrics as the page shows them: their names in words, values, differences and intervals."""

from __future__ import annotations

import math

from components.release import direction
from components.review.record import Interval
from pipeline.report.page.text import format_number, format_share

ACCURACY = "sparse_categorical_accuracy"  # TFMA's names, as in components.release.measures, which loads TFMA
PRECISION = "mean_average_precision"
ERROR = "mean_squared_error"

_TITLES = {
    ACCURACY: "accuracy",
    "auc": "AUC",
    "mean_auc": "mean AUC",
    "f1": "F1",
    "mean_f1": "mean F1",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "brier_score": "Brier score",
    "example_count": "examples",
    "expected_calibration_error": "calibration error",
    "sparse_categorical_crossentropy": "cross-entropy",
    "lr": "learning rate",
}
_SHARES = {ACCURACY, "accuracy", "exact_match", "precision", "recall", "balanced_accuracy", "binary_accuracy"}
_KERAS_ERRORS = {"loss", "mae", "mse"}  # names in a history, which TFMA spells out
_MINUS = "\N{MINUS SIGN}"


def is_share(metric: str) -> bool:
    """Return whether a metric is a share of examples.

    Args:
      metric: TFMA's or Keras' name.
    """
    bare = metric.removeprefix("val_").removeprefix("mean_")
    return bare in _SHARES or bare.startswith("top_") and bare.endswith("_accuracy")


def metric_title(metric: str) -> str:
    """Return the name of a metric in words."""
    if metric.startswith("val_"):
        return f"{metric_title(metric[4:])}, validation"
    return _TITLES.get(metric, metric.replace("_", " "))


def format_metric(metric: str, value: float) -> str:
    """Return a value of a metric: shares of examples as a percentage."""
    return format_share(value) if is_share(metric) else format_number(value)


def format_range(metric: str, found: Interval) -> str:
    """Return the ends of an interval: "90.4% to 95.5%"; "" without one."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return ""
    return f"{format_metric(metric, found.low)} to {format_metric(metric, found.high)}"


def format_points(difference: float) -> str:
    """Return a difference of shares in percentage points: "+1.3", "−0.04", "0.0"."""
    change = 100 * difference
    if not math.isfinite(change):
        return "-"
    if abs(change) < 0.005:
        return "0.0"
    return (f"{change:+.1f}" if abs(change) >= 0.1 else f"{change:+.2f}").replace("-", _MINUS)


def format_difference(metric: str, difference: float) -> str:
    """Return a difference of two values with its sign: of shares "+1.3 points", otherwise a number."""
    if not math.isfinite(difference):
        return "-"
    if is_share(metric):
        return f"{format_points(difference)} points"
    sign = "+" if difference > 0 else _MINUS if difference < 0 else ""
    return f"{sign}{format_number(abs(difference))}"


def is_improvement(metric: str, difference: float) -> bool | None:
    """Return whether a change of a metric is for the better; None if it is no change, or no value is better."""
    bare = metric.removeprefix("val_")
    if not math.isfinite(difference) or difference == 0 or not direction.has_direction(bare):
        return None
    is_higher_better = bare not in _KERAS_ERRORS and direction.is_higher_better(bare)
    return (difference > 0) == is_higher_better
