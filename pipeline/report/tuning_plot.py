"""The plot of a tuning, `tuning.png`: the score of each trial in order, and by the value of each tuned setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from components.tuning.record import TrialRecord, TuningRecord
from pipeline.report.figure import BLUE, GREY, ORANGE, new_figure, save_png, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
_TRIAL: dict[str, Any] = {"color": BLUE, "marker": "o", "linestyle": "", "markersize": 5, "alpha": 0.8}
_BEST: dict[str, Any] = {"color": ORANGE, "marker": "s", "linestyle": "", "markersize": 8, "markeredgecolor": "black"}
_LONGEST = 18  # characters of a value


def write_tuning_plot(record: TuningRecord, path: str) -> None:
    """Draw the plot and write it, to a local or remote path."""
    save_png(draw_tuning(record), path)


def draw_tuning(record: TuningRecord) -> Figure:
    """Draw a panel of the trials in order, and one for each setting with all finished trials.

    Args:
      record: Of a tuning with a finished trial.
    """
    names = list(dict.fromkeys(name for one in record.ranked for name in one.settings))
    panels = 1 + len(names)
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    best = "highest" if record.direction == "max" else "lowest"
    title = f"{record.task}: {record.objective} of {len(record.trials)} trials, the {best} is best"
    figure = new_figure(max(4.2 * columns, 6.4), 3.4 * rows + 0.4, title)
    grid = figure.add_gridspec(rows, columns)
    _draw_order(figure.add_subplot(grid[0, 0]), record)
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        _draw_setting(axes, record, name)
    return figure


def _draw_order(axes: Axes, record: TuningRecord) -> None:
    """Draw the score of each trial, the best so far as a line, and where trials failed."""
    finished = sorted(record.ranked, key=lambda one: one.number)
    numbers, scores = [one.number for one in finished], [_score(one) for one in finished]
    pick = max if record.direction == "max" else min
    so_far = [pick(scores[: place + 1]) for place in range(len(scores))]
    axes.step(numbers, so_far, where="post", color=GREY, linewidth=1.5, label="best so far")
    axes.plot(numbers, scores, label="trial", **_TRIAL)
    axes.plot([record.ranked[0].number], [_score(record.ranked[0])], label="best", **_BEST)
    failed = [one.number for one in record.failed]
    if failed:
        low = axes.get_ylim()[0]
        axes.plot(failed, [low] * len(failed), label="failed", color="black", marker="x", linestyle="")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), frameon=False, fontsize=8, ncols=4, handlelength=1.5)
    _finish(axes, record, "trial")
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _draw_setting(axes: Axes, record: TuningRecord, name: str) -> None:
    """Draw the score of the trials by the value of a setting."""
    trials = [one for one in record.ranked if name in one.settings]
    texts = [one.settings[name] for one in trials]
    numbers = _numbers(texts)
    is_list = name in record.over and ".." not in record.over[name]
    if numbers is None or is_list:
        places = _draw_values(axes, texts, numbers)
    else:
        places = numbers
        if ":log" in record.over.get(name, "") or (min(places) > 0 and max(places) >= 50 * min(places)):
            axes.set_xscale("log")
        else:
            axes.locator_params(axis="x", nbins=5)
    scores = [_score(one) for one in trials]
    axes.plot(places, scores, **_TRIAL)
    axes.plot(places[:1], scores[:1], **_BEST)  # the first is the best
    _finish(axes, record, name)


def _draw_values(axes: Axes, texts: list[str], numbers: list[float] | None) -> list[float]:
    """Set up an axis with the values of a list side by side; return the place of each text."""
    order = dict(zip(texts, numbers, strict=True)) if numbers else {}
    values = sorted(dict.fromkeys(texts), key=lambda text: (order.get(text, 0.0), text))
    axes.set_xticks(range(len(values)), [shorten(value, _LONGEST) or '""' for value in values], fontsize=8)
    if sum(map(len, values)) > 30:
        axes.tick_params(axis="x", rotation=30)
    axes.set_xlim(-0.5, len(values) - 0.5)
    return [float(values.index(text)) for text in texts]


def _finish(axes: Axes, record: TuningRecord, name: str) -> None:
    scores = [_score(one) for one in record.ranked]
    if record.direction == "min" and min(scores) > 0 and max(scores) > 100 * min(scores):
        axes.set_yscale("log")
    axes.set_xlabel(name, parse_math=False)
    axes.set_ylabel(record.objective, parse_math=False)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _numbers(texts: list[str]) -> list[float] | None:
    """Return the numbers of texts; None if one is not a finite number."""
    try:
        found = [float(text) for text in texts]
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def _score(trial: TrialRecord) -> float:
    assert trial.score is not None, "only finished trials are drawn"
    return trial.score
