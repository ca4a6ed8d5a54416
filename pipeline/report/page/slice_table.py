"""The tables of the page that have the quality by slice."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import EvaluationReview, Interval, SliceQuality
from pipeline.report.page.class_table import MeasuredValue, measure_share
from pipeline.report.page.metric_text import format_metric, format_range, is_improvement, is_share, metric_title
from pipeline.report.record import EvaluationSummary

SHOWN = 20  # slices of a feature before a click
LISTED = 500  # slices of a feature


@dataclass(frozen=True)
class SliceRow:
    """A slice.

    Attributes:
      value: Of the feature; untrusted text.
      examples: Number of examples.
      quality: Value of the metric.
    """

    value: str
    examples: int
    quality: MeasuredValue


@dataclass(frozen=True)
class SliceGroup:
    """The slices by one feature.

    Attributes:
      feature: Its name.
      metric: In words.
      rows: At most `LISTED`, the worst first.
      total: Number of all slices.
      shown: Number of rows before a click.
      has_bars: Whether the metric is a share, 0..1, which a bar can show.
    """

    feature: str
    metric: str
    rows: list[SliceRow]
    total: int
    shown: int
    has_bars: bool


def view_slices(
    evaluation: EvaluationSummary | None, review: EvaluationReview | None, measured: str, *, without_labels: bool
) -> list[SliceGroup]:
    """Return the slices by feature; empty without any.

    Args:
      evaluation: The Evaluator's results, used if the review has no slices.
      review: With intervals.
      measured: The metric of the review.
      without_labels: Leave the slices by label out: another table has the classes.
    """
    if review and review.slices:
        metric, found = measured, review.slices
    else:
        evaluation = evaluation or EvaluationSummary()
        metric, found = evaluation.metric, _slices_of_record(evaluation)
    groups: dict[str, list[SliceQuality]] = {}
    for one in found:
        if not (without_labels and one.feature == "label"):
            groups.setdefault(one.feature, []).append(one)
    return [_group(feature, slices, metric) for feature, slices in groups.items()]


def measure_metric(metric: str, found: Interval | None) -> MeasuredValue:
    """Return a value of a metric with its interval."""
    if found is None or is_share(metric):
        return measure_share(found)
    return MeasuredValue(found.value, format_metric(metric, found.value), format_range(metric, found))


def _group(feature: str, slices: list[SliceQuality], metric: str) -> SliceGroup:
    rows = [SliceRow(one.value, one.examples, measure_metric(metric, one.quality)) for one in slices]
    sign = 1 if is_improvement(metric, 1.0) else -1
    rows.sort(key=lambda row: float("inf") if row.quality.value is None else sign * row.quality.value)
    return SliceGroup(feature, metric_title(metric), rows[:LISTED], len(rows), SHOWN, is_share(metric))


def _slices_of_record(evaluation: EvaluationSummary) -> list[SliceQuality]:
    """Return the slices of a record, without intervals."""
    found = []
    for name, metrics in evaluation.slices.items():
        feature, colon, value = name.partition(":")
        known = metrics.get(evaluation.metric)
        if colon and known is not None:
            nan = float("nan")
            found.append(SliceQuality(feature, value, int(metrics.get("example_count", 0)), Interval(known, nan, nan)))
    return found
