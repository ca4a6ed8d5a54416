"""What a run looks like: the history of its training, the accuracy of each class, its model; as PNG beside `run.json`.

What clients with preprocessing of their own would have changed is drawn by `draw_client_skew`.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.report.client_skew_plot import draw_client_skew
from pipeline.report.figure import BLUE, GREY, ORANGE, add_cell, new_figure, save_png, shorten
from pipeline.report.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING: dict[str, Any] = {"color": BLUE, "linestyle": "-", "marker": "o", "linewidth": 1.8, "markersize": 5}
VALIDATION: dict[str, Any] = {"color": ORANGE, "linestyle": "--", "marker": "s", "linewidth": 1.8, "markersize": 5}
RATE = "learning_rate"
SHOWN_CLASSES = 40
SHOWN_LAYERS = 44  # of a longer model the middle is left out
_HIGHER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1")
_NAMES = {"mae": "mean absolute error", "mse": "mean squared error", RATE: "learning rate"}
_ACCURACY = "sparse_categorical_accuracy"


def draw_plots(record: RunRecord, folder: str) -> list[str]:
    """Writes `history.png`, `classes.png`, `model.png` and `avoided.png`, those that the record has the figures for.

    Args:
      record: of a run; an older one, or one that failed early, may lack any part.
      folder: where to write, local or remote.

    Returns:
      The paths written.
    """
    written = []
    for name, make in (
        ("history", draw_history),
        ("classes", draw_classes),
        ("model", draw_model),
        ("avoided", draw_client_skew),
    ):
        figure = make(record)
        if figure is not None:
            written.append(posixpath.join(folder, f"{name}.png"))
            save_png(figure, written[-1])
    return written


# The history of the training


def draw_history(record: RunRecord) -> Figure | None:
    """Training against validation by epoch: a panel for each metric, and one for the learning rate where it is told."""
    series = {name: values for name, values in record.training.get("history", {}).items() if values}
    names = [name for name in series if not name.startswith("val_") and name != RATE]
    if not names:
        return None
    names.sort(key=lambda name: name == "loss")  # what one reads first stands first
    epochs = max(map(len, series.values()))
    has_rate = len(set(series.get(RATE, ()))) > 1  # one that stays the same tells nothing
    title = f"{record.task}: training against validation, {epochs} epoch{'s' if epochs > 1 else ''}"
    figure = new_figure(5.2 * max(len(names), 1.2), 4.4 + 1.4 * has_rate, title)
    grid = figure.add_gridspec(1 + has_rate, len(names), height_ratios=[3, 1][: 1 + has_rate])
    for column, name in enumerate(names):
        axes = figure.add_subplot(grid[0, column])
        _curves(axes, name, series[name], series.get(f"val_{name}", []))
        _epochs(axes, epochs)
        _marks(axes, record.training, epochs)
    if has_rate:
        axes = figure.add_subplot(grid[1, :])
        style: dict[str, Any] = {"color": GREY, "linewidth": 1.8, "marker": "o" if epochs == 1 else ""}
        axes.step(_numbers(series[RATE]), _finite(series[RATE]), where="mid", **style)
        axes.set_ylabel(_NAMES[RATE])
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
        axes.margins(y=0.15)
        _epochs(axes, epochs)
    return figure


def _curves(axes: Axes, name: str, training: list[float], validation: list[float]) -> None:
    """A metric's two lines; the legend, above them where it hides neither, tells their last and best values."""
    higher = any(part in name for part in _HIGHER_IS_BETTER)
    every = max(1, len(training) // 12)
    for label, values, style in (("training", training, TRAINING), ("validation", validation, VALIDATION)):
        if values:
            text = f"{label}: {_last_and_best(_finite(values), higher)}"
            axes.plot(_numbers(values), _finite(values), label=text, markevery=every, **style)
    title = _NAMES.get(name, name.replace("_", " "))
    both = [value for value in _finite([*training, *validation]) if not math.isnan(value)]
    if not higher and both and min(both) > 0 and max(both) > 100 * min(both):
        axes.set_yscale("log")
        title += " (log scale)"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=42, parse_math=False)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), frameon=False, fontsize=9, handlelength=4)
    _make_room(axes, at_most_one=higher and max(both, default=2) <= 1)


def _last_and_best(values: list[float], higher: bool) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "not a number"
    best = max(known) if higher else min(known)
    last = "not a number" if math.isnan(values[-1]) else _short(values[-1])
    if len(values) == 1:
        return last
    return f"last {last}, best {_short(best)} (epoch {values.index(best) + 1})"


