"""The cells of the confusion matrix against scikit-learn's, and which pictures they have."""

from __future__ import annotations

from sklearn.metrics import confusion_matrix

from components.review.confusion import confusion_cells
from components.review.decisions import Decisions
from tests.components.review.answers import answers_of, random_classes


def test_the_counts_are_scikit_learn_s_with_the_wrong_answers_first() -> None:
    decisions, labels = random_classes(400, 5)
    answers = [decisions.names[place] for place in decisions.found.scores.argmax(axis=1)]
    matrix = confusion_matrix(labels, answers, labels=decisions.names)
    cells = confusion_cells(decisions)
    expected = {
        (label, answer): matrix[row, column]
        for row, label in enumerate(decisions.names)
        for column, answer in enumerate(decisions.names)
        if matrix[row, column]
    }
    assert {(cell.label, cell.answer): cell.count for cell in cells} == expected and len(cells) == len(expected)
    order = [(cell.label == cell.answer, -cell.count) for cell in cells]
    assert order == sorted(order)


def test_the_most_certain_of_the_wrong_and_the_least_certain_of_the_right() -> None:
    scores = [[0.6, 0.4, 0], [0.9, 0.1, 0], [0.7, 0.3, 0], [0.8, 0.2, 0], [0.95, 0.05, 0]]
    decisions = Decisions(answers_of(scores, ["dog", "dog", "cat", "cat", "bird"]), several=False)
    wrong, right = confusion_cells(decisions)
    assert [picture.source for picture in wrong.pictures] == ["0001.png", "0000.png"]
    assert [picture.source for picture in right.pictures] == ["0002.png", "0003.png"]
    assert (wrong.pictures[0].label, wrong.pictures[0].answer, wrong.pictures[0].score) == ("dog", "cat", 0.9)


def test_the_pictures_are_limited_and_shared() -> None:
    """Each cell shows its own examples, and none has two pictures before all have one."""
    decisions, _ = random_classes(5000, 10, sharpness=1.5)
    cells = confusion_cells(decisions)
    wrong = [cell for cell in cells if cell.label != cell.answer]
    right = [cell for cell in cells if cell.label == cell.answer]
    assert len(wrong) == 90 and {len(cell.pictures) for cell in wrong} == {2} and len(right) == 10
    assert {len(cell.pictures) for cell in right} == {4}
    for cell in cells:
        assert {(one.label, one.answer) for one in cell.pictures} == {(cell.label, cell.answer)}
    sources = [one.source for cell in cells for one in cell.pictures]
    assert len(set(sources)) == len(sources)


def test_a_thousand_classes() -> None:
    decisions, _ = random_classes(4000, 1000, sharpness=4)
    cells = confusion_cells(decisions)
    assert sum(cell.count for cell in cells) == 4000
    assert sum(len(cell.pictures) for cell in cells) <= 240
