"""Sizes and formats on the page."""

from __future__ import annotations

from components.review.record import DataReview, Histogram
from pipeline.report.page.data_charts import draw_sizes, size_facts
from pipeline.report.record import DataSummary


def test_facts_of_pictures() -> None:
    sizes = {
        "width": Histogram([100, 200, 4000], [3, 4], 640),
        "height": Histogram([28, 28], [7], 28),
        "bytes": Histogram([800, 1e6, 2e6], [6, 1], 50_000),
    }
    facts = size_facts(DataSummary(bytes=7_000_000), DataReview(sizes=sizes, formats={"jpeg": 1200, "odd": 1}))
    assert facts == [
        ("Formats", "1,200 JPEG, 1 odd"),
        ("Width", "100 to 4,000 px, median 640 px"),
        ("Height", "28 px, all of them"),
        ("File size", "800 B to 2.0 MB, median 50.0 kB"),
        ("Records", "7.0 MB"),
    ]


def test_what_does_not_vary_has_no_chart() -> None:
    sizes = {"width": Histogram([8, 8], [7]), "bytes": Histogram([1000, 2000, 3000], [1, 2]), "price": Histogram()}
    (chart,) = draw_sizes(DataReview(sizes=sizes))
    assert chart.title == "File size" and chart.rows == [["1 to 2", "1"], ["2 to 3", "2"]]


def test_rows_of_numbers_have_charts_and_no_facts() -> None:
    found = DataReview(sizes={"price": Histogram([0, 5, 10], [1, 2], 6), "height of it": Histogram([0, 1], [3])})
    assert size_facts(DataSummary(bytes=700), found) == []
    assert [chart.title for chart in draw_sizes(found)] == ["price", "height of it"]
    assert size_facts(DataSummary(), DataReview(sizes={"width": Histogram([1, 2], [1])})) == [("Width", "1 to 2 px")]
