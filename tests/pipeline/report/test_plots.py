"""The plots of a run, against the record that they are drawn from and a model of colour blindness."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.report import plots
from pipeline.report.record import EvaluationSummary, RunRecord, TrainingSummary
from tests import PROJECT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY = {
    "loss": [1.0, 0.5, 0.25],
    "accuracy": [0.5, 0.7, 0.9],
    "val_loss": [1.1, 0.6, 0.7],
    "val_accuracy": [0.4, 0.8, 0.6],
}
LIMIT = 200_000  # bytes of a PNG


def _layers(count: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"conv2d_{number}",
            "kind": "Conv2D",
            "detail": "16 filters 3x3, relu",
            "output": [None, 148, 16],
            "params": 448,
            "trainable": number % 2 == 1,
        }
        for number in range(count)
    ]


def _slices(count: int) -> dict[str, dict[str, float]]:
    metric = "sparse_categorical_accuracy"
    each = {f"label:class {n}": {metric: n / count, "example_count": float(10 + n)} for n in reversed(range(count))}
    return {"overall": {metric: 0.5, "example_count": 1234.0}, **each}


def _record(training: dict[str, Any] | None = None, slices: dict[str, Any] | None = None) -> RunRecord:
    return RunRecord(
        "my_task",
        "1",
        "",
        {},
        "",
        "",
        training=TrainingSummary.from_json(training) if training else None,
        evaluation=EvaluationSummary(slices=slices) if slices else None,
    )


def _drawn(figure: Figure | None) -> Any:
    """Return the figure, which must exist; untyped, because artists of several kinds are read."""
    assert figure is not None
    return figure


def _lines(axes: Any) -> dict[str, Any]:
    return {line.get_label().partition(":")[0]: line for line in axes.lines if not line.get_label().startswith("_")}


def _texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def _pngs(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) < LIMIT, (path, len(content))
        found[path.name] = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return found


# The history


def test_the_lines_are_the_history_with_epochs_from_1() -> None:
    figure = _drawn(plots.draw_history(_record({"history": HISTORY})))
    accuracy, loss = figure.axes
    for axes, name in ((accuracy, "accuracy"), (loss, "loss")):
        lines = _lines(axes)
        for label, key in (("training", name), ("validation", f"val_{name}")):
            assert list(lines[label].get_xdata()) == [1, 2, 3]
            assert list(lines[label].get_ydata()) == HISTORY[key]
        assert list(axes.get_xticks()) == [1, 2, 3]
    legend = [text.get_text() for text in (*accuracy.get_legend().texts, *loss.get_legend().texts)]
    assert legend == [
        "training: last 0.9000, best 0.9000 (epoch 3)",
        "validation: last 0.6000, best 0.8000 (epoch 2)",
        "training: last 0.2500, best 0.2500 (epoch 3)",
        "validation: last 0.7000, best 0.6000 (epoch 2)",
    ]
    assert figure.get_suptitle() == "my_task: training against validation, 3 epochs"


def test_the_exported_epoch_and_a_second_phase_are_marked() -> None:
    phases = [{"epoch": 1, "name": "head"}, {"epoch": 3, "name": "fine-tuning"}]
    history = {**HISTORY, "learning_rate": [0.1, 0.1, 0.01]}
    figure = _drawn(plots.draw_history(_record({"history": history, "best_epoch": 2, "phases": phases})))
    *panels, rate = figure.axes
    for axes in panels:
        marks = [list(line.get_xdata()) for line in axes.lines if line.get_label().startswith("_")]
        assert marks == [[2, 2], [2.5, 2.5]]
        assert _texts(axes) == ["exported: epoch 2", "fine-tuning from epoch 3"]
    assert list(rate.lines[0].get_ydata()) == history["learning_rate"]


def test_numbers_have_their_error_on_a_log_scale_where_it_falls_far() -> None:
    falling = [10.0 / 2**n for n in range(20)]
    mae, loss = _drawn(plots.draw_history(_record({"history": {"loss": falling, "mae": [2.0] * 20}}))).axes
    assert (mae.get_yscale(), loss.get_yscale()) == ("linear", "log")
    assert mae.get_title(loc="left") == "mean absolute error"


def test_values_that_are_no_numbers_are_told_and_not_drawn() -> None:
    (loss,) = _drawn(plots.draw_history(_record({"history": {"loss": [2.0, float("inf"), float("nan")]}}))).axes
    np.testing.assert_array_equal(_lines(loss)["training"].get_ydata(), [2.0, np.nan, np.nan])
    assert loss.get_legend().texts[0].get_text() == "training: last not a number, best 2.0000 (epoch 1)"


def _seen(rgb: np.ndarray) -> np.ndarray:
    """Return linear RGB as a deuteranope sees it: Machado, Oliveira and Fernandes (2009), severity 1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]) @ linear


