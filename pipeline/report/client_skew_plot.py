"""Plot of client skew: a bar for each client with its own preprocessing, as the skew gate measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.figure import BLUE, GREY, add_cell, new_figure, shorten
from pipeline.report.record import RunRecord
from pipeline.report.skew import format_points, format_share, measure, worst_first
from serving.parity.client_skew import ClientSkewCost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

LEAST_SCALE = 0.05
"""Smallest range of the axis, so that a bar of less than 5 % looks short."""


def draw_client_skew(record: RunRecord) -> Figure | None:
    """Draw the share of the answers that each client would have changed, the worst client first.

    Next to each bar are the number of changed answers and the change of the accuracy.

    Returns:
      The figure; None if the record has no such clients, as for models on numbers.
    """
    costs = worst_first(record.skew.client_skew if record.skew else ())
    if not record.skew or not costs:
        return None
    quality = measure(record.skew)
    has_accuracy = any(cost.accuracy is not None for cost in costs)
    width, height = 8.5, 1.75 + 0.36 * len(costs)
    figure = new_figure(width, height, _title(record.task, costs[0], quality))
    # The cells are outside the axes, at shares of the axes' width: leave room for them, in inches, left and right.
    figure.set_layout_engine("none")
    span = 3.6 if has_accuracy else 4.6
    axes = figure.add_axes((2.3 / width, 0.6 / height, span / width, (height - 1.2) / height))
    _rows(axes, costs, 1 + 1.25 / span, (1 + 2.4 / span, quality) if has_accuracy else None)
    worst = costs[0].flipped / costs[0].pictures
    limit = min(1.0, max(LEAST_SCALE, 1.05 * worst))
    axes.set(xlim=(0, limit), ylim=(len(costs) - 0.4, -1.3), yticks=[], xlabel="share of the answers")
    axes.xaxis.set_major_locator(_ticks())
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _title(task: str, worst: ClientSkewCost, quality: str) -> str:
    known = worst.accuracy_served is not None
    served = f", served with an {quality} of {format_share(worst.accuracy_served or 0.0)}" if known else ""
    changed = "answers that a common client would have changed"
    title = changed if worst.flipped else "no common client would have changed an answer"
    return f"{shorten(task, 40)}: {title}\n{worst.pictures:,} picture{'s' if worst.pictures != 1 else ''}{served}"


def _rows(axes: Axes, costs: list[ClientSkewCost], numbers: float, change: tuple[float, str] | None) -> None:
    """Draw a bar and its cells for each client, and the cells' headings.

    Args:
      axes: Of the bars.
      costs: Of the clients, one for each row.
      numbers: Right edge of the column with the changed answers, as a share of the axes' width.
      change: The same of the column with the change of the accuracy, and its heading; None without that column.
    """
    for row, cost in enumerate(costs):
        share = cost.flipped / cost.pictures
        axes.barh(row, share, height=0.62, color=BLUE)
        add_cell(axes, -0.02, row, shorten(cost.client, 28), "right")
        changed = f"{cost.flipped:,} ({format_share(share)})" if cost.flipped else "none"
        add_cell(axes, numbers, row, changed, "right")
        if change is not None:
            points = format_points(cost)
            add_cell(axes, change[0], row, f"{points} points" if points else "unknown", "right")
    add_cell(axes, numbers, -0.9, "changed", "right", GREY)
    if change is not None:
        add_cell(axes, change[0], -0.9, change[1], "right", GREY)


def _ticks() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
