"""What clients with preprocessing of their own would have changed: a bar for each, as the gate measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.figure import BLUE, GREY, add_cell, new_figure, shorten
from pipeline.report.record import RunRecord
from pipeline.report.skew import format_points, format_share, worst_first

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

LEAST_SCALE = 0.05
"""Of the axis: a bar of less than 5 % should look like little."""


def draw_client_skew(record: RunRecord) -> Figure | None:
    """The share of changed predictions, the worst client first; their number and the accuracy as words beside it."""
    costs = worst_first(record.skew.get("avoided", ()))
    if not costs:
        return None
    pictures, served = costs[0]["pictures"], costs[0]["accuracy_served"]
    beside = "" if served is None else f", served with an accuracy of {format_share(served)}"
    some, none = "answers that a naive client would have changed", "no naive client would have changed an answer"
    title = f"{shorten(record.task, 40)}: {some if costs[0]['flipped'] else none}\n"
    title += f"{pictures:,} picture{'s' if pictures != 1 else ''}{beside}"
    has_accuracy = any(one["accuracy"] is not None for one in costs)
    width, height = 8.5, 1.75 + 0.36 * len(costs)
    figure = new_figure(width, height, title)
    # The cells lie beside the axes, at shares of their width: room for them in inches, left and right.
    figure.set_layout_engine("none")
    span = 3.6 if has_accuracy else 4.6
    axes = figure.add_axes((2.3 / width, 0.6 / height, span / width, (height - 1.2) / height))
    numbers, change = 1 + 1.25 / span, 1 + 2.4 / span
    for row, one in enumerate(costs):
        part = one["flipped"] / one["pictures"]
        axes.barh(row, part, height=0.62, color=BLUE)
        add_cell(axes, -0.02, row, shorten(one["client"], 28), "right")
        told = f"{one['flipped']:,} ({format_share(part)})" if one["flipped"] else "none"
        add_cell(axes, numbers, row, told, "right")
        if has_accuracy:
            add_cell(axes, change, row, f"{format_points(one)} points" if format_points(one) else "unknown", "right")
    add_cell(axes, numbers, -0.9, "changed", "right", GREY)
    if has_accuracy:
        add_cell(axes, change, -0.9, "accuracy", "right", GREY)
    worst = costs[0]["flipped"] / pictures
    limit = min(1.0, max(LEAST_SCALE, 1.05 * worst))
    axes.set(xlim=(0, limit), ylim=(len(costs) - 0.4, -1.3), yticks=[], xlabel="share of the answers")
    axes.xaxis.set_major_locator(_ticks())
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _ticks() -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
