"""When the answers of two routes are equal, on answers written by hand."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_a_tie_has_no_best_class_to_flip() -> None:
    assert compare_answers(answers([[0.5, 0.49999]]), answers([[0.49999, 0.5]]), 2e-5).flipped == 0


def test_tolerance_is_the_measured_noise_within_its_limits() -> None:
    quiet = answers([[0.5, 0.5]])
    assert score_tolerance(quiet, []) == FLOOR
    assert score_tolerance(quiet, [quiet]) == FLOOR
    noise = 2.0**-17
    assert score_tolerance(quiet, [answers([[0.5 + noise, 0.5]])]) == NOISE_FACTOR * noise
    assert score_tolerance(quiet, [answers([[0.9, 0.1]])]) == CEILING
    assert score_tolerance(answers([[1000.0]]), []) == 1000 * FLOOR
