"""The intervals against SciPy, and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.review.intervals import mean_difference, mean_of_squares, paired_difference, share


@pytest.mark.parametrize(
    ("count", "total"), [(0, 1), (1, 1), (0, 20), (7, 10), (366, 380), (380, 380), (9_871, 10_000)]
)
def test_a_share_is_wilson_s(count: int, total: int) -> None:
    found = share(count, total)
    expected = stats.binomtest(count, total).proportion_ci(0.95, "wilson")
    assert found is not None and found.value == count / total
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing() -> None:
    assert share(0, 0) is None


def test_a_paired_difference_by_hand() -> None:
    """25 examples, 6 won and 2 lost: (7 - 3) / 27, and 1.96 standard errors of it."""
    found = paired_difference(6, 2, 25)
    error = np.sqrt((7 / 27 + 3 / 27 - (4 / 27) ** 2) / 27)
    assert found.value == 4 / 25
    assert (found.low, found.high) == pytest.approx((4 / 27 - 1.95996 * error, 4 / 27 + 1.95996 * error), abs=1e-5)


@pytest.mark.parametrize(("won", "lost", "total"), [(0, 0, 1), (10, 0, 10), (0, 10, 10), (0, 0, 5000)])
def test_a_paired_difference_at_the_ends(won: int, lost: int, total: int) -> None:
    found = paired_difference(won, lost, total)
    assert -1 <= found.low <= found.value <= found.high <= 1 and found.low < found.high


def test_a_paired_difference_holds_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(60, (0.12, 0.05, 0.83), 4000)
    found = [paired_difference(won, lost, 60) for won, lost, _ in draws.tolist()]
    assert np.mean([one.low <= 0.07 <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)


def test_a_mean_of_squares_holds_the_truth_in_about_95_of_100() -> None:
    """A normal interval would be too low in most of the others, as squares are skewed."""
    squares = np.square(np.random.default_rng(0).normal(size=(4000, 50)))
    found = [mean_of_squares(one) for one in squares]
    assert np.mean([one is not None and one.low <= 1 <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)


def test_a_mean_of_squares_of_many_is_that_of_a_bootstrap() -> None:
    squares = np.square(np.random.default_rng(1).normal(size=2000))
    found, rng = mean_of_squares(squares), np.random.default_rng(2)
    expected = stats.bootstrap((squares,), np.mean, n_resamples=999, random_state=rng).confidence_interval
    assert found is not None and found.value == pytest.approx(squares.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.01)


def test_a_mean_difference_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(3).normal(0.3, 2, 500)
    found = mean_difference(values)
    expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert found is not None and (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan], [1.0, np.inf]])
def test_a_mean_that_has_no_interval(values: list[float]) -> None:
    assert mean_of_squares(np.array(values)) is None and mean_difference(np.array(values)) is None


def test_no_errors() -> None:
    found = mean_of_squares(np.zeros(5))
    assert found is not None and (found.value, found.low, found.high) == (0, 0, 0)
