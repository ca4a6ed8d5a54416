"""The plots of a run, as PNGs next to `run.json`: training history, accuracy by class or label, the model's layers.

`pipeline.report.confusion_plot` draws which classes are confused and how far scores can be trusted,
`pipeline.report.client_skew_plot` the answers that other clients would have changed.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.report.client_skew_plot import draw_client_skew
from pipeline.report.confusion_plot import draw_calibration, draw_confusion
from pipeline.report.figure import BLUE, GREY, ORANGE, add_cell, new_figure, save_png, shorten
from pipeline.report.record import EvaluationSummary, LayerSummary, RunRecord, TrainingSummary
from pipeline.report.samples import copy_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING: dict[str, Any] = {"color": BLUE, "linestyle": "-", "marker": "o", "linewidth": 1.8, "markersize": 5}
VALIDATION: dict[str, Any] = {"color": ORANGE, "linestyle": "--", "marker": "s", "linewidth": 1.8, "markersize": 5}
RATE = "learning_rate"
SHOWN_CLASSES = 40
SHOWN_LAYERS = 44  # of a longer model the middle is left out
_HIGHER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1")
_NAMES = {
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "pr_auc": "precision-recall area, mean of the labels",
    RATE: "learning rate",
}
_LESS_TELLING = {"pr_auc": ("auc", "binary_accuracy")}
"""Metrics that are not drawn next to another one: with many labels, both are near 1 for a model that finds none."""
_ACCURACY, _PRECISION = "sparse_categorical_accuracy", "average_precision"


def draw_plots(record: RunRecord, folder: str) -> list[str]:
    """Write the plots as far as the record has their data.

    They are `history.png`, `classes.png`, `confusion.png`, `calibration.png`, `model.png` and `client_skew.png`; and
    `augmentation.png`, which the Trainer drew.

    Args:
      record: Of a run. The record of a run that failed early lacks parts.
      folder: Where to write, local or remote.

    Returns:
      The paths written.
    """
    written = []
    for name, make in (
        ("history", draw_history),
        ("classes", draw_classes),
        ("confusion", draw_confusion),
        ("calibration", draw_calibration),
        ("model", draw_model),
        ("client_skew", draw_client_skew),
    ):
        figure = make(record)
        if figure is not None:
            written.append(posixpath.join(folder, f"{name}.png"))
            save_png(figure, written[-1])
    return [*written, *copy_samples(record, folder)]


# The history of the training


def draw_history(record: RunRecord) -> Figure | None:
    """Draw training against validation by epoch: a panel for each metric, and one for a learning rate that changes.

    Returns:
      The figure; None if the record has no history.
    """
    training = record.training or TrainingSummary()
    series = {name: values for name, values in training.history.items() if values}
    hidden = {RATE, *(name for telling, others in _LESS_TELLING.items() if telling in series for name in others)}
    names = [name for name in series if not name.startswith("val_") and name not in hidden]
    if not names:
        return None
    names.sort(key=lambda name: name == "loss")  # the loss last: readers look for the accuracy
    epochs = max(map(len, series.values()))
    has_rate = len(set(series.get(RATE, ()))) > 1
    title = f"{record.task}: training against validation, {epochs} epoch{'s' if epochs > 1 else ''}"
    figure = new_figure(5.2 * max(len(names), 1.2), 4.4 + 1.4 * has_rate, title)
    grid = figure.add_gridspec(1 + has_rate, len(names), height_ratios=[3, 1][: 1 + has_rate])
    for column, name in enumerate(names):
        axes = figure.add_subplot(grid[0, column])
        _curves(axes, name, series[name], series.get(f"val_{name}", []))
        _epochs(axes, epochs)
        _marks(axes, training, epochs)
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
    """Draw a metric's two lines, and above them, where it covers neither, a legend with the last and best values."""
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
    """Leave a band above the lines for the labels of the marks; ticks of a share end at 1.

    Values that are nearly equal get a wider range, so that small differences look small.
    """
    low, high = axes.get_ylim()
    wider = max(0.0, (0.1 if at_most_one else 0.1 * abs(high)) - (high - low)) / 2
    scale = axes.yaxis.get_transform()
    low, high = scale.transform([low - wider, high + wider])
    axes.set_ylim(*scale.inverted().transform([low, high + 0.2 * (high - low)]))
    if at_most_one:
        axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1])


