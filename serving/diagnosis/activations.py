"""Diagnose the last step of a model with several labels: what it makes of each output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serving.diagnosis.base import Array, allowed_residual
from serving.parity.compare import Answers, score_differences
from serving.parity.report import Diagnosis, Stage

_SATURATED, _MOST = 0.9999, 1 - 2.0**-24
"""From the first on, float32 is too coarse for the odds p / (1 - p); it has no number between the second and 1."""


@dataclass(frozen=True)
class _ScoreSkew:
    """A wrong last step.

    Attributes:
      stage: Stage of the diagnosis.
      skew: What is wrong, in one phrase.
      residuals: Of training's scores and the served ones, float64 [N, C] each: the difference in each record that the
        skew leaves, [N]; NaN where it cannot be computed.
    """

    stage: Stage
    skew: str
    residuals: Callable[[Array, Array], Array]


def diagnose_activation(reference: Answers, served: Answers, record: int, allowed: float) -> Diagnosis | None:
    """Check whether each served score is training's after a wrong last step; only for several labels.

    Args:
      reference: Training's answers.
      served: Answers of the route.
      record: Record to name in the diagnosis.
      allowed: Largest difference of a score that counts as equal.
    """
    if reference.thresholds is None:
        return None
    trained, found = reference.scores.astype(np.float64), served.scores.astype(np.float64)
    most = allowed_residual(score_differences(trained, found), allowed)
    for known in _SKEWS:
        with np.errstate(all="ignore"):
            residuals = known.residuals(trained, found)
        usable = residuals[np.isfinite(residuals)]
        if 2 * len(usable) > len(residuals) and usable.max() <= most:
            return Diagnosis(known.stage, known.skew, record, f"which leaves {usable.max():.2g}")
    return None


def _complement(trained: Array, found: Array) -> Array:
    return score_differences(1 - trained, found)


def _softmax(trained: Array, found: Array) -> Array:
    likely = np.minimum(trained, _MOST)
    odds = likely / (1 - likely)  # the exponentials of the outputs, of which a softmax is the share
    left = score_differences(odds / odds.sum(axis=1, keepdims=True), found)
    return np.where((trained > _SATURATED).sum(axis=1) > 1, np.nan, left)


def _no_sigmoid(trained: Array, found: Array) -> Array:
    return score_differences(trained, 1 / (1 + np.exp(-found)))


def _two_sigmoids(trained: Array, found: Array) -> Array:
    return score_differences(1 / (1 + np.exp(-trained)), found)


_SKEWS = (
    _ScoreSkew("label order", "1 - p instead of p: the scores of labels that do not apply", _complement),
    _ScoreSkew("model", "softmax instead of sigmoids", _softmax),
    _ScoreSkew("model", "sigmoids missing", _no_sigmoid),
    _ScoreSkew("model", "sigmoids twice", _two_sigmoids),
)
