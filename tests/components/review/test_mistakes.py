"""The worst mistakes, by hand."""

from __future__ import annotations

import numpy as np

from components.review.decisions import Decisions
from components.review.mistakes import SHOWN, worst_mistakes
from tests.components.review.answers import answers_of, random_classes


def test_the_wrong_answers_with_the_largest_scores() -> None:
    decisions, labels = random_classes(500, 4, sharpness=1.0)
    scores = decisions.found.scores
    wrong = [
        (-scores[row].max(), f"{row:04d}.png")
        for row, label in enumerate(labels)
        if decisions.names[scores[row].argmax()] != label
    ]
    assert len(wrong) > SHOWN
    assert [one.source for one in worst_mistakes(decisions)] == [source for _, source in sorted(wrong)[:SHOWN]]


def test_of_several_labels_the_score_farthest_from_its_threshold() -> None:
    """As a share of the way: 0.2 of 0.8 below is less than 0.1 of 0.1 above."""
    scores = [[0.6, 0.0, 0.0], [0.0, 1.0, 0.0], [0.79, 0.0, 0.0], [0.9, 0.95, 0.0]]
    labels = [("cat",), (), ("cat",), ("cat", "dog")]
    found = answers_of(scores, labels, thresholds=(0.8, 0.9, 0.5))
    shown = worst_mistakes(Decisions(found, several=True))
    assert [one.source for one in shown] == ["0001.png", "0000.png", "0002.png"]
    assert [one.detail for one in shown] == [
        "dog is wrong: score 1.00, threshold 0.90",
        "cat is missing: score 0.60, threshold 0.80",
        "cat is missing: score 0.79, threshold 0.80",
    ]


def test_a_label_that_the_model_does_not_know_has_no_score() -> None:
    (shown,) = worst_mistakes(Decisions(answers_of([[0.1, 0.1, 0.1]], [("bird",)]), several=True))
    assert shown.detail == "" and shown.label == "bird"


def test_no_mistakes() -> None:
    assert worst_mistakes(Decisions(answers_of(np.eye(3), ["cat", "dog", "<b>"]), several=False)) == []