def _make_room(axes: Axes, at_most_one: bool) -> None:
    """Leaves a band above the lines for the labels of the marks; ticks stay within what a share can be.

    Values that are nearly the same get a wider range, which makes a trifle look like one.
    """
    low, high = axes.get_ylim()
    wider = max(0.0, (0.1 if at_most_one else 0.1 * abs(high)) - (high - low)) / 2
    scale = axes.yaxis.get_transform()
    low, high = scale.transform([low - wider, high + wider])
    axes.set_ylim(*scale.inverted().transform([low, high + 0.2 * (high - low)]))
    if at_most_one:
        axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1])


def _epochs(axes: Axes, epochs: int) -> None:
    """The axis of the epochs: whole numbers from 1."""
    from matplotlib.ticker import MaxNLocator

    room = max(0.5, 0.03 * epochs)
    axes.set_xlim(1 - room, epochs + room)
    locator = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    ticks = {1, *(int(tick) for tick in locator.tick_values(1, epochs) if 1 < tick <= epochs)}
    axes.set_xticks(sorted(ticks))
    axes.set_xlabel("epoch")
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def _marks(axes: Axes, training: dict[str, Any], epochs: int) -> None:
    """A line at the epoch that was exported, and one before each later phase."""
    best = training.get("best_epoch")
    marks = [(best, f"exported: epoch {best}", ":")] if best else []
    for phase in training.get("phases", []):
        if phase["epoch"] > 1:
            marks.append((phase["epoch"] - 0.5, f"{phase['name']} from epoch {phase['epoch']}", "-."))
    for place, (at, text, style) in enumerate(marks):
        top = 0.985 - 0.065 * (place % 3)  # a line ends at its own label, below those of the lines before it
        axes.axvline(at, ymax=top, color=GREY, linestyle=style, linewidth=1.3, zorder=1)
        is_left = at <= (1 + epochs) / 2
        axes.annotate(
            text,
            (at, top),
            (4 if is_left else -4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if is_left else "right",
            va="top",
            fontsize=8.5,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )


def _numbers(values: list[float]) -> range:
    return range(1, len(values) + 1)


def _finite(values: list[float]) -> list[float]:
    """Infinity is no place on a page: such values are left out of it, as are those that are no number."""
    return [value if math.isfinite(value) else math.nan for value in map(float, values)]


def _short(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1000 or not value else f"{value:.3g}"


# The accuracy of each class


def draw_classes(record: RunRecord) -> Figure | None:
    """A bar for each class, the worst first, at most 40; the accuracy of all held-out examples as a line."""
    slices = record.evaluation.get("slices", {})
    found = [
        (values[_ACCURACY], name.removeprefix("label:"), int(values.get("example_count", 0)))
        for name, values in slices.items()
        if name.startswith("label:") and math.isfinite(values.get(_ACCURACY, math.nan))
    ]
    if not found:
        return None
    found.sort(key=lambda one: one[0])
    shown = found[:SHOWN_CLASSES]
    which = f"the {len(shown)} worst of {len(found)} classes" if len(shown) < len(found) else f"{len(found)} classes"
    width, height = 8.5, 1.6 + 0.24 * len(shown)
    figure = new_figure(width, height, f"{record.task}: accuracy on held-out examples, {which}")
    # The cells lie beside the axes, at shares of their width: room for them in inches, left and right.
    figure.set_layout_engine("none")
    axes = figure.add_axes((2.3 / width, 0.6 / height, 4.5 / width, (height - 1.05) / height))
    for row, (accuracy, name, count) in enumerate(shown):
        axes.barh(row, accuracy, height=0.66, color=BLUE)
        add_cell(axes, -0.02, row, shorten(name, 26), "right")
        add_cell(axes, 1.15, row, f"{accuracy:.3f}", "right")
        add_cell(axes, 1.33, row, f"{count:,}", "right")
    add_cell(axes, 1.15, -1, "accuracy", "right", GREY)
    add_cell(axes, 1.33, -1, "examples", "right", GREY)
    _overall(axes, slices.get("overall", {}))
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -1.4), yticks=[], xlabel="accuracy")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _overall(axes: Axes, overall: dict[str, float]) -> None:
    value = overall.get(_ACCURACY, math.nan)
    if math.isfinite(value):
        axes.axvline(value, color=ORANGE, linestyle="--", linewidth=2)
        side: dict[str, Any] = {"ha": "right" if value > 0.3 else "left", "va": "center"}
        text = f"  all {int(overall.get('example_count', 0)):,} examples: {value:.4f}  "
        axes.text(value, -1, text, fontsize=9, **side)


# The model


