"""Precision and recall by the threshold of the score, of one class or label against all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.review.decisions import Decisions
from components.review.record import ClassQuality, ThresholdCurve

SHOWN = 12  # classes, the worst
POINTS = 100  # of a curve


def threshold_curves(decisions: Decisions, qualities: Sequence[ClassQuality]) -> list[ThresholdCurve]:
    """Return the curves of the classes or labels with the lowest F1, the lowest first.

    Args:
      decisions: Of the model.
      qualities: Of all classes or labels; those without an example have no curve.
    """
    measured = sorted((one for one in qualities if one.examples), key=lambda one: one.f1 or 0.0)
    places = {name: place for place, name in enumerate(decisions.names)}
    return [_curve(decisions, places[one.name]) for one in measured[:SHOWN]]


def _curve(decisions: Decisions, place: int) -> ThresholdCurve:
    scores, truth = np.nan_to_num(decisions.found.scores[:, place]), decisions.truth[:, place]
    thresholds, precision, recall = precision_recall(scores, truth)
    chosen = float(decisions.thresholds[place]) if decisions.several else None
    kept = _thinned(np.stack([thresholds, precision, recall]))
    if chosen is not None:  # the point that is served
        kept = np.union1d(kept, min(int(np.searchsorted(thresholds, np.float32(chosen))), len(thresholds) - 1))
    at, precise, found = (np.round(one[kept].astype(np.float64), 6).tolist() for one in (thresholds, precision, recall))
    return ThresholdCurve(decisions.names[place], at, precise, found, chosen)


def precision_recall(
    scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each score as a threshold, rising, with precision and recall of the scores that are at least as large.

    Args:
      scores: [N].
      truth: [N], with at least one example.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))[::-1]  # the last of each group of equal scores
    right = np.cumsum(truth[order])[ends]
    return ranked[ends], right / (ends + 1), right / truth.sum()


def _thinned(curve: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the places of at most `POINTS` points, at even distances along a curve [3, N]; both ends are kept."""
    if curve.shape[1] <= POINTS:
        return np.arange(curve.shape[1])
    walked = np.append(0.0, np.cumsum(np.abs(np.diff(curve)).sum(axis=0)))
    return np.unique(np.searchsorted(walked, np.linspace(0, walked[-1], POINTS)).clip(max=len(walked) - 1))
