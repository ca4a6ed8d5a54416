"""The charts as XML: where the points are, what the tables behind them have, and that no name becomes markup."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline.report.page.charts import Bar, Chart, Rule, Series, bar_chart, histogram, line_chart, scatter
from tests.pipeline.report.page.samples import HOSTILE


def xml(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{chart.svg}</div>")


def of_class(chart: Chart, name: str) -> list[ElementTree.Element]:
    return [one for one in xml(chart).iter() if name in one.get("class", "").split()]


def percent(element: ElementTree.Element, name: str) -> float:
    text = element.get(name, "")
    assert text.endswith("%")
    return float(text[:-1])


def points(line: ElementTree.Element) -> np.ndarray:
    return np.array([[float(part) for part in pair.split(",")] for pair in line.get("points", "").split()])


def test_a_line_is_where_its_numbers_are() -> None:
    """Positions by numpy's interpolation on the axes that were asked for: y grows upwards."""
    xs, ys = [0.0, 1.0, 4.0], [0.25, 1.0, 0.5]
    chart = line_chart("Title", [Series("a", xs, ys)], "x", "y", x_range=(0, 5), y_range=(0, 2))
    (line,) = of_class(chart, "line-0")[1:]  # the first is in the legend
    expected = np.stack([np.interp(xs, [0, 5], [0, 1000]), np.interp(ys, [0, 2], [1000, 0])], axis=1)
    np.testing.assert_allclose(points(line), expected, rtol=1e-3)
    dots = of_class(chart, "dot")
    np.testing.assert_allclose([percent(dot, "cx") for dot in dots], [0, 20, 80])
    np.testing.assert_allclose([percent(dot, "cy") for dot in dots], [87.5, 50, 75])


def test_a_logarithmic_axis() -> None:
    chart = line_chart("Loss", [Series("", [1, 2, 3], [100, 1, 0.01])], "epoch", "loss", y_log=True)
    (line,) = of_class(chart, "line-0")
    heights = points(line)[:, 1]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2, rel=1e-3)  # equal ratios are equal distances
    assert "log scale" in chart.svg
    assert {one.text for one in of_class(chart, "tick-y")} >= {"100", "1", "0.01"}


def test_without_positive_values_the_axis_is_not_logarithmic() -> None:
    assert "log scale" not in line_chart("Loss", [Series("", [1, 2], [0, 1])], "epoch", "loss", y_log=True).svg


def test_a_gap_divides_a_line() -> None:
    ys = [1, 2, math.nan, 3, 4, math.inf, 5]
    chart = line_chart("Gap", [Series("a", range(7), ys)], "x", "y")
    parts = [len(points(line)) for line in of_class(chart, "line-0")[1:]]
    assert parts == [2, 2]  # a single point is only a dot
    assert len(of_class(chart, "dot")) == 5
    assert chart.rows[2] == ["2", "-"]


def test_steps_change_halfway() -> None:
    chart = line_chart("Rate", [Series("", [1, 2, 3], [4, 4, 2], is_step=True)], "epoch", "rate", y_range=(0, 4))
    (line,) = of_class(chart, "line-0")
    np.testing.assert_allclose(points(line), [[0, 0], [250, 0], [250, 0], [750, 0], [750, 500], [1000, 500]], atol=1)


def test_the_table_behind_lines_has_a_row_for_each_x() -> None:
    chart = line_chart("Two", [Series("a", [1, 2], [0.5, 0.75]), Series("b", [2, 3], [1, 2], 1)], "epoch", "y")
    assert chart.columns == ["epoch", "a", "b"]
    assert chart.rows == [["1", "0.5", ""], ["2", "0.75", "1"], ["3", "", "2"]]


def test_epochs_have_whole_ticks_with_the_first_and_the_last() -> None:
    for last in (1, 2, 3, 7, 40, 1000):
        chart = line_chart("E", [Series("a", range(1, last + 1), [1.0] * last)], "epoch", "y", whole_xs=True)
        ticks = [int(str(one.text).replace(",", "")) for one in of_class(chart, "tick-x")]
        assert ticks[0] == 1 and ticks[-1] == last
        assert len(ticks) <= 12 and ticks == sorted(set(ticks))