def test_the_lines_differ_for_the_colour_blind_and_without_any_colour() -> None:
    from matplotlib.colors import to_rgb

    lines = _lines(_drawn(plots.draw_history(_record({"history": HISTORY}))).axes[0])
    training, validation = lines["training"], lines["validation"]
    assert training.get_linestyle() != validation.get_linestyle() and training.get_marker() != validation.get_marker()
    colours = [np.array(to_rgb(line.get_color())) for line in (training, validation)]
    assert np.linalg.norm(_seen(colours[0]) - _seen(colours[1])) > 0.3
    dark, bright = sorted(float(np.dot([0.2126, 0.7152, 0.0722], _seen(one))) for one in colours)
    assert (bright + 0.05) / (dark + 0.05) > 1.8  # WCAG's contrast; a red and a green of one lightness have 1


# The classes


@pytest.mark.parametrize(("count", "shown"), [(2, 2), (100, 40)])
def test_the_bars_are_the_worst_classes_first(count: int, shown: int) -> None:
    figure = _drawn(plots.draw_classes(_record(slices=_slices(count))))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [n / count for n in range(shown)]
    rows = [bar.get_y() for bar in axes.patches]
    assert rows == sorted(rows) and axes.yaxis_inverted()
    assert _texts(axes)[:3] == ["class 0", "0.000", "10"]
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.5] and "all 1,234 examples: 0.5000" in _texts(axes)[-1]
    assert ("the 40 worst of 100 classes" in figure.get_suptitle()) == (count == 100)


def _label_slices(count: int) -> dict[str, dict[str, float]]:
    each = {
        f"label:label {n}": {"average_precision": n / count, "auc": 0.75, "f1": n / count / 2, "example_count": n + 5.0}
        for n in reversed(range(count))
    }
    del each["label:label 1"]["f1"]
    mean = sum(one["average_precision"] for one in each.values()) / count
    return {"overall": {"mean_average_precision": mean, "f1": 0.25, "example_count": 1234.0}, **each}


@pytest.mark.parametrize(("count", "shown"), [(2, 2), (80, 40)])
def test_the_bars_of_several_labels_are_their_average_precision(count: int, shown: int) -> None:
    slices = {**_label_slices(count), "label:unseen": {"example_count": 0.0}, "format:png": {"f1": 0.5}}
    figure = _drawn(plots.draw_classes(_record(slices=slices)))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [n / count for n in range(shown)]
    texts = _texts(axes)
    assert texts[:8] == ["label 0", "0.000", "0.000", "5", "label 1", f"{1 / count:.3f}", "-", "6"]
    assert texts[-4:-1] == ["AP", "F1", "examples"]
    mean = (count - 1) / count / 2
    assert list(axes.lines[0].get_xdata()) == pytest.approx([mean] * 2) and f"mean of {count} labels" in texts[-1]
    assert "average precision on held-out examples" in figure.get_suptitle()
    assert ("the 40 worst of 80 labels" in figure.get_suptitle()) == (count == 80)


def test_of_the_metrics_of_several_labels_the_most_telling_is_drawn() -> None:
    history = {f"{split}{name}": [0.5, 0.75] for split in ("", "val_") for name in ("auc", "binary_accuracy", "pr_auc")}
    figure = _drawn(plots.draw_history(_record({"history": {**history, "loss": [1.0, 0.5]}})))
    area, loss = figure.axes
    assert area.get_title(loc="left") == "precision-recall area, mean of the labels"
    assert loss.get_title(loc="left") == "loss"
    binary = {"loss": [1.0, 0.5], "binary_accuracy": [0.5, 0.75]}
    assert len(_drawn(plots.draw_history(_record({"history": binary}))).axes) == 2


# The model


