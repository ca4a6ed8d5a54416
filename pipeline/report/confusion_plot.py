"""Plots of a classifier's answers: which classes it confuses, and how far its scores can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.report.figure import BLUE, GREY, ORANGE, add_cell, new_figure, shorten
from pipeline.report.record import EvaluationSummary, RunRecord
from pipeline.report.skew import format_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 40  # of a matrix
MOST_COUNTS = 20  # classes of a matrix whose cells have room for a number
MOST_PAIRS = 30  # of the list that replaces a larger matrix
Confusion = Mapping[str, Mapping[str, int]]


def list_confused(confusion: Confusion) -> list[tuple[str, str, int]]:
    """Return class, wrong answer and number of examples of each pair, the most frequent first."""
    pairs = [
        (label, answer, count)
        for label, answers in confusion.items()
        for answer, count in answers.items()
        if label != answer
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def draw_confusion(record: RunRecord) -> Figure | None:
    """Draw the confusion matrix; of more than 40 classes a bar for each of the pairs that are confused most.

    Returns:
      The figure; None if the record has no confusion matrix.
    """
    confusion = (record.evaluation or EvaluationSummary()).confusion
    if not confusion:
        return None
    names = list(dict.fromkeys([*confusion, *(answer for answers in confusion.values() for answer in answers)]))
    if len(names) <= MOST_CLASSES:
        return _draw_matrix(record.task, confusion, names)
    return _draw_pairs(record.task, confusion, len(names))


def _draw_matrix(task: str, confusion: Confusion, names: list[str]) -> Figure:
    """Draw a cell for each class and answer; the colour is the share of the class."""
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.array([[confusion.get(label, {}).get(answer, 0) for answer in names] for label in names])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.0, 0.32 * len(names) + 0.8)
    figure = new_figure(side + 2.6, side + 2.0, f"{task}: answers on held-out examples by class")
    axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("share", ["white", BLUE])
    image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="equal")
    labels: dict[str, Any] = {"fontsize": 9, "parse_math": False}
    axes.set_xticks(range(len(names)), [shorten(name, 20) for name in names], rotation=90, **labels)
    axes.set_yticks(range(len(names)), [shorten(name, 20) for name in names], **labels)
    axes.set(xlabel="answer", ylabel="class")
    if len(names) <= MOST_COUNTS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{counts[row, column]:,}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8 if len(text) < 4 else 6)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, label="share of the class")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    return figure


def _draw_pairs(task: str, confusion: Confusion, classes: int) -> Figure:
    """Draw a bar for each pair of a class and a wrong answer: its share of the class."""
    pairs = list_confused(confusion)[:MOST_PAIRS]
    title = f"{task}: what is confused most often, of {classes:,} classes" if pairs else f"{task}: no answer is wrong"
    width, height = 8.5, 1.75 + 0.24 * max(len(pairs), 1)
    figure = new_figure(width, height, title)
    # The cells are outside the axes, at shares of the axes' width: leave room for them, in inches, left and right.
    figure.set_layout_engine("none")
    axes = figure.add_axes((3.9 / width, 0.6 / height, 3.0 / width, (height - 1.1) / height))
    for row, (label, answer, count) in enumerate(pairs):
        share = count / sum(confusion[label].values())
        axes.barh(row, share, height=0.66, color=BLUE)
        add_cell(axes, -0.03, row, f"{shorten(label, 24)}, taken for {shorten(answer, 24)}", "right")
        add_cell(axes, 1.45, row, f"{count:,} ({format_share(share)})", "right")
    add_cell(axes, 1.45, -1, "examples", "right", GREY)
    axes.set(xlim=(0, 1), ylim=(max(len(pairs), 1) - 0.4, -1.4), yticks=[], xlabel="share of the class")
    _tidy(axes, "x")
    return figure


def draw_calibration(record: RunRecord) -> Figure | None:
    """Draw how often answers with a score are right, above the number of scores; on the diagonal, they can be trusted.

    Returns:
      The figure; None if the record has no calibration.
    """
    evaluation = record.evaluation or EvaluationSummary()
    bins = evaluation.calibration
    if not bins:
        return None
    error = evaluation.overall.get("expected_calibration_error", float("nan"))
    of = "the largest score" if evaluation.confusion else "all scores"
    figure = new_figure(5.6, 6.2, f"{record.task}: calibration of {of}\nexpected calibration error {error:.4f}")
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1])
    scores, right = [one["score"] for one in bins], [one["right"] for one in bins]
    upper, lower = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.3, label="score = share of right answers")
    upper.plot(scores, right, color=BLUE, marker="o", linewidth=1.8, markersize=5, label="this model")
    upper.legend(loc="upper left", frameon=False, fontsize=9)
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share of right answers")
    lower.bar(scores, [one["examples"] for one in bins], width=1 / 22, color=ORANGE)
    lower.set(xlim=(0, 1), xlabel="mean score of a bin", ylabel="scores")
    for axes in (upper, lower):
        _tidy(axes, "both")
    return figure


def _tidy(axes: Axes, grid: Any) -> None:
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