def test_rules_are_named() -> None:
    chart = line_chart("R", [Series("a", [1, 3], [1, 2])], "x", "y", rules=[Rule(2, "all layers")])
    assert [percent(one, "x1") for one in of_class(chart, "rule")] == [50]
    assert [one.text for one in of_class(chart, "rule-text")] == ["all layers"]


def test_bars_have_lengths_and_intervals() -> None:
    bars = [Bar("cat", 0.8, "80%", 0.7, 0.9), Bar("dog", 0.2, link="dog")]
    chart = bar_chart("Recall", bars, "recall", x_range=(0, 1))
    assert [percent(one, "width") for one in of_class(chart, "bar")] == [80, 20]
    whisker = of_class(chart, "whisker")[0]
    assert (percent(whisker, "x1"), percent(whisker, "x2")) == (70, 90)
    assert chart.rows == [["cat", "80%", "0.7 to 0.9"], ["dog", "0.2", ""]]
    assert [one.get("href") for one in xml(chart).iter("a")] == ["#dog"]


def test_bars_below_zero_end_at_zero() -> None:
    chart = bar_chart("Change", [Bar("a", -3), Bar("b", 1)], "points")
    first, second = of_class(chart, "bar")
    assert (percent(first, "x"), percent(first, "width")) == (0, 75)
    assert (percent(second, "x"), percent(second, "width")) == (75, 25)


def test_a_histogram_has_the_counts() -> None:
    values = np.random.default_rng(0).normal(50, 10, 500)
    counts, edges = np.histogram(values, 9)
    chart = histogram("Width", edges.tolist(), counts.tolist(), "pixels")
    heights = np.array([percent(one, "height") for one in of_class(chart, "bin")])
    np.testing.assert_allclose(heights / heights.max(), counts / counts.max(), atol=0.01)
    assert [int(row[1]) for row in chart.rows] == counts.tolist()


def test_a_scatter_shares_its_axes_with_the_diagonal() -> None:
    chart = scatter("S", [0, 10, math.nan], [10, 20, 1], "label", "answer", diagonal=True)
    first, second = of_class(chart, "point")
    # Both axes have the same ends, so that x = y is on the diagonal: of (10, 20) and (0, 10), y is above it.
    assert percent(first, "cx") < 100 - percent(first, "cy")
    assert 100 - percent(first, "cy") == pytest.approx(percent(second, "cx"))
    assert len(of_class(chart, "diagonal")) == 1
    assert chart.rows == [["0", "10"], ["10", "20"]]


def test_long_tables_are_thinned() -> None:
    chart = scatter("S", range(1000), range(1000), "x", "y")
    assert len(chart.rows) == 200
    assert chart.rows[1] == ["5", "5"]


@pytest.mark.parametrize(
    "chart",
    [
        line_chart("E", [], "x", "y"),
        line_chart("E", [Series("a", [], [])], "x", "y", y_log=True),
        line_chart("E", [Series("a", [1], [5])], "x", "y"),
        line_chart("E", [Series("a", [1, 2], [math.nan, math.nan])], "x", "y", whole_xs=True),
        bar_chart("E", [], "x"),
        bar_chart("E", [Bar("a", math.nan), Bar("b", 0)], "x"),
        histogram("E", [], [], "x"),
        histogram("E", [1, 1], [3], "x"),
        scatter("E", [], [], "x", "y", diagonal=True),
        scatter("E", [1e300], [-1e300], "x", "y", diagonal=True),
    ],
)
def test_little_data_is_no_error(chart: Chart) -> None:
    assert xml(chart) is not None
    assert "nan" not in chart.svg.lower()


def test_names_are_text() -> None:
    """The drawing stays XML with the same elements, whatever the names are."""
    kinds = {one.tag for one in xml(bar_chart("a", [Bar("b", 1)], "c")).iter()}
    for name in HOSTILE:
        chart = bar_chart(name, [Bar(name, 1, name, link="x")], name)
        assert {one.tag for one in xml(chart).iter()} == kinds | {"a"}
        lines = line_chart(name, [Series(name, [1, 2], [1, 2])], name, name, rules=[Rule(1, name)])
        assert "script" not in {one.tag for one in xml(lines).iter()}
