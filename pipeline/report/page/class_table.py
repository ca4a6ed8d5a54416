"""The table of the page that has the quality of each class or label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from components.review.record import ClassQuality, EvaluationReview, Interval
from data.sources.labels import label_order
from pipeline.report.page.metric_text import ACCURACY, format_range
from pipeline.report.page.text import format_number, format_share
from pipeline.report.record import EvaluationSummary

LISTED = 2000  # rows of the table
SHOWN = 40  # of them, before a click


@dataclass(frozen=True)
class MeasuredValue:
    """A value with its interval, as text and as a bar.

    Attributes:
      value: To sort by; None if it is not defined.
      text: The value.
      between: The ends of the interval; "" without one.
      low: Where the interval begins, 0..100 of the bar's width; None without one.
      high: Where it ends.
      width: Of the bar, 0..100.
    """

    value: float | None
    text: str
    between: str = ""
    low: float | None = None
    high: float | None = None
    width: float = 0.0


@dataclass(frozen=True)
class QualityRow:
    """A class or label.

    Attributes:
      name: Of the class; untrusted text.
      examples: Number of its examples.
      answers: Number of examples that were taken for it; None if it is not known.
      precision: Share of the answers that are right.
      recall: Share of the examples that are found.
      f1: Harmonic mean of both.
      threshold: Of the label's score; "" for classes.
    """

    name: str
    examples: int
    answers: int | None
    precision: MeasuredValue
    recall: MeasuredValue
    f1: MeasuredValue
    threshold: str = ""


@dataclass(frozen=True)
class ClassTable:
    """The quality by class or label.

    Attributes:
      rows: At most `LISTED`, the worst recall first.
      shown: Number of rows before a click.
      total: Number of all classes.
      has_answers: Whether the number of answers is known.
      has_thresholds: Whether the labels have thresholds.
    """

    rows: list[QualityRow]
    shown: int
    total: int
    has_answers: bool
    has_thresholds: bool


def view_classes(
    evaluation: EvaluationSummary | None, review: EvaluationReview | None, thresholds: Mapping[str, float]
) -> ClassTable | None:
    """Return the table; None without classes.

    Args:
      evaluation: The Evaluator's results, which take the place of what the review lacks.
      review: With intervals.
      thresholds: Threshold of each of several labels.
    """
    rows = [_row(one, thresholds) for one in review.classes] if review and review.classes else []
    rows = rows or _rows_of_counts(evaluation or EvaluationSummary()) or _rows_of_slices(evaluation, thresholds)
    if not rows:
        return None
    has_answers = any(one.answers is not None for one in rows)
    return ClassTable(rows[:LISTED], SHOWN, len(rows), has_answers, any(one.threshold for one in rows))


def measure_share(found: Interval | None) -> MeasuredValue:
    """Return a share with its interval."""
    if found is None or not math.isfinite(found.value):
        return MeasuredValue(None, "-")
    width = _place(found.value)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return MeasuredValue(found.value, format_share(found.value), width=width)
    between = format_range(ACCURACY, found)
    return MeasuredValue(found.value, format_share(found.value), between, _place(found.low), _place(found.high), width)


def measure_number(value: float | None, *, is_share: bool = False) -> MeasuredValue:
    """Return a value without an interval, 0..1."""
    if value is None or not math.isfinite(value):
        return MeasuredValue(None, "-")
    return MeasuredValue(value, format_share(value) if is_share else f"{value:.3f}", width=_place(value))


def _place(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 1)


def _row(found: ClassQuality, thresholds: Mapping[str, float]) -> QualityRow:
    return QualityRow(
        found.name,
        found.examples,
        found.answers,
        measure_share(found.precision),
        measure_share(found.recall),
        measure_number(found.f1),
        _threshold(found.name, thresholds),
    )


def _threshold(name: str, thresholds: Mapping[str, float]) -> str:
    return format_number(thresholds[name]) if name in thresholds else ""


def _rows_of_counts(evaluation: EvaluationSummary) -> list[QualityRow]:
    """Return rows without intervals, from the confusion matrix; empty without one."""
    confusion = evaluation.confusion
    answers: dict[str, int] = {}
    for counts in confusion.values():
        for answer, count in counts.items():
            answers[answer] = answers.get(answer, 0) + count
    rows = []
    for name in label_order({*confusion, *answers}):
        examples, right = sum(confusion.get(name, {}).values()), confusion.get(name, {}).get(name, 0)
        taken = answers.get(name, 0)
        precision, recall = (measure_number(right / of if of else None, is_share=True) for of in (taken, examples))
        f1 = measure_number(2 * right / (taken + examples))
        rows.append(QualityRow(name, examples, taken, precision, recall, f1))
    return sorted(rows, key=_worst_first)


def _rows_of_slices(evaluation: EvaluationSummary | None, thresholds: Mapping[str, float]) -> list[QualityRow]:
    """Return rows from the metrics by label, for several labels and old records; empty without any."""
    rows = []
    for key, found in (evaluation.slices if evaluation else {}).items():
        name = key.removeprefix("label:")
        if name == key:
            continue
        recall = found.get("recall", found.get(ACCURACY))
        precision, f1 = measure_number(found.get("precision"), is_share=True), measure_number(found.get("f1"))
        examples = int(found.get("example_count", 0))
        shares = (precision, measure_number(recall, is_share=True), f1)
        rows.append(QualityRow(name, examples, None, *shares, _threshold(name, thresholds)))
    return sorted(rows, key=_worst_first)


def _worst_first(row: QualityRow) -> float:
    return 2.0 if row.recall.value is None else row.recall.value
