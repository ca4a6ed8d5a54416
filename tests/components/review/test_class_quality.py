"""Precision and recall of each class against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from components.review.class_quality import class_qualities
from components.review.decisions import Decisions
from tests.components.review.answers import answers_of, random_classes, random_labels


def test_classes_are_scikit_learn_s_with_the_worst_first() -> None:
    decisions, labels = random_classes(300, 8)
    answers = [decisions.names[place] for place in decisions.found.scores.argmax(axis=1)]
    expected = precision_recall_fscore_support(labels, answers, labels=decisions.names)
    found = class_qualities(decisions)
    values = {one.name: (one.precision, one.recall, one.f1, one.examples) for one in found}
    for place, name in enumerate(decisions.names):
        precision, recall, f1, examples = values[name]
        assert precision and recall
        got = precision.value, recall.value, f1, examples
        assert got == pytest.approx([column[place] for column in expected]), name
    recalls = [one.recall.value for one in found if one.recall]
    assert recalls == sorted(recalls) and len(set(recalls)) > 3
    assert sum(one.right for one in found) == sum(map(str.__eq__, labels, answers))


def test_several_labels_are_scikit_learn_s() -> None:
    decisions = random_labels(200, 5)
    chosen = decisions.found.scores >= np.array(decisions.found.thresholds, np.float32)
    precision, recall, f1, examples = precision_recall_fscore_support(decisions.truth, chosen)
    for one in class_qualities(decisions):
        place = decisions.names.index(one.name)
        assert one.precision and one.recall
        expected = precision[place], recall[place], f1[place], examples[place]
        assert (one.precision.value, one.recall.value, one.f1, one.examples) == pytest.approx(expected)


def test_a_class_without_examples_or_answers_comes_last() -> None:
    found = class_qualities(Decisions(answers_of([[0.9, 0.1, 0.0]] * 4, ["cat", "cat", "dog", "dog"]), several=False))
    assert [one.name for one in found] == ["dog", "cat", "<b>"]
    assert (found[2].precision, found[2].recall, found[2].f1) == (None, None, None)
    assert found[0].precision is None and found[0].recall and found[0].recall.value == 0 and found[0].f1 == 0


def test_of_equally_bad_classes_the_larger_comes_first() -> None:
    scores = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    found = class_qualities(Decisions(answers_of(scores, ["cat", "dog", "dog", "<b>"]), several=False))
    assert [(one.name, one.examples) for one in found] == [("dog", 2), ("cat", 1), ("<b>", 1)]
