"""The page that compares two runs: it shows what differs, and is drawn whatever a run lacks."""

from __future__ import annotations

import dataclasses
import itertools
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from components.review.record import Interval, Review
from pipeline.report.page.compare import ComparedAnswers, draw_curves, render_comparison, view_compared_answers
from pipeline.report.page.compared_facts import (
    compare_components,
    compare_data,
    compare_metrics,
    compare_proof,
    compare_settings,
    compare_training,
)
from pipeline.report.record import EvaluationSummary, RunRecord
from tests.pipeline.report.page.kept_answers import write_answers
from tests.pipeline.report.page.samples import HOSTILE, SAMPLES, class_run


class _Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def headings(self) -> list[str]:
        return [str(attributes["id"]) for tag, attributes in self.tags if tag == "section"]


_PAIRS = [*itertools.product(SAMPLES, ["classes"]), *itertools.product(["hostile", "failed", "old"], SAMPLES)]


@pytest.mark.parametrize("pair", _PAIRS, ids="-".join)
def test_any_two_runs_have_a_page(pair: tuple[str, str]) -> None:
    one, other = (SAMPLES[name]()[0] for name in pair)
    found = _Tags(render_comparison(one, other))
    sections = found.headings()
    assert sections[:2] == ["answers", "settings"] and "proof" in sections
    assert [attributes for tag, attributes in found.tags if tag == "script"] == [{}]
    assert not any(name.startswith("on") or name == "style" for _, attributes in found.tags for name in attributes)
    assert HOSTILE[4] not in found.text  # characters that turn the direction of text


def run_that_answers(tmp_path: Path, name: str, right: int) -> RunRecord:
    """Return a run that answers the first `right` of 40 examples right."""
    record, _ = class_run()
    record.run_id, record.review = name, ""
    scores = np.tile(np.array([0.1, 0.8, 0.1], np.float32), (40, 1))
    scores[:right] = [0.7, 0.2, 0.1]
    folder = write_answers(
        tmp_path / name, ("cat", "dog", "fox"), [f"{place:02d}.png" for place in range(40)], [("cat",)] * 40, scores
    )
    assert record.evaluation and record.data
    record.evaluation.folder, record.data.folder = folder, ""
    return record


def test_the_verdict_has_both_accuracies_and_the_pictures(tmp_path: Path) -> None:
    one, other = run_that_answers(tmp_path, "first", 20), run_that_answers(tmp_path, "second", 35)
    text = _Tags(render_comparison(one, other)).text
    assert "B is better than A: accuracy 87.5%" in text and "against 50.0%" in text and "+37.5 points" in text
    assert "On 40 held-out examples" in text
    assert "Won: only B is right" in text and "34.png" in text and "35.png" not in text and "Lost:" not in text
    text = _Tags(render_comparison(other, one)).text
    assert "B is worse than A: accuracy 50.0%" in text and "Lost: only A is right" in text
    text = _Tags(render_comparison(one, dataclasses.replace(one, run_id="third"))).text
    assert "Both runs answer the same: accuracy 50.0%" in text


def test_a_small_difference_may_be_chance(tmp_path: Path) -> None:
    text = _Tags(
        render_comparison(run_that_answers(tmp_path, "first", 20), run_that_answers(tmp_path, "second", 21))
    ).text
    assert "Neither run is better beyond chance. B has the accuracy 52.5%" in text


def test_of_numbers_a_smaller_error_is_better() -> None:
    from components.review.record import Change

    change = Change(9, 1, 0, 0, Interval(-2.0, -3.0, -1.0))
    found = ComparedAnswers(10, (10, 10), "mean_squared_error", Interval(5, 4, 6), Interval(3, 2, 4), change)
    view = view_compared_answers(found)
    assert view.kind == "good" and view.is_number
    assert view.verdict == "B is better than A: mean squared error 3 (2 to 4) against 5 (4 to 6): \N{MINUS SIGN}2."


