"""Threshold curves against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve, precision_score, recall_score

from components.review.class_quality import class_qualities
from components.review.curves import POINTS, SHOWN, threshold_curves
from components.review.decisions import Decisions
from tests.components.review.answers import answers_of, random_classes, random_labels


def test_a_short_curve_has_all_points() -> None:
    """Some scores are equal."""
    decisions, labels = random_classes(80, 3)
    rounded = np.round(decisions.found.scores, 2)
    decisions = Decisions(answers_of(rounded, labels, decisions.names), several=False)
    for curve in threshold_curves(decisions, class_qualities(decisions)):
        scores = rounded[:, decisions.names.index(curve.name)]
        precision, recall, thresholds = precision_recall_curve([label == curve.name for label in labels], scores)
        assert len(thresholds) < 80
        assert curve.thresholds == pytest.approx(thresholds.tolist(), abs=1e-6)
        assert curve.precision == pytest.approx(precision[:-1].tolist(), abs=1e-6)
        assert curve.recall == pytest.approx(recall[:-1].tolist(), abs=1e-6)
        assert curve.chosen is None


def test_a_long_curve_is_thinned_to_points_of_it_without_a_gap() -> None:
    decisions, labels = random_classes(5000, 4)
    for curve in threshold_curves(decisions, class_qualities(decisions)):
        scores = decisions.found.scores[:, decisions.names.index(curve.name)]
        precision, recall, thresholds = precision_recall_curve([label == curve.name for label in labels], scores)
        exact = {round(float(one), 6): pair for one, *pair in zip(thresholds, precision, recall, strict=False)}
        assert 50 < len(curve.thresholds) <= POINTS
        for threshold, *pair in zip(curve.thresholds, curve.precision, curve.recall, strict=True):
            assert exact[threshold] == pytest.approx(pair, abs=1e-3)  # some thresholds are the same when rounded
        assert curve.thresholds[0] == pytest.approx(thresholds[0], abs=1e-6)
        assert curve.thresholds[-1] == pytest.approx(thresholds[-1], abs=1e-6)
        for values in (curve.thresholds, curve.precision, curve.recall):
            assert np.abs(np.diff(values)).max() < 0.2


def test_the_point_that_is_served_is_on_the_curve() -> None:
    decisions = random_labels(3000, 3)
    for curve in threshold_curves(decisions, class_qualities(decisions)):
        place = decisions.names.index(curve.name)
        threshold = np.float32(decisions.found.thresholds[place])
        assert curve.chosen == threshold
        decided = decisions.truth[:, place], decisions.found.scores[:, place] >= threshold
        served = next(row for row, one in enumerate(curve.thresholds) if one >= threshold - 1e-6)
        assert curve.precision[served] == pytest.approx(precision_score(*decided), abs=1e-6)
        assert curve.recall[served] == pytest.approx(recall_score(*decided), abs=1e-6)


def test_of_many_classes_the_worst() -> None:
    decisions, labels = random_classes(2000, 40)
    found = threshold_curves(decisions, class_qualities(decisions))
    answers = [decisions.names[place] for place in decisions.found.scores.argmax(axis=1)]
    f1 = dict(zip(decisions.names, f1_score(labels, answers, labels=decisions.names, average=None), strict=True))
    assert [one.name for one in found] == sorted(f1, key=lambda name: f1[name])[:SHOWN]


def test_a_class_without_an_example_has_no_curve() -> None:
    decisions = Decisions(answers_of([[0.9, 0.1, 0.0]] * 4, ["cat", "cat", "dog", "dog"]), several=False)
    assert {one.name for one in threshold_curves(decisions, class_qualities(decisions))} == {"cat", "dog"}
