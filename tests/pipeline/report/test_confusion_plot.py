"""The plots of a classifier's answers, against the record that they are drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from pipeline.report.confusion_plot import draw_calibration, draw_confusion, list_confused
from pipeline.report.figure import save_png
from pipeline.report.record import EvaluationSummary, RunRecord

CONFUSION = {"cat": {"cat": 8, "dog": 2}, "dog": {"dog": 5}, "owl$_x": {"cat": 1, "fox": 3}}
BINS = [{"examples": 3, "score": 0.3, "right": 0.0}, {"examples": 7, "score": 0.9, "right": 1.0}]


def _record(**evaluation: Any) -> RunRecord:
    return RunRecord("my_task", "1", "", {}, "", "", evaluation=EvaluationSummary(**evaluation))


def _texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_pairs_are_those_off_the_diagonal() -> None:
    assert list_confused(CONFUSION) == [("owl$_x", "fox", 3), ("cat", "dog", 2), ("owl$_x", "cat", 1)]
    assert list_confused({"a": {"a": 3}}) == []


def test_a_cell_for_each_class_and_answer(tmp_path: Path) -> None:
    """A class that is only an answer has a row without examples; colours are shares of the row."""
    figure = draw_confusion(_record(confusion=CONFUSION))
    assert figure is not None
    axes = figure.axes[0]
    names = ["cat", "dog", "owl$_x", "fox"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    shares = axes.images[0].get_array()
    assert np.asarray(shares) == pytest.approx(
        np.array([[0.8, 0.2, 0, 0], [0, 1, 0, 0], [0.25, 0, 0, 0.75], [0, 0, 0, 0]])
    )
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "8", (1, 0): "2", (1, 1): "5", (0, 2): "1", (3, 2): "3"}
    save_png(figure, str(tmp_path / "confusion.png"))
    pixels = np.asarray(Image.open(tmp_path / "confusion.png").convert("RGB")).reshape(-1, 3)
    blue = np.array(to_rgb("#0072B2")) * 255
    assert (np.abs(pixels - blue).max(axis=1) < 12).mean() > 0.01  # the cell of the dogs


def test_many_classes_are_the_pairs_that_are_confused_most(tmp_path: Path) -> None:
    confusion = {f"class {n}": {f"class {n}": 90 + n, f"class {n + 1}": 1 + n} for n in range(50)}
    figure = draw_confusion(_record(confusion=confusion))
    assert figure is not None
    (axes,) = figure.axes
    assert len(axes.patches) == 30 and "of 51 classes" in figure.get_suptitle()
    assert _texts(axes)[:2] == ["class 49, taken for class 50", "50 (26.5%)"]
    assert axes.patches[0].get_width() == pytest.approx(50 / 189)  # type: ignore[attr-defined]
    perfect = draw_confusion(_record(confusion={f"class {n}": {f"class {n}": 2} for n in range(50)}))
    assert perfect is not None and perfect.get_suptitle() == "my_task: no answer is wrong"
    save_png(perfect, str(tmp_path / "confusion.png"))


def test_the_calibration_is_a_line_of_the_bins(tmp_path: Path) -> None:
    slices = {"overall": {"expected_calibration_error": 0.16}}
    figure = draw_calibration(_record(calibration=BINS, confusion=CONFUSION, slices=slices))
    assert figure is not None
    upper, lower = figure.axes
    line = upper.lines[1]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.3, 0.9], [0.0, 1.0])  # type: ignore[arg-type]
    assert [bar.get_height() for bar in lower.patches] == [3, 7]  # type: ignore[attr-defined]
    assert figure.get_suptitle().endswith("the largest score\nexpected calibration error 0.1600")
    save_png(figure, str(tmp_path / "calibration.png"))


def test_without_answers_there_is_no_plot() -> None:
    assert draw_confusion(_record()) is None and draw_calibration(_record()) is None
