"""The overview of runs that ended in different ways."""

from __future__ import annotations

from components.review.record import Interval, Review
from pipeline.report.page.sections.overview import KeyFigure, OverviewView, build_overview
from tests.pipeline.report.page import samples


def figures(view: OverviewView) -> dict[str, KeyFigure]:
    return {one.name: one for one in view.figures}


def test_a_pushed_run() -> None:
    view = build_overview(*samples.class_run())
    assert view.verdict.kind == "good"
    assert view.verdict.headline == "Pushed: version 1795813901 is served"
    accuracy = figures(view)["Accuracy"]
    assert (accuracy.text, accuracy.detail) == ("90.0%", "95% interval 85.0% to 94.0%")
    assert (accuracy.change, accuracy.kind) == ("+10.0 points (+3.0 to +17.0) against 80.0% before", "good")
    assert figures(view)["Routes that agree"].text == "4 of 4"
    assert figures(view)["Client skew avoided"].text == "12.0%"  # 6 of 50
    assert view.settings == [("train.epochs", "4")]
    assert any("quarantine" in note for note in view.notes)


def test_a_difference_that_chance_explains_is_neither_good_nor_bad() -> None:
    record, review = samples.class_run()
    assert review.evaluation and review.evaluation.change
    review.evaluation.change.difference = Interval(0.1, -0.02, 0.2)
    assert figures(build_overview(record, review))["Accuracy"].kind == ""


def test_a_rejected_number() -> None:
    record, review = samples.number_run()
    record.error = "not pushed: mean squared error 4.2000 is worse than 4.0000 of the last blessed model"
    view = build_overview(record, review)
    assert view.verdict.kind == "bad"
    assert view.verdict.headline == "Not pushed"
    assert view.verdict.reason.startswith("mean squared error 4.2000 is worse")
    error = figures(view)["Mean squared error"]
    assert (error.text, error.kind) == ("4.2", "bad")  # a larger error is worse
    assert error.change == "+0.2 against 4 before"


def test_a_run_that_the_gate_stopped() -> None:
    view = build_overview(*samples.skewed_run())
    assert view.verdict.headline == "Not pushed"
    assert figures(view)["Routes that differ"].text == "1 of 4"


def test_several_labels_have_their_exact_match_with_its_interval() -> None:
    found = figures(build_overview(*samples.label_run()))
    assert found["Mean average precision"].text == "0.83"
    assert (found["Exact match"].text, found["Exact match"].detail) == ("70.0%", "95% interval 61.0% to 77.0%")


def test_a_failed_run_names_the_component_and_the_error() -> None:
    view = build_overview(*samples.failed_run())
    assert view.verdict.headline == "Failed in Trainer"
    assert view.verdict.reason == "the loss is not a number in epoch 2\nLower train.learning_rate."


def test_other_ends() -> None:
    record, review = samples.class_run()
    for status, kind, headline in (
        ("unchanged", "good", "Unchanged: version 1795813901 is still served"),
        ("interrupted", "warn", "Interrupted"),
        ("running", "plain", "Running"),
        ("of the future", "plain", "Of the future"),
    ):
        record.status = status
        verdict = build_overview(record, review).verdict
        assert (verdict.kind, verdict.headline) == (kind, headline)


def test_without_a_review_the_interval_is_missing_only() -> None:
    record, _ = samples.class_run()
    accuracy = figures(build_overview(record, Review()))["Accuracy"]
    assert (accuracy.text, accuracy.detail) == ("90.0%", "on 120 held-out examples")
    assert record.evaluation
    record.evaluation.held_out = 2000
    assert figures(build_overview(record, Review()))["Accuracy"].detail == "on 120 of 2,000 held-out examples"


def test_a_model_without_a_baseline_has_no_change() -> None:
    record, review = samples.class_run()
    assert record.evaluation
    record.evaluation.baseline, record.evaluation.no_baseline = None, "it has other classes"
    found = figures(build_overview(record, review))
    assert (found["Accuracy"].change, found["Accuracy"].kind) == ("no model before to compare with", "")
    assert found["Model before"].detail == "it has other classes"


def test_problems_of_the_review_are_notes() -> None:
    record, review = samples.class_run()
    review.problems = ["the proof could not be shown: OSError: gone"]
    assert review.problems[0] in build_overview(record, review).notes