def test_settings_that_differ() -> None:
    one, other = class_run()[0], class_run()[0]
    assert compare_settings(one, other) == []
    one.settings = {"train.epochs": "4", "model.units": "8"}
    other.settings = {"train.epochs": "5", "train.seed": "1"}
    other.data_folder = "/elsewhere"
    assert [(row.name, row.one, row.other) for row in compare_settings(one, other)] == [
        ("model.units", "8", "the task's own"),
        ("train.epochs", "4", "5"),
        ("train.seed", "the task's own", "1"),
        ("data", "/data/pets", "/elsewhere"),
    ]


def test_metrics_have_their_difference_and_its_direction() -> None:
    one, other = class_run()[0], class_run()[0]
    metric = "sparse_categorical_accuracy"
    one.evaluation = EvaluationSummary(metric, slices={"overall": {metric: 0.9, "brier_score": 0.1, "auc": 0.8}})
    other.evaluation = EvaluationSummary(
        metric, slices={"overall": {metric: 0.88, "brier_score": 0.08, "example_count": 10}}
    )
    assert [(row.name, row.one, row.other, row.difference, row.kind) for row in compare_metrics(one, other)] == [
        ("accuracy", "90.0%", "88.0%", "\N{MINUS SIGN}2.0 points", "bad"),
        ("AUC", "0.8", "-", "", ""),
        ("Brier score", "0.1", "0.08", "\N{MINUS SIGN}0.02", "good"),
        ("examples", "-", "10", "", ""),
    ]


def test_facts_of_one_run_only() -> None:
    full, failed = class_run()[0], SAMPLES["failed"]()[0]
    data = {row.name: (row.one, row.other) for row in compare_data(full, failed)}
    assert data["train examples"] == ("300", "300") and data["classes or labels"] == ("3", "2")
    training = {row.name: (row.one, row.other) for row in compare_training(full, failed)}
    assert training["epochs"] == ("4", "-") and training["parameters"] == ("3,523", "-")
    proof = {row.name: (row.one, row.other, row.differs) for row in compare_proof(full, failed)}
    assert proof["proof"] == ("all routes agree", "-", True)
    assert proof["error"] == ("-", "the loss is not a number in epoch 2", True)
    parts = {row.name: (row.one, row.other) for row in compare_components(full, failed)}
    assert parts["Trainer"] == ("executed, 1.5 s", "failed, 3.0 s") and parts["Pusher"][1] == "-"


def test_curves_of_both_runs_are_in_one_chart() -> None:
    one, other = class_run()[0], class_run()[0]
    assert one.training and other.training
    other.training.history = {"loss": [0.9, 0.5], "val_f1": [0.2, 0.3]}
    charts = {chart.title: chart for chart in draw_curves(one, other)}
    assert list(charts) == [
        "accuracy, validation",
        "accuracy",
        "F1, validation",
        "loss, validation",
        "loss",
        "learning rate",
    ]
    assert charts["loss"].columns == ["epoch", "A", "B"]
    assert charts["loss"].rows[1] == ["2", "0.6", "0.5"] and charts["loss"].rows[3][2] in ("", "-")


def test_classes_that_changed_most_come_first() -> None:
    one, other = class_run()[0], class_run()[0]
    assert other.evaluation
    other.evaluation.confusion = {"cat": {"cat": 36, "dog": 4}, "dog": {"dog": 10, "fox": 30}, "fox": {"fox": 40}}
    page = render_comparison(one, other)
    rows = page[page.index('id="classes"') :].split("<tr>")[2:5]
    assert [row.partition("<bdi>")[2].partition("<")[0] for row in rows] == ["dog", "fox", "cat"]
    assert "tag bad" in rows[0]


def test_a_review_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    one, other = class_run()[0], class_run()[0]
    one.review, other.review = str(tmp_path), str(tmp_path / "good")
    (tmp_path / "review.json").write_text("{")
    Review().write(other.review)
    assert 'id="metrics"' in render_comparison(one, other)