def _epochs(axes: Axes, epochs: int) -> None:
    """Set up the axis of the epochs: whole numbers from 1."""
    from matplotlib.ticker import MaxNLocator

    room = max(0.5, 0.03 * epochs)
    axes.set_xlim(1 - room, epochs + room)
    locator = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    ticks = {1, *(int(tick) for tick in locator.tick_values(1, epochs) if 1 < tick <= epochs)}
    axes.set_xticks(sorted(ticks))
    axes.set_xlabel("epoch")
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def _marks(axes: Axes, training: TrainingSummary, epochs: int) -> None:
    """Draw a vertical line at the epoch that was exported, and one before each later phase."""
    best = training.best_epoch
    marks: list[tuple[float, str, str]] = [(best, f"exported: epoch {best}", ":")] if best else []
    for phase in training.phases:
        if phase.epoch > 1:
            marks.append((phase.epoch - 0.5, f"{phase.name} from epoch {phase.epoch}", "-."))
    for place, (at, text, style) in enumerate(marks):
        top = 0.985 - 0.065 * (place % 3)  # each line ends at its label, below the labels before it
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
    """Replace infinite values by NaN, which matplotlib leaves out of the line."""
    return [value if math.isfinite(value) else math.nan for value in map(float, values)]


def _short(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1000 or not value else f"{value:.3g}"


# The quality of each class or label


def draw_classes(record: RunRecord) -> Figure | None:
    """Draw a bar for each class, the worst first, at most 40, and a line at the value of all held-out examples.

    The value is the accuracy. With several labels it is the average precision, with the F1 at the label's threshold
    beside it, and the line is at the mean.

    Returns:
      The figure; None if the record has no such value by class.
    """
    evaluation = record.evaluation or EvaluationSummary()
    slices = {name.removeprefix("label:"): one for name, one in evaluation.slices.items() if name.startswith("label:")}
    is_multi_label = any(_PRECISION in values for values in slices.values())
    metric = _PRECISION if is_multi_label else _ACCURACY
    found = {name: values for name, values in slices.items() if math.isfinite(values.get(metric, math.nan))}
    if not found:
        return None
    shown = sorted(found, key=lambda name: found[name][metric])[:SHOWN_CLASSES]
    kind, value = ("labels", "average precision") if is_multi_label else ("classes", "accuracy")
    which = f"the {len(shown)} worst of {len(found)} {kind}" if len(shown) < len(found) else f"{len(found)} {kind}"
    width, height = 8.5, 1.6 + 0.24 * len(shown)
    figure = new_figure(width, height, f"{record.task}: {value} on held-out examples, {which}")
    # The cells are outside the axes, at shares of the axes' width: leave room for them, in inches, left and right.
    figure.set_layout_engine("none")
    span = 4.0 if is_multi_label else 4.5
    axes = figure.add_axes((2.3 / width, 0.6 / height, span / width, (height - 1.05) / height))
    columns = [(1 + 0.675 / span, "AP" if is_multi_label else "accuracy", _format_share(metric))]
    columns += [(1 + 1.2 / span, "F1", _format_share("f1"))] * is_multi_label
    columns += [(1 + (2.05 if is_multi_label else 1.485) / span, "examples", _format_count)]
    for row, name in enumerate(shown):
        axes.barh(row, found[name][metric], height=0.66, color=BLUE)
        add_cell(axes, -0.02, row, shorten(name, 26), "right")
        for at, _, text in columns:
            add_cell(axes, at, row, text(found[name]), "right")
    for at, heading, _ in columns:
        add_cell(axes, at, -1, heading, "right", GREY)
    which = f"mean of {len(found)} labels" if is_multi_label else f"all {_format_count(evaluation.overall)} examples"
    _overall(axes, evaluation.overall.get(f"mean_{metric}" if is_multi_label else metric, math.nan), which)
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -1.4), yticks=[], xlabel=value)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _format_share(metric: str) -> Callable[[Mapping[str, float]], str]:
    return lambda values: f"{values[metric]:.3f}" if metric in values else "-"


def _format_count(values: Mapping[str, float]) -> str:
    return f"{int(values.get('example_count', 0)):,}"


def _overall(axes: Axes, value: float, which: str) -> None:
    """Draw a line at the value of all held-out examples."""
    if math.isfinite(value):
        axes.axvline(value, color=ORANGE, linestyle="--", linewidth=2)
        side: dict[str, Any] = {"ha": "right" if value > 0.3 else "left", "va": "center"}
        axes.text(value, -1, f"  {which}: {value:.4f}  ", fontsize=9, **side)