def test_the_drawing_tells_each_layer_and_the_totals() -> None:
    figure = _drawn(plots.draw_model(_record({"layers": _layers(4)})))
    texts = _texts(figure.axes[0])
    assert figure.get_suptitle() == "my_task: the model, 4 layers\n1,792 parameters, 896 of them trainable"
    assert [text for text in texts if text.startswith("conv2d_")] == [f"conv2d_{n}" for n in range(4)]
    assert texts.count("? x 148 x 16") == texts.count("Conv2D") == texts.count("16 filters 3x3, relu") == 4
    assert texts.count("frozen, 448 parameters") == texts.count("448 parameters") == 2
    assert sum(bool(patch.get_hatch()) for patch in figure.axes[0].patches) == 2


def test_the_middle_of_a_long_model_is_one_box() -> None:
    figure = _drawn(plots.draw_model(_record({"layers": _layers(300)})))
    texts = _texts(figure.axes[0])
    assert f"{300 - plots.SHOWN_LAYERS + 1} more layers" in texts and texts.count("Conv2D") == plots.SHOWN_LAYERS - 1
    assert f"{257 * 448:,} parameters" in texts and "134,400 parameters" in figure.get_suptitle()


def test_what_feeds_a_layer_is_told_where_it_is_not_the_one_above() -> None:
    layers = _layers(3)
    for layer, inputs in zip(layers, ([], ["conv2d_0"], ["conv2d_0", "conv2d_1"]), strict=True):
        layer["inputs"] = inputs
    texts = _texts(_drawn(plots.draw_model(_record({"layers": layers}))).axes[0])
    assert "conv2d_1" in texts and "conv2d_2, from conv2d_0 + conv2d_1" in texts


# The files


@pytest.mark.parametrize(("epochs", "classes", "layers"), [(1, 2, 4), (100, 100, 40), (5, 10, 300)])
def test_the_files_are_small_pngs_that_keep_the_colours_and_clip_nothing(
    tmp_path: Path, epochs: int, classes: int, layers: int
) -> None:
    noise = np.random.default_rng(0).uniform(0.2, 1, (4, epochs)).tolist()
    training = {"history": dict(zip(HISTORY, noise, strict=True)), "best_epoch": 1, "layers": _layers(layers)}
    written = plots.draw_plots(_record(training, _slices(classes)), str(tmp_path))
    assert written == [str(tmp_path / f"{name}.png") for name in ("history", "classes", "model")]
    pictures = _pngs(tmp_path)
    assert set(pictures) == {"history.png", "classes.png", "model.png"}
    for name, pixels in pictures.items():
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 255).all(), f"{name} is clipped"
    for colour in (plots.BLUE, plots.ORANGE):
        want = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
        assert (np.abs(pictures["history.png"] - want).max(axis=-1) <= 8).sum() > 50, colour


def test_names_that_look_like_formulas_are_words(tmp_path: Path) -> None:
    slices = {
        "label:$x^$": _slices(2)["label:class 1"],
        "label:a_very_long_name_" + 9 * "long_": {**_slices(2)["overall"]},
    }
    layers = [{**_layers(1)[0], "name": "$\\bad{$"}]
    plots.draw_plots(_record({"layers": layers}, slices), str(tmp_path))
    assert set(_pngs(tmp_path)) == {"classes.png", "model.png"}


def test_a_remote_folder_is_written_through_tensorflow() -> None:
    (path,) = plots.draw_plots(_record({"history": HISTORY}), "ram://runs/1")
    assert path == "ram://runs/1/history.png"
    with tf.io.gfile.GFile(path, "rb") as file:
        assert Image.open(io.BytesIO(file.read())).format == "PNG"
    assert not tf.io.gfile.exists(f"{path}.partial")


@pytest.mark.parametrize(
    "record",
    [
        _record(),
        _record({"epochs": 3, "history": {}}),
        _record({"history": {"loss": []}, "layers": []}, {"overall": {"mean_squared_error": 0.1, "example_count": 3}}),
    ],
)
def test_what_the_record_does_not_tell_is_left_out(tmp_path: Path, record: RunRecord) -> None:
    assert plots.draw_plots(record, str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_when_something_is_drawn_and_pyplot_never() -> None:
    code = (
        "import sys\nfrom pipeline.report import plots\n"
        "from pipeline.report.record import RunRecord, TrainingSummary\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.draw_history(RunRecord('t', '', '', {}, '', '', training=TrainingSummary(history={'loss': [1.0]})))\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    legacy = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}  # as after the import of TFX; Keras 3 itself loads pyplot
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=legacy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
