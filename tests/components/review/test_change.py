"""What changed against the baseline, one example after the other."""

from __future__ import annotations

import numpy as np
import pytest

from components.review.change import SHOWN, change_of, change_of_numbers
from components.review.decisions import Decisions
from components.review.intervals import paired_difference
from tests.components.review.answers import answers_of, random_classes, random_labels


def test_classes() -> None:
    before = random_classes(600, 4, seed=0, sharpness=1.0)[0].found.scores
    decisions, labels = random_classes(600, 4, seed=0, sharpness=1.3, before=before)
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for row, label in enumerate(labels):
        place = decisions.names.index(label)
        now, then = decisions.found.scores[row].argmax() == place, before[row].argmax() == place
        kinds.setdefault((bool(now), bool(then)), []).append(row)
    rng = np.random.default_rng(5)
    swapped = rng.permutation(600)[:100]
    assert not kinds.get((False, True))  # sharper scores of the same noise only win
    mixed = decisions.found.scores.copy()
    mixed[swapped] = rng.dirichlet(np.ones(4), 100)
    decisions = Decisions(answers_of(mixed, labels, decisions.names, before=before), several=False)
    now = [mixed[row].argmax() == decisions.names.index(label) for row, label in enumerate(labels)]
    then = [before[row].argmax() == decisions.names.index(label) for row, label in enumerate(labels)]
    pairs = [(bool(one), bool(other)) for one, other in zip(now, then, strict=True)]
    found = change_of(decisions)
    assert found is not None
    counts = [pairs.count(pair) for pair in ((True, False), (False, True), (True, True), (False, False))]
    assert [found.won, found.lost, found.both, found.neither] == counts and min(counts) > SHOWN
    assert found.difference == paired_difference(counts[0], counts[1], 600)
    assert found.difference.value == pytest.approx(np.mean(now) - np.mean(then))
    own = {f"{row:04d}.png": decisions.names.index(label) for row, label in enumerate(labels)}
    moved = {f"{row:04d}.png": abs(mixed[row] - before[row]) for row in range(600)}
    for pictures, pair in ((found.pictures_won, (True, False)), (found.pictures_lost, (False, True))):
        among = [f"{row:04d}.png" for row in range(600) if pairs[row] == pair]
        expected = sorted(among, key=lambda one: -moved[one][own[one]])[:SHOWN]
        assert [one.source for one in pictures] == expected
        assert all((one.answer == one.label) is pair[0] and (one.before == one.label) is pair[1] for one in pictures)


def test_several_labels_with_the_thresholds_of_each() -> None:
    first = random_labels(100, 3, seed=1)
    thresholds = (0.2, 0.5, 0.9)
    decisions = random_labels(100, 3, seed=1, before=first.found.scores[::-1], thresholds_before=thresholds)
    found = change_of(decisions)
    now = [set(labels) == set(_names(decisions, row)) for row, labels in enumerate(decisions.found.labels)]
    assert decisions.found.before is not None
    above = decisions.found.before >= np.array(thresholds, np.float32)
    then = [
        set(labels) == {name for name, one in zip(decisions.names, above[row], strict=True) if one}
        for row, labels in enumerate(decisions.found.labels)
    ]
    assert found is not None and (found.won, found.lost) == (
        sum(one and not other for one, other in zip(now, then, strict=True)),
        sum(other and not one for one, other in zip(now, then, strict=True)),
    )
    assert found.won and found.lost


def _names(decisions: Decisions, row: int) -> list[str]:
    pairs = zip(decisions.names, decisions.found.scores[row], decisions.found.thresholds, strict=True)
    return [name for name, score, threshold in pairs if score >= np.float32(threshold)]


def test_numbers_that_are_closer_or_farther() -> None:
    labels = [1.0, 2.0, 3.0, 4.0]
    now, before = np.array([[1.5], [2.0], [5.0], [4.5]]), np.array([[3.0], [2.5], [3.0], [3.5]], np.float32)
    found = change_of_numbers(answers_of(now, labels, (), before=before))
    assert found is not None and (found.won, found.lost, found.both, found.neither) == (2, 1, 0, 1)
    assert found.difference.value == pytest.approx(np.mean([0.25 - 4, 0 - 0.25, 4 - 0, 0]))
    assert [one.source for one in found.pictures_won] == ["0000.png", "0001.png"]
    assert [(one.source, one.answer, one.before) for one in found.pictures_lost] == [("0002.png", "5", "3")]


def test_without_a_baseline() -> None:
    assert change_of(random_classes(10, 3)[0]) is None
    assert change_of_numbers(answers_of([[1.0]], [2.0], ())) is None
