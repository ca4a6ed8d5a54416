"""Diagnose the last step of a model: the softmax or the sigmoids that make probabilities of its outputs."""

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
    """Check whether each served score is training's after a wrong last step; not for a number.

    Args:
      reference: Training's answers.
      served: Answers of the route.
      record: Record to name in the diagnosis.
      allowed: Largest difference of a score that counts as equal.
    """
    trained, found = reference.scores.astype(np.float64), served.scores.astype(np.float64)
    most = allowed_residual(score_differences(trained, found).clip(max=1), allowed)  # 1: logits may be far larger
    explained = []
    for known in _skews_of(reference):
        with np.errstate(all="ignore"):
            residuals = known.residuals(trained, found)
        usable = residuals[np.isfinite(residuals)]
        if 2 * len(usable) > len(residuals) and usable.max() <= most:
            explained.append((float(usable.max()), known))
    if not explained:
        return None
    left, best = min(explained, key=lambda one: one[0])
    return Diagnosis(best.stage, best.skew, record, f"which leaves {left:.2g}")


def diagnose_constant(
    reference: Answers, served: Answers, record: int, allowed: float, pixels_tried: bool
) -> Diagnosis | None:
    """Check whether the answer to each record is 0 and 1, for two classes.

    A softmax of a single output answers so, and so do outputs that are far too large, as of pixels without /255: try
    the skews of pixels first.

    Args:
      reference: Training's answers.
      served: Answers of the route.
      record: Record to name in the diagnosis.
      allowed: Largest difference of a score that counts as equal.
      pixels_tried: Whether the skews of pixels were tried, and explain nothing.
    """
    scores = served.scores
    if reference.thresholds is not None or scores.shape[1] != 2 or len(scores) < 2:
        return None
    if not score_differences(_both(np.ones(len(scores))), scores).max() <= allowed:
        return None
    if pixels_tried:
        skew = "softmax of a single output, which is always 1, instead of a sigmoid"
        return Diagnosis("model", skew, record, "every answer is 0 and 1")
    causes = (
        "a softmax of a single output, which is always 1, or outputs that are far too large: are the inputs scaled?"
    )
    return Diagnosis("model", "every answer is 0 and 1", record, causes)


def _skews_of(reference: Answers) -> tuple[_ScoreSkew, ...]:
    if reference.thresholds is not None:
        return _OF_LABELS
    classes = reference.scores.shape[1]
    return (*_OF_CLASSES, *(_OF_ONE_OUTPUT if classes == 2 else ())) if classes > 1 else ()


def _complement(trained: Array, found: Array) -> Array:
    return score_differences(1 - trained, found)


def _softmax_for_sigmoids(trained: Array, found: Array) -> Array:
    """With the sigmoids' outputs, a softmax is computed from their odds."""
    left = score_differences(_shares(trained), found)
    return np.where((trained > _SATURATED).sum(axis=1) > 1, np.nan, left)


def _no_sigmoids(trained: Array, found: Array) -> Array:
    return score_differences(trained, _sigmoid(found))


def _two_sigmoids(trained: Array, found: Array) -> Array:
    return score_differences(_sigmoid(trained), found)


def _sigmoids_for_softmax(trained: Array, found: Array) -> Array:
    left = score_differences(trained, _shares(found))
    is_unknown = ((found > _SATURATED).sum(axis=1) > 1) | ((found < 0) | (found > 1)).any(axis=1)
    return np.where(is_unknown, np.nan, left)


def _no_softmax(trained: Array, found: Array) -> Array:
    return score_differences(trained, _softmax(found))


def _two_softmaxes(trained: Array, found: Array) -> Array:
    return score_differences(_softmax(trained), found)


def _no_sigmoid(trained: Array, found: Array) -> Array:
    apart: Array = abs(found.sum(axis=1) - 1)  # the export gives 1 - output and output
    return score_differences(trained, _both(_sigmoid(found[:, 1]))) + apart


def _two_sigmoids_of_one(trained: Array, found: Array) -> Array:
    return score_differences(_both(_sigmoid(trained[:, 1])), found)


def _shares(probabilities: Array) -> Array:
    """Return the softmax [N, C] of the outputs whose sigmoids are given; the odds are the exponentials of these."""
    likely = np.minimum(probabilities, _MOST)
    odds = likely / (1 - likely)
    shares: Array = odds / odds.sum(axis=1, keepdims=True)
    return shares


def _softmax(outputs: Array) -> Array:
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(outputs: Array) -> Array:
    values: Array = 1 / (1 + np.exp(-outputs))
    return values


def _both(second: Array) -> Array:
    """Return the scores [N, 2] of two classes from that of the second one, [N]."""
    return np.stack([1 - second, second], axis=1)


_OF_LABELS = (
    _ScoreSkew("label order", "1 - p instead of p: the scores of labels that do not apply", _complement),
    _ScoreSkew("model", "softmax instead of sigmoids", _softmax_for_sigmoids),
    _ScoreSkew("model", "sigmoids missing", _no_sigmoids),
    _ScoreSkew("model", "sigmoids twice", _two_sigmoids),
)
_OF_CLASSES = (
    _ScoreSkew("model", "softmax missing: the scores are logits", _no_softmax),
    _ScoreSkew("model", "softmax twice", _two_softmaxes),
    _ScoreSkew("model", "sigmoids instead of softmax", _sigmoids_for_softmax),
)
_OF_ONE_OUTPUT = (
    _ScoreSkew("model", "sigmoid missing: the scores are logits", _no_sigmoid),
    _ScoreSkew("model", "sigmoid twice", _two_sigmoids_of_one),
)
