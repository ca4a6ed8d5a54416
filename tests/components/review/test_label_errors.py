"""Likely label errors against the paper's definition, one example after the other, and planted ones.

The same examples and order as cleanlab 2.9 finds by `filter_by="confident_learning"` and `normalized_margin` (compared
once, on 20 random sets; it is no dependency).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.review.decisions import Decisions
from components.review.label_errors import SHOWN, confident_classes, likely_label_errors
from tests.components.review.answers import answers_of, random_classes


def _by_the_paper(scores: np.ndarray, labels: np.ndarray) -> dict[int, tuple[int, float]]:
    """Row to likely class and difference of scores."""
    classes = range(scores.shape[1])
    thresholds = [
        np.mean([scores[row, one] for row in range(len(labels)) if labels[row] == one]) if one in labels else math.inf
        for one in classes
    ]
    found = {}
    for row, label in enumerate(labels):
        reached = [one for one in classes if scores[row, one] >= thresholds[one]]
        likely = max(reached, key=lambda one: scores[row, one], default=label)
        if label >= 0 and likely != label and int(np.argmax(scores[row])) != label:
            found[row] = (likely, scores[row, likely] - scores[row, label])
    return found


@pytest.mark.parametrize("seed", range(3))
def test_classes_by_the_paper(seed: int) -> None:
    decisions, _ = random_classes(300, 5, seed)
    scores, rng = decisions.found.scores.astype(np.float64), np.random.default_rng(seed)
    labels = np.where(rng.random(300) < 0.1, rng.integers(-1, 4, 300), decisions.label_places)  # the last is rare
    likely, margins = confident_classes(scores, labels)
    expected = _by_the_paper(scores, labels)
    assert len(expected) > 10
    assert np.flatnonzero(np.isfinite(margins)).tolist() == sorted(expected)
    for row, (one, margin) in expected.items():
        assert (likely[row], margins[row]) == (one, pytest.approx(margin))


def test_a_class_without_an_example_is_never_likely() -> None:
    scores = np.array([[0.1, 0.9], [0.6, 0.4]])
    assert not np.isfinite(confident_classes(scores, np.array([0, 0]))[1]).any()


def test_a_label_that_is_the_answer_is_no_error() -> None:
    """The last example is below the threshold of its class, 0.77, and above that of the other, 0.25."""
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.75, 0.25], [0.5, 0.3]])
    likely, margins = confident_classes(scores, np.array([0, 0, 1, 0]))
    assert likely.tolist()[3] == 1 and not np.isfinite(margins[3])


def test_planted_errors_are_found() -> None:
    """Of 1,000 examples 20 have another label; a model that is right in 999 of 1,000 finds most, and no others."""
    decisions, labels = random_classes(1000, 4, sharpness=6.0)
    planted = np.random.default_rng(1).permutation(1000)[:20].tolist()
    for row in planted:
        labels[row] = decisions.names[(decisions.names.index(labels[row]) + 1) % 4]
    found = Decisions(answers_of(decisions.found.scores, labels, decisions.names), several=False)
    pictures, count = likely_label_errors(found)
    assert count == len(pictures) > 15
    assert {one.source for one in pictures} <= {f"{row:04d}.png" for row in planted}
    for one in pictures:
        assert one.detail == f"likely {one.answer}" and one.label == labels[int(one.source[:4])]
    margins = [one.score - one.label_score for one in pictures if one.score and one.label_score]
    assert margins == sorted(margins, reverse=True)


def test_of_many_the_most_likely() -> None:
    decisions, _ = random_classes(2000, 4, sharpness=1.0)
    pictures, count = likely_label_errors(decisions)
    assert len(pictures) == SHOWN and count > SHOWN


def test_planted_errors_of_several_labels() -> None:
    """One label is missing, one is too much."""
    rng = np.random.default_rng(0)
    truth = rng.random((400, 3)) < 0.5
    scores = np.clip(np.where(truth, 0.95, 0.05) + rng.normal(0, 0.02, truth.shape), 0, 1)
    truth[7, 1], truth[9, 2] = not truth[7, 1], not truth[9, 2]
    names = ("cat", "dog", "<b>")
    labels = [tuple(name for name, applies in zip(names, row, strict=True) if applies) for row in truth]
    pictures, count = likely_label_errors(Decisions(answers_of(scores, labels), several=True))
    assert count == 2 and {one.source for one in pictures} == {"0007.png", "0009.png"}
    details = {one.source: one.detail for one in pictures}
    for source, row, place in (("0007.png", 7, 1), ("0009.png", 9, 2)):
        kind = "wrong" if truth[row, place] else "missing"
        assert details[source] == f"{names[place]} is likely {kind}: score {scores[row, place]:.2f}"


def test_a_perfect_model_finds_none() -> None:
    assert likely_label_errors(Decisions(answers_of(np.eye(3), ["cat", "dog", "<b>"]), several=False)) == ([], 0)
