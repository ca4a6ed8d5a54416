"""Which way a metric is better: from its name in TFMA's results."""

from __future__ import annotations

# What has no better direction has no `max_drop`.
_NEITHER = {"calibration", "mean_label", "mean_prediction", "predicted_positive_rate", "prevalence"}
_NEITHER |= {"prevalence_threshold", "threshold_at_recall", "example_count"}
_ERRORS = ("_error", "_crossentropy", "_cross_entropy", "negative_likelihood_ratio")
_LOWER = {"brier_score", "expected_calibration_error", "fall_out", "fpr", "miss_rate", "fnr"}
_LOWER |= {"false_discovery_rate", "false_omission_rate", "false_positives", "fp", "false_negatives", "fn"}


def has_direction(metric: str) -> bool:
    """Return whether a higher or a lower value is better.

    Args:
      metric: Name in TFMA's results, maybe with arguments: "recall_at_precision(precision=0.9)".
    """
    return _bare(metric) not in _NEITHER


def is_relative(metric: str) -> bool:
    """Return whether a change is a share of the value before: of errors and losses, which have no largest value."""
    return _bare(metric).endswith(_ERRORS) and _bare(metric) not in _LOWER


def is_higher_better(metric: str) -> bool:
    """Return whether a higher value is better."""
    return not is_relative(metric) and _bare(metric) not in _LOWER


def _bare(metric: str) -> str:
    return metric.partition("(")[0]
