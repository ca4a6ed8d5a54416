"""What the section on the evaluation shows, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from components.review.record import (
    Change,
    ClassQuality,
    ConfusionCell,
    EvaluationReview,
    Interval,
    Picture,
    Review,
    SliceQuality,
    ThresholdCurve,
)
from pipeline.report.page.class_curves import draw_calibration_charts, draw_threshold_curves
from pipeline.report.page.class_table import view_classes
from pipeline.report.page.confusion_matrix import LEVELS, MOST_CLASSES, view_confusion
from pipeline.report.page.render import render_page
from pipeline.report.page.sections.evaluation import build_evaluation, view_change
from pipeline.report.page.slice_table import view_slices
from pipeline.report.record import EvaluationSummary, RunRecord
from tests.pipeline.report.page.samples import class_run, failed_run, label_run, number_run, old_run

METRIC = "sparse_categorical_accuracy"
NAMES = ("ant", "bee", "cow", "dog")


def _answers(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return labels, np.where(rng.random(count) < 0.6, labels, rng.integers(0, classes, count))


def _summary(labels: np.ndarray, answers: np.ndarray, names: tuple[str, ...]) -> EvaluationSummary:
    counts = confusion_matrix(labels, answers, labels=range(len(names)))
    confusion = {
        name: {names[column]: int(count) for column, count in enumerate(row) if count}
        for name, row in zip(names, counts, strict=True)
    }
    return EvaluationSummary(METRIC, confusion=confusion)


def test_the_matrix_has_the_counts_of_scikit_learn() -> None:
    labels, answers = _answers(400, 4)
    counts = confusion_matrix(labels, answers)
    shown = Picture("x.png", "data:,")
    review = EvaluationReview(confusion=[ConfusionCell("bee", "cow", int(counts[1, 2]), [shown])])
    view = view_confusion(_summary(labels, answers, NAMES), review)
    assert view and view.names == list(NAMES)
    assert [[cell.count for cell in row.cells] for row in view.rows] == counts.tolist()
    assert [row.examples for row in view.rows] == counts.sum(axis=1).tolist()
    for place, row in enumerate(view.rows):
        shares = counts[place] / counts[place].sum()
        levels = [cell.level for cell in row.cells]
        assert [cell.is_right for cell in row.cells] == [place == column for column in range(4)]
        assert all(0 < level <= LEVELS for level, share in zip(levels, shares, strict=True) if share)
        others = sorted(
            (share, level) for at, (share, level) in enumerate(zip(shares, levels, strict=True)) if at != place
        )
        assert [level for _, level in others] == sorted(level for _, level in others)
    assert [(one.panel, one.pictures) for one in view.panels] == [("cell-0", [shown])]
    assert [(row.name, cell.text) for row in view.rows for cell in row.cells if cell.panel] == [
        ("bee", f"{counts[1, 2]} of bee taken for cow, {counts[1, 2] / counts[1].sum():.1%}")
    ]


def test_a_small_share_of_mistakes_still_has_a_shade() -> None:
    """Of right answers the level is the share, of mistakes its root."""
    view = view_confusion(EvaluationSummary(METRIC, confusion={"ant": {"ant": 50, "bee": 49, "cow": 1}}), None)
    assert view and [cell.level for cell in view.rows[0].cells] == [5, 7, 1]


def test_of_many_classes_there_are_pairs() -> None:
    names = tuple(f"class {number:03d}" for number in range(MOST_CLASSES + 1))
    labels, answers = _answers(3000, len(names))
    counts = confusion_matrix(labels, answers)
    np.fill_diagonal(counts, 0)
    view = view_confusion(_summary(labels, answers, names), None)
    assert view and not view.rows and not view.panels
    assert view.pair_count == np.count_nonzero(counts) and view.class_count == len(names)
    assert [one.count for one in view.pairs] == sorted(counts[counts > 0].tolist(), reverse=True)[:300]
    first = view.pairs[0]
    assert counts[names.index(first.label), names.index(first.answer)] == first.count == counts.max()


def test_a_record_without_a_review_has_precision_and_recall() -> None:
    labels, answers = _answers(300, 4)
    table = view_classes(_summary(labels, answers, NAMES), None, {})
    precision, recall, f1, support = precision_recall_fscore_support(labels, answers)
    assert table and table.has_answers and not table.has_thresholds
    assert [row.name for row in table.rows] == [NAMES[place] for place in np.argsort(recall)]
    for row in table.rows:
        place = NAMES.index(row.name)
        assert row.examples == support[place] and row.answers == np.sum(answers == place)
        assert row.precision.value == pytest.approx(precision[place])
        assert row.recall.value == pytest.approx(recall[place])
        assert row.f1.value == pytest.approx(f1[place])
        assert row.precision.width == pytest.approx(100 * precision[place], abs=0.1)


def test_a_class_without_an_example_or_an_answer() -> None:
    evaluation = EvaluationSummary(METRIC, confusion={"ant": {"bee": 3}})
    table = view_classes(evaluation, None, {})
    assert table
    rows = {row.name: (row.precision.text, row.recall.text, row.f1.text) for row in table.rows}
    assert rows == {"ant": ("-", "0.0%", "0.000"), "bee": ("0.0%", "-", "0.000")}


def test_intervals_of_the_review_are_shown() -> None:
    quality = ClassQuality("ant", 40, 38, 36, Interval(36 / 38, 0.83, 0.985), Interval(0.9, 0.77, 0.96), 0.92)
    table = view_classes(None, EvaluationReview(classes=[quality]), {"ant": 0.35})
    assert table and table.has_thresholds
    (row,) = table.rows
    assert (row.precision.text, row.precision.between) == ("94.7%", "83.0% to 98.5%")
    assert (row.precision.low, row.precision.high, row.precision.width) == (83.0, 98.5, 94.7)
    assert (row.f1.text, row.threshold) == ("0.920", "0.35")


def test_the_figures_start_with_what_decides() -> None:
    view = build_evaluation(*class_run())
    assert view and view.noun == "class" and view.examples == 120
    assert [(one.name, one.text) for one in view.figures] == [
        ("accuracy", "90.0%"),
        ("Brier score", "0.1"),
        ("top 3 accuracy", "99.0%"),
    ]
    assert view.figures[0].detail == "95% interval 85.0% to 94.0%; 80.0% before"
    assert [one.title for one in view.galleries] == ["Worst mistakes", "Likely label errors", "Most unusual examples"]


def test_numbers_have_errors_and_no_classes() -> None:
    view = build_evaluation(*number_run())
    assert view and view.noun == "number" and view.classes is None and view.confusion is None and not view.curves
    assert view.figures[0].detail == "95% interval 3.4 to 5.1; 4 before"
    assert [chart.title for chart in view.residuals] == [
        "Answers against the right numbers",
        "Errors: answer minus label",
    ]
    assert [one.title for one in view.galleries] == ["Largest errors"]


def test_several_labels_have_no_matrix_but_thresholds() -> None:
    view = build_evaluation(*label_run())
    assert view and view.noun == "label" and view.confusion is None
    assert [(one.name, one.text) for one in view.figures] == [
        ("mean average precision", "0.83"),
        ("exact match", "70.0%"),
    ]
    assert view.figures[1].detail == "95% interval 61.0% to 77.0%"
    assert view.classes and [row.threshold for row in view.classes.rows] == ["0.4", "0.5", "0.6"]
    assert "the threshold that is served" in view.curves[0].note


def test_runs_that_lack_parts() -> None:
    assert build_evaluation(*failed_run()) is None
    view = build_evaluation(*old_run())
    assert view and view.examples == 10 and view.figures[0].text == "50.0%"
    assert (view.confusion, view.classes, view.galleries, view.curves, view.change) == (None, None, [], [], None)
    empty = RunRecord("t", "", "", {}, "", "")
    view = build_evaluation(empty, Review(evaluation=EvaluationReview(3, Interval(0.5, 0.1, 0.9))))
    assert view and view.figures[0].detail == "95% interval 10.0% to 90.0%"


@pytest.mark.parametrize(
    ("metric", "interval", "text"),
    [
        (METRIC, (0.1, 0.03, 0.17), "better"),
        (METRIC, (-0.1, -0.17, -0.03), "worse"),
        (METRIC, (0.01, -0.02, 0.04), "chance"),
        ("mean_squared_error", (0.1, 0.03, 0.17), "worse"),
        ("mean_squared_error", (-0.1, -0.17, -0.03), "better"),
    ],
)
def test_the_verdict_on_a_change(metric: str, interval: tuple[float, float, float], text: str) -> None:
    verdict = view_change(Change(5, 2, 3, 0, Interval(*interval)), metric).verdict
    found = [word for word in ("better,", "worse,", "may be chance") if word in verdict]
    assert found == [{"better": "better,", "worse": "worse,", "chance": "may be chance"}[text]]


def test_no_change_is_no_difference() -> None:
    view = view_change(Change(0, 0, 9, 1, Interval(0, 0, 0)), METRIC)
    assert view.verdict == "No answer is better or worse than before."
    assert view.difference == "0.0 points (95% interval 0.0 to 0.0 points)"


def test_slices_are_grouped_and_the_worst_comes_first() -> None:
    review = EvaluationReview(
        slices=[
            SliceQuality("label", "ant", 5, Interval(0.2, 0.1, 0.3)),
            SliceQuality("image/format", "png", 50, Interval(0.9, 0.8, 0.95)),
            SliceQuality("image/format", "jpeg", 70, Interval(0.8, 0.7, 0.9)),
            SliceQuality("image/format", "gif", 0, None),
        ]
    )
    (group,) = view_slices(None, review, METRIC, without_labels=True)
    assert [(row.value, row.examples, row.quality.text) for row in group.rows] == [
        ("jpeg", 70, "80.0%"),
        ("png", 50, "90.0%"),
        ("gif", 0, "-"),
    ]
    assert group.metric == "accuracy" and group.has_bars
    (group,) = view_slices(None, review, "mean_squared_error", without_labels=True)
    assert [row.value for row in group.rows] == ["png", "jpeg", "gif"] and not group.has_bars


def test_slices_of_a_record_without_a_review() -> None:
    slices: dict[str, dict[str, float]] = {
        "overall": {METRIC: 0.9},
        "image/format:PNG": {METRIC: 0.7, "example_count": 12},
        "label:a": {METRIC: 1},
    }
    groups = view_slices(EvaluationSummary(METRIC, slices=slices), None, METRIC, without_labels=False)
    assert [(one.feature, one.rows[0].value, one.rows[0].examples) for one in groups] == [
        ("image/format", "PNG", 12),
        ("label", "a", 0),
    ]
    assert groups[0].rows[0].quality.between == "" and groups[0].rows[0].quality.text == "70.0%"


def test_a_curve_may_end_early_and_one_without_points_is_left_out() -> None:
    curves = [
        ThresholdCurve("a", [0.1, 0.5, 0.9], [0.5, 0.6], [1.0, 0.8, 0.1], chosen=0.55),
        ThresholdCurve("b", [], [], []),
    ]
    (found,) = draw_threshold_curves(curves)
    assert found.name == "a" and found.chart.columns[1:] == ["precision", "recall"]
    assert [row[0] for row in found.chart.rows] == ["0.1", "0.5", "0.9"]
    assert found.note == "The dots are at 0.55, the threshold that is served."


def test_the_calibration_counts_scores_in_bins() -> None:
    bins = [{"examples": 20, "score": 0.41, "right": 0.5}, {"examples": 100, "score": 1.0, "right": 0.97}]
    line, counts = draw_calibration_charts(EvaluationSummary(METRIC, calibration=bins, confusion={"a": {"a": 1}}))
    assert [row[:2] for row in line.rows] == [["0.41", "0.5"], ["1", "0.97"]]
    assert len(counts.rows) == 15
    assert [row[1] for row in counts.rows if row[1] != "0"] == ["20", "100"]
    assert draw_calibration_charts(EvaluationSummary()) == draw_calibration_charts(None) == []


def test_the_page_says_that_a_sample_was_evaluated() -> None:
    record, review = class_run()
    assert record.evaluation
    assert "Measured on 120 held-out examples, through" in render_page(record, review)
    record.evaluation.held_out = 1_000_000
    assert "Measured on 120 of 1,000,000 held-out examples, a sample, through" in render_page(record, review)
