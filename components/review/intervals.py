"""Confidence intervals of 95 %: of a share, of the difference of two paired shares, and of a mean of squared errors."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from components.review.record import Interval

_Z = 1.959963984540054  # of the normal distribution, for 95 %


def share(count: int, total: int) -> Interval | None:
    """Return `count / total` with Wilson's interval, which is right for small numbers and shares near 0 and 1, too.

    Args:
      count: Number of successes.
      total: Number of trials.

    Returns:
      None without a trial.
    """
    if not total:
        return None
    value, square = count / total, _Z**2 / total
    middle = (value + square / 2) / (1 + square)
    reach = _Z * math.sqrt(value * (1 - value) / total + square / (4 * total)) / (1 + square)
    return Interval(value, max(0.0, min(value, middle - reach)), min(1.0, max(value, middle + reach)))


def paired_difference(won: int, lost: int, total: int) -> Interval:
    """Return `(won - lost) / total`, the difference of two shares of the same examples, with its interval.

    Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data"
    (2012): one success is added to each side.

    Args:
      won: Number of successes of the first share only.
      lost: Of the second only.
      total: Number of examples, at least 1.
    """
    one, other = (won + 1) / (total + 2), (lost + 1) / (total + 2)
    value, middle = (won - lost) / total, one - other
    reach = _Z * math.sqrt((one + other - middle**2) / (total + 2))
    return Interval(value, max(-1.0, min(value, middle - reach)), min(1.0, max(value, middle + reach)))


def mean_of_squares(squares: npt.NDArray[np.float64]) -> Interval | None:
    """Return the mean of squared errors with its interval, on a logarithmic scale because squares are skewed.

    Args:
      squares: [N], not negative.

    Returns:
      None with less than two values, or with one that is not finite.
    """
    if len(squares) < 2 or not np.isfinite(squares).all():
        return None
    value = float(squares.mean())
    if value == 0:
        return Interval(0.0, 0.0, 0.0)
    reach = _Z * float(squares.std(ddof=1)) / math.sqrt(len(squares)) / value
    return Interval(value, value * math.exp(-reach), value * math.exp(reach))


def mean_difference(differences: npt.NDArray[np.float64]) -> Interval | None:
    """Return the mean of paired differences with its normal interval; None as in `mean_of_squares`."""
    if len(differences) < 2 or not np.isfinite(differences).all():
        return None
    value = float(differences.mean())
    reach = _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Interval(value, value - reach, value + reach)
