"""The page that compares two runs: `skewless report TASK --against RUN`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from components.review.record import EvaluationReview, Review
from pipeline.report.page.charts import Chart, Series, line_chart
from pipeline.report.page.class_table import MeasuredValue, QualityRow, view_classes
from pipeline.report.page.compared_answers import ComparedAnswers, compare_answers
from pipeline.report.page.compared_facts import (
    compare_components,
    compare_data,
    compare_metrics,
    compare_proof,
    compare_settings,
    compare_training,
)
from pipeline.report.page.metric_text import ERROR, format_difference, format_metric, format_range, metric_title
from pipeline.report.page.render import Section, render
from pipeline.report.page.sections.evaluation import ChangeView, view_change
from pipeline.report.page.text import count_noun
from pipeline.report.record import RunRecord, TrainingSummary

LISTED = 1000  # classes of the table
SHOWN = 30  # of them, before a click


@dataclass(frozen=True)
class ComparedClass:
    """A class or label of both runs.

    Attributes:
      name: Of the class; untrusted text.
      examples: Number of held-out examples of A and of B, as text.
      recall: Of A and of B.
      f1: Of A and of B.
      change: B minus A of the F1, or of the recall if there is none; None if it is not known.
      text: The change as text.
      kind: good, bad, or empty if nothing changed.
    """

    name: str
    examples: str
    recall: tuple[MeasuredValue, MeasuredValue]
    f1: tuple[MeasuredValue, MeasuredValue]
    change: float | None
    text: str
    kind: str


@dataclass(frozen=True)
class AnswersView:
    """The answers of both runs to the same examples.

    Attributes:
      verdict: Which run is better, in a sentence.
      kind: good if B is better, bad if it is worse, plain if that is open.
      note: On which examples; or why the answers cannot be compared.
      is_number: Whether an answer is a number.
      change: What changed from A to B; None if that is not known.
    """

    verdict: str
    kind: str
    note: str
    is_number: bool
    change: ChangeView | None


@dataclass(frozen=True)
class ComparedClasses:
    """The classes of both runs.

    Attributes:
      rows: At most `LISTED`, those that changed most first.
      total: Number of all classes.
      shown: Number of rows before a click.
    """

    rows: list[ComparedClass]
    total: int
    shown: int


def render_comparison(one: RunRecord, other: RunRecord) -> str:
    """Return the page that compares two runs, as HTML.

    Args:
      one: Record of run A, the earlier one.
      other: Record of run B; differences are B minus A.
    """
    reviews = [_review_of(record) for record in (one, other)]
    answers = compare_answers(one, other, reviews)
    every: list[tuple[str, str, Any]] = [
        ("answers", "Answers", view_compared_answers(answers)),
        ("settings", "Settings", compare_settings(one, other)),
        ("metrics", "Metrics", compare_metrics(one, other)),
        ("classes", "Classes", _view_classes(one, other, reviews)),
        ("curves", "Training curves", draw_curves(one, other)),
        ("training", "Training", compare_training(one, other)),
        ("data", "Data", compare_data(one, other)),
        ("proof", "Verdict and proof", compare_proof(one, other)),
        ("components", "Components", compare_components(one, other)),
    ]
    # Equal settings are worth a sentence; whatever else is empty is left out.
    sections = [Section(title, name, view) for name, title, view in every if view or name == "settings"]
    return render("compare.html.j2", f"{other.task}: two runs", one=one, other=other, record=other, sections=sections)


def _review_of(record: RunRecord) -> EvaluationReview | None:
    """Return the pictures of a run; None if there are none any more."""
    if not record.review:
        return None
    try:
        return Review.read(record.review).evaluation
    except (tf.errors.OpError, KeyError, TypeError, ValueError):
        return None


# Answers


def view_compared_answers(found: ComparedAnswers | None) -> AnswersView:
    """Return what the page shows of the answers; with None, why it shows nothing."""
    if found is None:
        note = "The answers of both runs are not there: run the task again with this version to compare pictures."
        return AnswersView("", "plain", note, False, None)
    of = " and ".join(f"{count:,}" for count in found.examples)
    note = f"On {count_noun(found.shared, 'held-out example')} that both runs have, with the same label (of {of})."
    if not found.shared:
        note = f"No held-out example is in both runs (of {of}), so their answers cannot be compared one by one."
    change = view_change(found.change, found.metric) if found.change else None
    text, kind = _verdict(found)
    return AnswersView(text, kind, note, found.metric == ERROR, change)


def _verdict(found: ComparedAnswers) -> tuple[str, str]:
    """Return which run is better in a sentence, and its kind."""
    if not (found.before and found.now and found.change):
        return "", "plain"
    metric, difference = found.metric, found.change.difference
    if not (found.change.won or found.change.lost):
        return f"Both runs answer the same: {metric_title(metric)} {format_metric(metric, found.now.value)}.", "plain"
    values = " against ".join(
        f"{format_metric(metric, one.value)} ({format_range(metric, one)})" for one in (found.now, found.before)
    )
    text = f"{metric_title(metric)} {values}: {format_difference(metric, difference.value)}"
    if not (math.isfinite(difference.low) and math.isfinite(difference.high)) or difference.low <= 0 <= difference.high:
        return f"Neither run is better beyond chance. B has the {text}.", "plain"
    is_lower_better = metric == ERROR
    is_better = (difference.value > 0) != is_lower_better
    return f"B is {'better' if is_better else 'worse'} than A: {text}.", "good" if is_better else "bad"


# Classes


def _view_classes(one: RunRecord, other: RunRecord, reviews: list[EvaluationReview | None]) -> ComparedClasses | None:
    tables = []
    for record, review in zip((one, other), reviews, strict=True):
        thresholds = record.training.thresholds if record.training else {}
        table = view_classes(record.evaluation, review, thresholds)
        tables.append({row.name: row for row in table.rows} if table else {})
    first, second = tables
    if not (first and second):
        return None
    rows = [_compare_class(name, first.get(name), second.get(name)) for name in dict.fromkeys([*second, *first])]
    rows.sort(key=lambda row: (row.change is None, -abs(row.change or 0.0), row.name))
    return ComparedClasses(rows[:LISTED], len(rows), SHOWN)


_NOTHING = MeasuredValue(None, "-")


def _compare_class(name: str, one: QualityRow | None, other: QualityRow | None) -> ComparedClass:
    recall, f1 = (
        (one.recall if one else _NOTHING, other.recall if other else _NOTHING),
        (one.f1 if one else _NOTHING, other.f1 if other else _NOTHING),
    )
    before, now = (part.value for part in (f1 if None not in (f1[0].value, f1[1].value) else recall))
    change = None if before is None or now is None else now - before
    text = "-" if change is None else format_difference("recall", change).removesuffix(" points")
    kind = "" if not change else "good" if change > 0 else "bad"
    counts = list(dict.fromkeys(f"{row.examples:,}" for row in (one, other) if row))
    return ComparedClass(name, " and ".join(counts), recall, f1, change, text, kind)


# Curves


def draw_curves(one: RunRecord, other: RunRecord) -> list[Chart]:
    """Return a chart for each metric of the training, with a line for each run."""
    first, second = (record.training or TrainingSummary() for record in (one, other))
    names = {*first.history, *second.history}
    charts = []
    for name in sorted(names, key=_place):
        lines = [
            _series(text, style, training, name)
            for style, (text, training) in enumerate((("A", first), ("B", second)))
            if training.history.get(name)
        ]
        title = metric_title(name)
        charts.append(line_chart(title, lines, "epoch", "", y_log=_is_wide(lines), whole_xs=True))
    return charts


def _is_wide(lines: list[Series]) -> bool:
    """Return whether values are so different that only a logarithmic axis shows the small ones."""
    values = [value for line in lines for value in line.ys if math.isfinite(value)]
    return min(values, default=0.0) > 0 and max(values) > 100 * min(values)


def _place(name: str) -> tuple[int, str, int]:
    """Return where a chart is: metrics, loss, learning rate, each of the validation before that of the training."""
    bare = name.removeprefix("val_")
    kind = 2 if bare in ("learning_rate", "lr") else 1 if bare == "loss" else 0
    return kind, bare, int(name == bare)


def _series(text: str, style: int, training: TrainingSummary, name: str) -> Series:
    values = [float(value) for value in training.history[name]]
    best = training.best_epoch
    marks = [(float(best), values[best - 1])] if 1 <= best <= len(values) else []
    return Series(text, range(1, len(values) + 1), values, style, marks)
