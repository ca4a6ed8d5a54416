"""The decisions of classes and of several labels, and how an example is shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.review.decisions import Decisions
from components.review.record import Picture
from tests.components.review.answers import answers_of

SCORES = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7], [0.4, 0.35, 0.25]]


def test_classes() -> None:
    """The last label is none that the model knows."""
    before = np.array(SCORES, np.float32)[:, ::-1]
    decisions = Decisions(answers_of(SCORES, ["cat", "cat", "<b>", "bird"], before=before), several=False)
    assert decisions.right.tolist() == [True, False, True, False]
    assert decisions.right_before is not None and decisions.right_before.tolist() == [False, False, False, False]
    assert decisions.label_places.tolist() == [0, 0, 2, -1] and decisions.answer_places.tolist() == [0, 1, 2, 0]
    assert decisions.picture(1, "why") == Picture(
        "0001.png", label="cat", answer="dog", score=0.6, label_score=0.3, before="dog", detail="why"
    )
    assert decisions.picture(3) == Picture("0003.png", label="bird", answer="cat", score=0.4, before="<b>")


def test_several_labels_at_their_thresholds() -> None:
    """A score at the threshold applies, as in the served model; the baseline has other thresholds."""
    labels = [("cat",), ("cat", "dog"), (), ("bird",)]
    more: dict[str, Any] = {
        "thresholds": (0.3, 0.6, 0.5),
        "before": np.array(SCORES, np.float32),
        "thresholds_before": (0.9,) * 3,
    }
    decisions = Decisions(answers_of(SCORES, labels, **more), several=True)
    assert decisions.right.tolist() == [True, True, False, False]
    assert decisions.right_before is not None and decisions.right_before.tolist() == [False, False, True, False]
    assert decisions.picture(1) == Picture("0001.png", label="cat, dog", answer="cat, dog", before="(none)")
    assert decisions.picture(2) == Picture("0002.png", label="(none)", answer="<b>", before="(none)")


def test_a_label_that_the_model_does_not_know_is_never_right() -> None:
    decisions = Decisions(answers_of([[0.1, 0.1, 0.1]], [("bird",)]), several=True)
    assert decisions.picture(0).answer == "(none)" and not decisions.right[0]


def test_a_row_of_numbers_shows_its_first_values() -> None:
    vectors = np.arange(16, dtype=np.float32).reshape(2, 8) / 3
    found = answers_of(SCORES[:2], ["cat", "dog"], sources=["", ""], vectors=vectors)
    assert Decisions(found, several=False).picture(0, "why").detail == (
        "why; input 0, 0.3333, 0.6667, 1, 1.333, 1.667, ..."
    )


def test_scores_that_are_no_numbers_are_shown_as_0() -> None:
    decisions = Decisions(answers_of(np.full((2, 3), np.nan), ["cat", "dog"]), several=False)
    assert [decisions.picture(row).score for row in range(2)] == [0, 0]