def draw_model(record: RunRecord) -> Figure | None:
    """A box for each layer, from the input down; of frozen ones the edge is dashed and hatched, the box grey."""
    layers = record.training.get("layers")
    if not layers:
        return None
    params = sum(layer["params"] for layer in layers)
    trainable = sum(_trainable(layer) for layer in layers)
    boxes = list(_boxes(layers))
    columns = -(-len(boxes) // 24)
    rows = -(-len(boxes) // columns)
    title = f"{record.task}: the model, {len(layers)} layer{'s' if len(layers) > 1 else ''}\n"
    title += f"{params:,} parameters, {trainable:,} of them trainable"
    figure = new_figure(0.2 + 5.8 * columns, 0.8 + 0.68 * rows, title)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.02, columns), ylim=(rows, -0.1))
    axes.axis("off")
    for place, box in enumerate(boxes):
        column, row = divmod(place, rows)
        _box(axes, column, row, box, _notes(boxes, place))
        if place and _feeds(boxes, place):
            _arrow(axes, column, row, rows)
    return figure


def _trainable(layer: dict[str, Any]) -> int:
    return int(layer.get("trainable_params", layer["params"] * layer["trainable"]))


def _boxes(layers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The layers; of more than 44 the middle ones as one."""
    out = len(layers) - SHOWN_LAYERS + 1 if len(layers) > SHOWN_LAYERS else 0
    start = SHOWN_LAYERS // 2
    yield from layers[:start]
    if out:
        middle = layers[start : start + out]
        yield {
            "name": "",
            "kind": f"{out} more layers",
            "detail": "",
            "output": middle[-1]["output"],
            "params": sum(layer["params"] for layer in middle),
            "trainable": any(map(_trainable, middle)),
        }
    yield from layers[start + out :]


def _feeds(boxes: list[dict[str, Any]], place: int) -> bool:
    """Whether a box takes the output of the one above; so it is taken of records that do not tell."""
    above = boxes[place - 1]["name"]
    inputs = boxes[place].get("inputs")
    return inputs is None or not above or above in inputs


def _notes(boxes: list[dict[str, Any]], place: int) -> str:
    """The name of a layer, and what feeds it where that is not the box above alone."""
    box = boxes[place]
    inputs = box.get("inputs") or []
    above = boxes[place - 1]["name"] if place else ""
    if not above or inputs in ([above], []):
        return shorten(box["name"], 44)
    return shorten(f"{shorten(box['name'], 24)}, from {' + '.join(inputs)}", 56)


def _box(axes: Axes, column: int, row: int, box: dict[str, Any], notes: str) -> None:
    from matplotlib.patches import Rectangle

    left, right, top, height = column + 0.02, column + 0.94, row + 0.06, 0.7
    is_frozen = bool(box["params"] and not box["trainable"])
    fill = "#E4E4E4" if is_frozen else "#DCEBF6" if box["params"] else "white"
    edge: dict[str, Any] = {"edgecolor": GREY, "linestyle": "--" if is_frozen else "-"}
    axes.add_patch(Rectangle((left, top), right - left, height, facecolor=fill, **edge))
    if is_frozen:
        axes.add_patch(Rectangle((left, top), 0.02, height, facecolor="white", hatch="//////", **edge))
    text: dict[str, Any] = {"va": "center", "parse_math": False}
    first, second = top + 0.3 * height, top + 0.74 * height
    kind = shorten(box["kind"], 26)
    name = axes.annotate(kind, (left + 0.03, first), fontsize=9.5, fontweight="bold", **text)
    beside: dict[str, Any] = {"xycoords": name, "xytext": (8, 0), "textcoords": "offset points"}
    axes.annotate(shorten(box["detail"], 52 - len(kind)), (1, 0.5), fontsize=9, **beside, **text)
    axes.annotate(notes, (left + 0.03, second), fontsize=7.5, color=GREY, **text)
    shape = "" if box["output"] is None else " x ".join("?" if size is None else str(size) for size in box["output"])
    count = f"{box['params']:,} parameters" if box["params"] else ""
    axes.annotate(shape or "", (right - 0.015, first), fontsize=9, ha="right", **text)
    axes.annotate(f"frozen, {count}" if is_frozen else count, (right - 0.015, second), fontsize=8, ha="right", **text)


def _arrow(axes: Axes, column: int, row: int, rows: int) -> None:
    """From the box above, or from the last of the column before, to this one."""
    end = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1}
    middle = column + 0.48
    if row:
        axes.annotate("", (middle, row + 0.06), (middle, row - 0.24), arrowprops=end)
        return
    gutter, bottom = column - 0.02, rows - 0.06
    axes.plot([middle - 1, middle - 1, gutter, gutter], [rows - 0.24, bottom, bottom, 0.4], color=GREY, linewidth=1.1)
    axes.annotate("", (column + 0.02, 0.41), (gutter, 0.41), arrowprops=end)
