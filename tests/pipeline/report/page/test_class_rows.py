"""Classes on the page: few with a row each, many as cards and a table, very many cut."""

from __future__ import annotations

import pytest

from components.review.record import ClassSample, DataReview, Picture
from pipeline.report.page.class_rows import FEW, MOST_ROWS, view_classes
from pipeline.report.record import DataSummary


def data_of(labels: dict[str, dict[str, int]]) -> DataSummary:
    return DataSummary(labels=labels)


def test_few_classes_have_a_row_each_with_its_bar_and_pictures() -> None:
    data = data_of({"eval": {"cat": 10, "dog": 30}, "train": {"cat": 40, "dog": 50, "fox": 5}})
    found = DataReview([ClassSample("dog", {}, [Picture("dog/1.jpg")]), ClassSample("cat", {}, [Picture("cat/1.jpg")])])
    view = view_classes(data, found, is_several=False)
    assert view and view.title == "Classes" and view.lead == "3 classes with 5 to 50 training examples each."
    assert view.splits == ["train", "eval"] and view.table == view.cards == [] and view.cut == ""
    assert [(one.name, one.counts) for one in view.rows] == [("cat", [40, 10]), ("dog", [50, 30]), ("fox", [5, 0])]
    assert view.rows[1].segments == [(0, 62.5), (62.5, 37.5)]  # the largest class fills its bar
    assert view.rows[0].segments == [(0, 50), (50, 12.5)]
    assert [len(one.pictures) for one in view.rows] == [1, 1, 0]


def test_labels_are_called_so() -> None:
    view = view_classes(data_of({"train": {"a": 7}}), DataReview(), is_several=True)
    assert view and view.title == "Labels"
    assert view.lead == "1 label with 7 training examples each. An example counts for each of its labels."


@pytest.mark.parametrize("count", [FEW + 1, MOST_ROWS + 1])
def test_many_classes_are_cards_and_a_table_from_the_largest_to_the_smallest(count: int) -> None:
    sizes = {f"class {number}": number + 1 for number in range(count)}
    data = data_of({"train": sizes, "eval": {"class 3": 1000}})
    samples = [ClassSample(f"class {number}", {}, [Picture("x", label="other")]) for number in (5, 3)]
    view = view_classes(data, DataReview(samples), is_several=False)
    assert view and view.rows == []
    assert view.table[0] == (["class 3", "4", "1,000"] if count < 1000 else [f"class {count - 1}", f"{count:,}", "0"])
    assert view.table[-1] == ["class 0", "1", "0"]
    assert len(view.table) == min(count, MOST_ROWS) and bool(view.cut) == (count > MOST_ROWS)
    assert {one.label for one in view.cards} == {"class 3", "class 5"}
    assert {one.detail for one in view.cards} == {"4 train, 1,000 eval", "6 train, 0 eval"}


def test_a_record_without_counts_takes_those_of_the_review() -> None:
    found = DataReview([ClassSample("a", {"train": 3, "eval": 1}), ClassSample("b", {"train": 2})])
    view = view_classes(DataSummary(), found, is_several=False)
    assert view and [(one.name, one.counts) for one in view.rows] == [("a", [3, 1]), ("b", [2, 0])]
    assert view_classes(DataSummary(), DataReview(), is_several=False) is None
