"""When the answers of two routes are equal, on answers written by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from serving.client import Prediction
from serving.parity.compare import CEILING, FLOOR, NOISE_FACTOR, Answers, compare_answers, score_tolerance


def answers(scores: list[list[float]], names: list[list[bytes]] | None = None, route: str = "a") -> Answers:
    return Answers(route, np.array(scores, np.float32), None if names is None else np.array(names, object))


def test_equal_answers_agree() -> None:
    one = answers([[0.25, 0.75], [1.0, 0.0]], [[b"x", b"y"]] * 2)
    found = compare_answers(one, one, 0.0)
    assert (found.largest, found.flipped, found.names_agree, found.fault) == (0.0, 0, True, "")


def test_the_largest_difference_is_told_with_its_record() -> None:
    found = compare_answers(
        answers([[0.5, 0.5], [0.75, 0.25], [0.5, 0.5]]), answers([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]), 0.1
    )
    assert (found.largest, found.record, found.flipped) == (0.5, 1, 1)
    assert found.fault == "scores differ by up to 0.5 (allowed 0.1), the best class on 1 records"
    assert found.rows == (0.0, 0.5, 0.0) and "rows" not in found.to_json()


def test_names_in_another_order_are_a_fault_even_with_equal_scores() -> None:
    left = answers([[0.5, 0.5]] * 2, [[b"horse", b"human"]] * 2)
    right = answers([[0.5, 0.5]] * 2, [[b"horse", b"human"], [b"human", b"horse"]], "b")
    found = compare_answers(left, right, 1.0)
    assert (found.names_agree, found.record) == (False, 1)
    assert found.fault == "classes are human, horse; in a they are horse, human"


def test_names_on_one_side_alone_are_a_fault() -> None:
    found = compare_answers(answers([[1.0]]), answers([[1.0]], [[b"x"]]), 1.0)
    assert found.fault == "classes are x; in a they are missing"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_no_agreement(value: float) -> None:
    assert compare_answers(answers([[0.5]]), answers([[value]]), 0.1).fault
    assert compare_answers(answers([[value]]), answers([[0.5]]), 0.1).fault
    assert not compare_answers(answers([[value]]), answers([[value]]), 0.1).fault


def test_other_shapes_are_told() -> None:
    found = compare_answers(answers([[0.5, 0.5]]), answers([[0.2, 0.3, 0.5]]), 0.1)
    assert found.fault == "the shape of the scores is [1, 3], expected [1, 2] as in a"
    assert found.rows == ()


def test_a_tie_has_no_best_class_to_flip() -> None:
    assert compare_answers(answers([[0.5, 0.49999]]), answers([[0.49999, 0.5]]), 2e-5).flipped == 0


LIMITS = [0.5, 0.25]
LABELS = [b"rose", b"tulip"]


def labelled(scores: list[list[float]], limits: list[list[float]] | None = None, route: str = "a") -> Answers:
    """Return answers with several labels; by default with `LIMITS` for each record."""
    thresholds = np.array(limits or [LIMITS] * len(scores), np.float32)
    return dataclasses.replace(answers(scores, [LABELS] * len(scores), route), thresholds=thresholds)


def test_records_flip_whose_labels_differ_by_more_than_a_tie() -> None:
    reference = labelled([[0.6, 0.1], [0.6, 0.1], [0.5, 0.3], [0.5, 0.1]])
    other = labelled([[0.7, 0.2], [0.4, 0.1], [0.6, 0.2], [0.4999, 0.1]])
    found = compare_answers(reference, other, 0.001)
    # Of the records, the first keeps its labels, the second loses "rose", the third "tulip", the last is a tie.
    assert found.flipped == 2
    assert found.fault == "scores differ by up to 0.2 (allowed 0.001), the labels on 2 records"
    assert compare_answers(reference, labelled([[0.5001, 0.1]] + [[0.6, 0.1]] * 3), 0.2).flipped == 0


def test_a_score_equal_to_its_threshold_is_a_label_as_in_the_client() -> None:
    for scores in ([[0.5, 0.25]], [[0.4, 0.25]], [[0.5, 0.2]], [[0.1, 0.1]]):
        predicted = Prediction(dict(zip("rt", scores[0], strict=True)), dict(zip("rt", LIMITS, strict=True)))
        is_other = predicted.labels != ["r", "t"]
        assert compare_answers(labelled([[0.9, 0.9]]), labelled(scores), 0.001).flipped == is_other


def test_thresholds_that_differ_in_their_last_bit_are_a_fault() -> None:
    limits = [LIMITS, [float(np.nextafter(np.float32(0.5), np.float32(1))), 0.25]]
    found = compare_answers(labelled([[0.9, 0.1]] * 2), labelled([[0.9, 0.1]] * 2, limits, "b"), 0.001)
    assert found.fault == "thresholds differ for 1 of 2 labels: rose 0.50000006, in a 0.5"
    assert (found.largest, found.flipped, found.record, found.names_agree) == (0.0, 0, 1, True)
    other = labelled([[0.9, 0.1]] * 2, [[0.5, 0.05]] * 2)
    assert compare_answers(labelled([[0.9, 0.1]] * 2), other, 0.001).flipped == 2
    both = labelled([[0.9, 0.2]] * 2, [[0.25, 0.5]] * 2)
    assert compare_answers(labelled([[0.9, 0.1]] * 2), both, 0.001).fault == (
        "scores differ by up to 0.1 (allowed 0.001), the labels on 0 records; "
        "thresholds differ for 2 of 2 labels: rose 0.25, in a 0.5"
    )


def test_thresholds_on_one_side_alone_are_a_fault() -> None:
    with_limits, without = labelled([[0.9, 0.1]]), answers([[0.9, 0.1]], [LABELS])
    assert compare_answers(with_limits, without, 0.001).fault == "the thresholds are missing"
    assert compare_answers(without, with_limits, 0.001).fault == "thresholds, but a has none"


def test_one_label_flips_too() -> None:
    left = Answers("a", np.array([[0.6]], np.float32), np.array([[b"rose"]], object), np.array([[0.5]], np.float32))
    assert compare_answers(left, dataclasses.replace(left, scores=np.array([[0.4]], np.float32)), 0.001).flipped == 1


def test_tolerance_is_the_measured_noise_within_its_limits() -> None:
    quiet = answers([[0.5, 0.5]])
    assert score_tolerance(quiet, []) == FLOOR
    assert score_tolerance(quiet, [quiet]) == FLOOR
    noise = 2.0**-17
    assert score_tolerance(quiet, [answers([[0.5 + noise, 0.5]])]) == NOISE_FACTOR * noise
    assert score_tolerance(quiet, [answers([[0.9, 0.1]])]) == CEILING
    assert score_tolerance(answers([[1000.0]]), []) == 1000 * FLOOR
