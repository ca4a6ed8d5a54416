"""Metrics in words."""

from __future__ import annotations

import math

import pytest

from components.review.record import Interval
from pipeline.report.page import metric_text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("sparse_categorical_accuracy", "accuracy"),
        ("mean_average_precision", "mean average precision"),
        ("val_loss", "loss, validation"),
        ("top_5_accuracy", "top 5 accuracy"),
        ("auc", "AUC"),
    ],
)
def test_names(name: str, title: str) -> None:
    assert metric_text.metric_title(name) == title


def test_values_and_differences() -> None:
    minus = "\N{MINUS SIGN}"
    assert metric_text.format_metric("top_3_accuracy", 0.934) == "93.4%"
    assert metric_text.format_metric("auc", 0.934) == "0.934"
    assert metric_text.format_difference("accuracy", -0.0123) == f"{minus}1.2 points"
    assert metric_text.format_difference("accuracy", 0.0004) == "+0.04 points"
    assert metric_text.format_difference("loss", 0.25) == "+0.25"
    assert metric_text.format_difference("loss", -1250.0) == f"{minus}1,250"
    assert metric_text.format_difference("loss", math.nan) == "-"
    assert metric_text.format_range("accuracy", Interval(0.9, 0.85, 0.94)) == "85.0% to 94.0%"
    assert metric_text.format_range("accuracy", Interval(0.9, math.nan, 0.94)) == ""


@pytest.mark.parametrize(
    ("metric", "is_better_if_higher"),
    [
        ("accuracy", True),
        ("auc", True),
        ("val_loss", False),
        ("loss", False),
        ("mae", False),
        ("mean_squared_error", False),
        ("expected_calibration_error", False),
        ("brier_score", False),
        ("sparse_categorical_crossentropy", False),
        ("example_count", None),
        ("prevalence", None),
    ],
)
def test_which_way_is_better(metric: str, is_better_if_higher: bool | None) -> None:
    assert metric_text.is_improvement(metric, 0.1) is is_better_if_higher
    assert metric_text.is_improvement(metric, 0.0) is None
    if is_better_if_higher is not None:
        assert metric_text.is_improvement(metric, -0.1) is not is_better_if_higher
