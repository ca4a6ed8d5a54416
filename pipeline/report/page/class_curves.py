"""Charts of scores: precision and recall by threshold, calibration, and the errors of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.review.record import Residuals, ThresholdCurve
from pipeline.report.page.charts import Chart, Series, histogram, line_chart, scatter
from pipeline.report.record import EvaluationSummary

_BINS = 15  # of the calibration, as in components.release.score_metrics, which loads TFMA
_SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class ClassCurve:
    """The curves of one class or label.

    Attributes:
      name: Of the class; untrusted text.
      chart: Precision and recall by threshold.
      note: One line; may be empty.
    """

    name: str
    chart: Chart
    note: str


def draw_threshold_curves(curves: Sequence[ThresholdCurve]) -> list[ClassCurve]:
    """Return the curves of each class; one without a point is left out."""
    return [_draw_curve(one) for one in curves if one.thresholds and (one.precision or one.recall)]


def _draw_curve(found: ThresholdCurve) -> ClassCurve:
    lines = []
    for style, (name, values) in enumerate({"precision": found.precision, "recall": found.recall}.items()):
        count = min(len(values), len(found.thresholds))
        lines.append(Series(name, found.thresholds[:count], values[:count], style, _marks(found, values[:count])))
    title = f"{found.name}: precision and recall by threshold"
    chart = line_chart(title, lines, "threshold of the score", "share", y_range=_SHARE, x_range=_SHARE)
    note = "" if found.chosen is None else f"The dots are at {found.chosen:.3g}, the threshold that is served."
    return ClassCurve(found.name, chart, note)


def _marks(found: ThresholdCurve, values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the point of a line that is nearest to the threshold that is served."""
    chosen = found.chosen
    if chosen is None or not values:
        return []
    place = min(range(len(values)), key=lambda one: abs(found.thresholds[one] - chosen))
    return [(found.thresholds[place], values[place])]


def draw_calibration_charts(evaluation: EvaluationSummary | None) -> list[Chart]:
    """Return how often answers with a score are right, and how many scores there are; empty if it is not known."""
    bins = evaluation.calibration if evaluation else []
    if not evaluation or not bins:
        return []
    of = "the largest score" if evaluation.confusion else "all scores"
    model = Series("this model", [one["score"] for one in bins], [one["right"] for one in bins])
    counts = [0.0] * _BINS
    for one in bins:
        counts[min(int(one["score"] * _BINS), _BINS - 1)] += one["examples"]
    edges = [place / _BINS for place in range(_BINS + 1)]
    return [
        line_chart(
            f"Calibration of {of}",
            [model],
            "mean score of a bin",
            "share of right answers",
            y_range=_SHARE,
            x_range=_SHARE,
            diagonal=True,
        ),
        histogram(
            f"Number of {'examples by largest score' if evaluation.confusion else 'scores'}", edges, counts, "score"
        ),
    ]


def draw_residual_charts(found: Residuals) -> list[Chart]:
    """Return the answers against the right numbers, and the errors; empty without examples."""
    charts = []
    if found.labels:
        title = "Answers against the right numbers"
        charts.append(scatter(title, found.labels, found.answers, "right number", "answer", diagonal=True))
    if found.errors.counts:
        charts.append(histogram("Errors: answer minus label", found.errors.edges, found.errors.counts, "error"))
    return charts