# The model


def draw_model(record: RunRecord) -> Figure | None:
    """Draw a box for each layer, from the input down. A frozen layer has a grey box with a dashed, hatched edge.

    Returns:
      The figure; None if the record has no layers.
    """
    layers = record.training.layers if record.training else []
    if not layers:
        return None
    params = sum(layer.params for layer in layers)
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


def _trainable(layer: LayerSummary) -> int:
    return layer.params * layer.trainable if layer.trainable_params is None else layer.trainable_params


def _boxes(layers: list[LayerSummary]) -> Iterator[LayerSummary]:
    """Yield the layers; if there are more than 44, the middle ones as one."""
    out = len(layers) - SHOWN_LAYERS + 1 if len(layers) > SHOWN_LAYERS else 0
    start = SHOWN_LAYERS // 2
    yield from layers[:start]
    if out:
        middle = layers[start : start + out]
        yield LayerSummary(
            name="",
            kind=f"{out} more layers",
            detail="",
            output=middle[-1].output,
            params=sum(layer.params for layer in middle),
            trainable=any(map(_trainable, middle)),
        )
    yield from layers[start + out :]


def _feeds(boxes: list[LayerSummary], place: int) -> bool:
    """Return whether a box takes the output of the box above; true for records that do not have the inputs."""
    above, inputs = boxes[place - 1].name, boxes[place].inputs
    return inputs is None or not above or above in inputs


def _notes(boxes: list[LayerSummary], place: int) -> str:
    """Return a layer's name, and its inputs unless the box above is the only one."""
    box = boxes[place]
    inputs = box.inputs or []
    above = boxes[place - 1].name if place else ""
    if not above or inputs in ([above], []):
        return shorten(box.name, 44)
    return shorten(f"{shorten(box.name, 24)}, from {' + '.join(inputs)}", 56)


def _box(axes: Axes, column: int, row: int, box: LayerSummary, notes: str) -> None:
    from matplotlib.patches import Rectangle

    left, right, top, height = column + 0.02, column + 0.94, row + 0.06, 0.7
    is_frozen = bool(box.params and not box.trainable)
    fill = "#E4E4E4" if is_frozen else "#DCEBF6" if box.params else "white"
    edge: dict[str, Any] = {"edgecolor": GREY, "linestyle": "--" if is_frozen else "-"}
    axes.add_patch(Rectangle((left, top), right - left, height, facecolor=fill, **edge))
    if is_frozen:
        axes.add_patch(Rectangle((left, top), 0.02, height, facecolor="white", hatch="//////", **edge))
    text: dict[str, Any] = {"va": "center", "parse_math": False}
    first, second = top + 0.3 * height, top + 0.74 * height
    kind = shorten(box.kind, 26)
    name = axes.annotate(kind, (left + 0.03, first), fontsize=9.5, fontweight="bold", **text)
    beside: dict[str, Any] = {"xycoords": name, "xytext": (8, 0), "textcoords": "offset points"}
    axes.annotate(shorten(box.detail, 52 - len(kind)), (1, 0.5), fontsize=9, **beside, **text)
    axes.annotate(notes, (left + 0.03, second), fontsize=7.5, color=GREY, **text)
    shape = "" if box.output is None else " x ".join("?" if size is None else str(size) for size in box.output)
    count = f"{box.params:,} parameters" if box.params else ""
    axes.annotate(shape or "", (right - 0.015, first), fontsize=9, ha="right", **text)
    axes.annotate(f"frozen, {count}" if is_frozen else count, (right - 0.015, second), fontsize=8, ha="right", **text)


def _arrow(axes: Axes, column: int, row: int, rows: int) -> None:
    """Draw an arrow from the box above, or from the last box of the previous column, to this box."""
    end = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1}
    middle = column + 0.48
    if row:
        axes.annotate("", (middle, row + 0.06), (middle, row - 0.24), arrowprops=end)
        return
    gutter, bottom = column - 0.02, rows - 0.06
    axes.plot([middle - 1, middle - 1, gutter, gutter], [rows - 0.24, bottom, bottom, 0.4], color=GREY, linewidth=1.1)
    axes.annotate("", (column + 0.02, 0.41), (gutter, 0.41), arrowprops=end)
