"""The section `evaluation` of the page: how good the answers are, which are wrong, and what has changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from components.review.record import Change, EvaluationReview, Picture, Review
from pipeline.report.page.charts import Chart
from pipeline.report.page.class_curves import (
    ClassCurve,
    draw_calibration_charts,
    draw_residual_charts,
    draw_threshold_curves,
)
from pipeline.report.page.class_table import ClassTable, view_classes
from pipeline.report.page.confusion_matrix import ConfusionView, view_confusion
from pipeline.report.page.metric_text import (
    ACCURACY,
    ERROR,
    PRECISION,
    format_difference,
    format_metric,
    format_range,
    is_improvement,
    metric_title,
)
from pipeline.report.page.slice_table import SliceGroup, view_slices
from pipeline.report.page.text import count_noun
from pipeline.report.record import EvaluationSummary, RunRecord

_MEASURED = {"class": ACCURACY, "label": "exact_match", "number": ERROR}  # of `EvaluationReview.quality`, by noun
_FIRST = ("accuracy", "exact_match", PRECISION, "top_5_accuracy", "auc", "f1", "brier_score")  # in this order


@dataclass(frozen=True)
class MetricFigure:
    """A metric over all held-out examples.

    Attributes:
      name: In words.
      text: Its value.
      detail: Interval, or value of the baseline; may be empty.
    """

    name: str
    text: str
    detail: str = ""


@dataclass(frozen=True)
class ExampleGallery:
    """Examples of one kind.

    Attributes:
      title: Of the gallery.
      lead: What they are, in a sentence.
      pictures: At most a few dozen.
      total: Number of all such examples; 0 if it is not known.
    """

    title: str
    lead: str
    pictures: list[Picture]
    total: int = 0


@dataclass(frozen=True)
class ChangeView:
    """What changed against the baseline.

    Attributes:
      counts: The numbers of examples.
      metric: Whose difference it is, in words.
      difference: This model's value minus that of the model before, with its interval.
      verdict: Whether chance explains it, in a sentence; may be empty.
    """

    counts: Change
    metric: str
    difference: str
    verdict: str


@dataclass(frozen=True)
class EvaluationView:
    """What the template `evaluation.html.j2` shows.

    Attributes:
      examples: Number of evaluated examples.
      noun: What an answer is: "class", "label" or "number".
      figures: The metrics, the one that decides first.
      confusion: Of classes; None without.
      galleries: Mistakes, likely label errors and unusual examples; only those that have any.
      classes: Quality by class or label; None of numbers.
      curves: Precision and recall by threshold.
      calibration: Charts of the scores.
      slices: The deciding metric by slice.
      change: Against the baseline; None without one.
      residuals: Charts of the errors of numbers.
      held_out: Number of held-out examples, if those evaluated are a sample; otherwise 0.
    """

    examples: int
    noun: str
    figures: list[MetricFigure]
    confusion: ConfusionView | None = None
    galleries: list[ExampleGallery] = field(default_factory=list)
    classes: ClassTable | None = None
    curves: list[ClassCurve] = field(default_factory=list)
    calibration: list[Chart] = field(default_factory=list)
    slices: list[SliceGroup] = field(default_factory=list)
    change: ChangeView | None = None
    residuals: list[Chart] = field(default_factory=list)
    held_out: int = 0


def build_evaluation(record: RunRecord, review: Review) -> EvaluationView | None:
    """Return the view; None if the run has nothing to show here.

    Args:
      record: Of the run.
      review: The pictures.
    """
    summary, found = record.evaluation, review.evaluation
    if not summary and not found:
        return None
    thresholds = record.training.thresholds if record.training else {}
    noun = _noun(summary, found)
    measured = _MEASURED[noun]
    classes = view_classes(summary, found, thresholds)
    overall = summary.overall if summary else {}
    return EvaluationView(
        found.examples if found and found.examples else int(overall.get("example_count", 0)),
        noun,
        _figures(summary, found, measured),
        view_confusion(summary, found) if noun == "class" else None,
        _galleries(found, noun) if found else [],
        classes,
        draw_threshold_curves(found.curves) if found else [],
        draw_calibration_charts(summary),
        view_slices(summary, found, measured, without_labels=classes is not None),
        view_change(found.change, measured) if found and found.change else None,
        draw_residual_charts(found.residuals) if found and found.residuals else [],
        summary.held_out if summary else 0,
    )


def _noun(summary: EvaluationSummary | None, found: EvaluationReview | None) -> str:
    """Return what an answer of the model is."""
    metric = summary.metric if summary else ""
    if metric == ERROR or (found and found.residuals):
        return "number"
    return "label" if metric == PRECISION else "class"


# Metrics


def _figures(summary: EvaluationSummary | None, found: EvaluationReview | None, measured: str) -> list[MetricFigure]:
    """Return the metric that decides, with its interval and the baseline, and then the others.

    Args:
      summary: The Evaluator's metrics.
      found: Has the interval.
      measured: The metric that the interval is of: the mean average precision has no simple one.
    """
    metric = summary.metric if summary else measured
    overall = dict(summary.overall) if summary else {}
    overall.pop("example_count", None)
    details = {}
    if found and found.quality:
        overall.setdefault(measured, found.quality.value)
        between = format_range(measured, found.quality)
        details[measured] = f"95% interval {between}" if between else ""
    if summary and summary.baseline is not None and math.isfinite(summary.baseline):
        before = f"{format_metric(metric, summary.baseline)} before"
        details[metric] = "; ".join(part for part in (details.get(metric, ""), before) if part)
    elif found and found.quality_before:
        before = f"{format_metric(measured, found.quality_before.value)} before"
        details[measured] = "; ".join(part for part in (details.get(measured, ""), before) if part)
    names = sorted(overall, key=lambda name: _place(name, metric))
    return [
        MetricFigure(metric_title(name), format_metric(name, overall[name]), details.get(name, "")) for name in names
    ]


def _place(name: str, metric: str) -> tuple[int, str]:
    if name in (metric, f"mean_{metric}"):
        return -1, name
    bare = name.removeprefix("mean_")
    return (_FIRST.index(bare) if bare in _FIRST else len(_FIRST)), name


# Pictures


def _galleries(found: EvaluationReview, noun: str) -> list[ExampleGallery]:
    """Return the galleries that have pictures."""
    mistakes = found.residuals.worst if found.residuals else found.mistakes
    lead = {
        "class": "The wrong answers with the largest scores; the number is the score of the answer.",
        "label": "The examples with a wrong or a missing label whose score is farthest from its threshold.",
        "number": "The examples whose answer is farthest from the right number.",
    }[noun]
    among = f", compared among {count_noun(found.unusual_among, 'example')}" if found.unusual_among else ""
    every = [
        ExampleGallery("Largest errors" if noun == "number" else "Worst mistakes", lead, mistakes, found.mistake_count),
        ExampleGallery(
            "Likely label errors",
            "The model is as sure of another label as it is, on average, of the examples that have it. Check these"
            " first. (Confident learning: Northcutt, Jiang, Chuang, JAIR 2021.)",
            found.label_errors,
            found.label_error_count,
        ),
        ExampleGallery(
            "Most unusual examples",
            f"Those least like all others, by what the last layer of the model sees{among}.",
            found.unusual,
        ),
    ]
    return [one for one in every if one.pictures]


# What changed


def view_change(found: Change, metric: str) -> ChangeView:
    """Return a change with the interval of its difference, and whether chance explains it.

    Args:
      found: The change.
      metric: Whose difference it has.
    """
    difference = found.difference
    text = format_difference(metric, difference.value)
    if math.isfinite(difference.low) and math.isfinite(difference.high):
        low, high = (format_difference(metric, one) for one in (difference.low, difference.high))
        text += f" (95% interval {low.removesuffix(' points')} to {high})"
    return ChangeView(found, metric_title(metric), text, _verdict(found, metric))


def _verdict(found: Change, metric: str) -> str:
    low, high = found.difference.low, found.difference.high
    if not (found.won or found.lost):
        return "No answer is better or worse than before."
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if low <= 0 <= high:
        return "This may be chance: the interval contains zero."
    better = "better" if is_improvement(metric, found.difference.value) else "worse"
    return f"This model is {better}, and by more than chance: the interval does not contain zero."
