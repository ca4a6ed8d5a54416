"""Charts of a training: the curve of every metric and the learning rate, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence

from components.release.direction import is_higher_better
from pipeline.report.page.charts import Bar, Chart, Rule, Series, bar_chart, line_chart
from pipeline.report.page.metric_text import is_share, metric_title
from pipeline.report.page.text import format_share
from pipeline.report.record import TrainingSummary

RATE = "learning_rate"
STAGES = {
    "read": "waiting: read the files",
    "parse": "waiting: parse the records",
    "transform": "waiting: decode and resize",
}
_WIDE = 100  # largest by smallest value that needs a logarithmic axis
_BOUNDED = ("acc", "auc", "precision", "recall", "f1")  # parts of the names of metrics that are at most 1


def draw_history(training: TrainingSummary) -> list[Chart]:
    """Return a chart for each metric, the losses after the others, and one for a learning rate that changes.

    Args:
      training: Of the run.
    """
    series = {name: values for name, values in training.history.items() if values}
    names = [name for name in series if name != RATE and not (name.startswith("val_") and name[4:] in series)]
    names.sort(key=lambda name: name.endswith("loss"))  # readers look for the accuracy
    charts = [_curves(name, series, training) for name in names]
    if len(set(series.get(RATE, ()))) > 1:
        charts.append(_rate(series[RATE], training))
    return charts


def draw_waiting(training: TrainingSummary) -> Chart | None:
    """Return how the time of the training steps divides into computing and waiting for input; None if it is unknown.

    Args:
      training: Of the run.
    """
    if not training.images_per_second:
        return None
    waiting = round(training.waiting_share, 3)  # as it is shown: the parts add up to 100%
    parts = {"computing": 1 - waiting}
    if training.input_stages:
        total = sum(training.input_stages.values()) or 1.0
        parts |= {STAGES.get(name, name): waiting * one / total for name, one in training.input_stages.items()}
    else:
        parts["waiting for input"] = waiting
    bars = [Bar(name, value, format_share(value)) for name, value in parts.items()]
    return bar_chart("Where the time of the training steps went", bars, "share of the time", x_range=(0, 1))


def _curves(name: str, series: dict[str, list[float]], training: TrainingSummary) -> Chart:
    """Return training against validation of a metric."""
    both = [("training", series.get(name, [])), ("validation", series.get(f"val_{name}", []))]
    lines = [_line(label, values, style, training) for style, (label, values) in enumerate(both) if values]
    found = [y for line in lines for y in line.ys if math.isfinite(y)]
    is_wide = bool(found) and min(found) > 0 and max(found) > _WIDE * min(found)
    title = metric_title(name)
    return line_chart(
        title[:1].upper() + title[1:],
        lines,
        "epoch",
        title,
        x_range=_epochs(lines),
        y_range=None if is_wide else _range(name, found),
        y_log=is_wide,
        whole_xs=True,
        rules=_rules(training),
    )


def _line(label: str, values: Sequence[float], style: int, training: TrainingSummary) -> Series:
    xs = range(1, len(values) + 1)
    best = training.best_epoch
    marks = [(best, values[best - 1])] if 0 < best <= len(values) else []
    return Series(label, xs, values, style, marks)


def _rate(values: list[float], training: TrainingSummary) -> Chart:
    """Return the learning rate by epoch."""
    lines = [Series("", range(1, len(values) + 1), values, is_step=True)]
    known = [value for value in values if math.isfinite(value)]
    is_wide = bool(known) and min(known) > 0 and max(known) > _WIDE * min(known)
    low, high = (0.0, 1.1 * max(known, default=1.0))
    return line_chart(
        "Learning rate",
        lines,
        "epoch",
        "learning rate",
        x_range=_epochs(lines),
        y_range=None if is_wide or high <= low else (low, high),
        y_log=is_wide,
        whole_xs=True,
        rules=_rules(training, best=False),
    )


def _epochs(lines: Sequence[Series]) -> tuple[float, float]:
    """Return the ends of the axis of epochs; a single epoch is in the middle."""
    last = max((len(line.xs) for line in lines), default=1)
    return (0.5, 1.5) if last == 1 else (1, last)


def _range(name: str, values: Sequence[float]) -> tuple[float, float] | None:
    """Return the ends of a metric's axis, so wide that values that are nearly equal look so."""
    if not values:
        return None
    low, high = min(values), max(values)
    is_bounded = (is_share(name) or any(part in name for part in _BOUNDED)) and high <= 1 and is_higher_better(name)
    room = max(0.06 * (high - low), ((0.1 if is_bounded else 0.1 * abs(high)) - (high - low)) / 2)
    low, high = (low - room if low < 0 or low - room > 0 else 0.0), high + room
    if high <= low:
        return None
    return (low, min(high, 1.0)) if is_bounded else (low, high)


def _rules(training: TrainingSummary, best: bool = True) -> list[Rule]:
    """Return a line at the epoch that was exported, and one before each later phase."""
    found = training.best_epoch if best else 0
    later = [Rule(phase.epoch - 0.5, phase.name) for phase in training.phases if phase.epoch > 1]
    return [*([Rule(found, f"exported: epoch {found}")] if found else []), *later]
