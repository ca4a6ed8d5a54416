"""The worst mistakes: the wrong answers that the model is most sure of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.review.decisions import Decisions
from components.review.record import Picture

SHOWN = 24


def worst_mistakes(decisions: Decisions) -> list[Picture]:
    """Return the wrong answers with the largest scores.

    Of several labels, those with a score that is farthest on the wrong side of its threshold, as a share of the way
    from the threshold to 0 or 1.

    Args:
      decisions: Of the model.
    """
    wrong = np.flatnonzero(~decisions.right)
    if not decisions.several:
        worst = wrong[np.argsort(-decisions.answer_scores[wrong], kind="stable")][:SHOWN]
        return [decisions.picture(row) for row in worst.tolist()]
    margins = _margins(decisions)
    worst = wrong[np.argsort(-margins[wrong].max(axis=1), kind="stable")][:SHOWN]
    return [decisions.picture(row, _describe(decisions, row, int(margins[row].argmax()))) for row in worst.tolist()]


def _margins(decisions: Decisions) -> npt.NDArray[np.float64]:
    """Return how far each score is on the wrong side of its threshold, 0..1 [N, C]; 0 where it is right."""
    scores = np.nan_to_num(decisions.found.scores.astype(np.float64))
    thresholds = decisions.thresholds.astype(np.float64)
    above = (scores - thresholds) / np.maximum(1 - thresholds, 1e-9)
    below = (thresholds - scores) / np.maximum(thresholds, 1e-9)
    return np.where(decisions.chosen == decisions.truth, 0.0, np.where(decisions.chosen, above, below))


def _describe(decisions: Decisions, row: int, place: int) -> str:
    if decisions.chosen[row, place] == decisions.truth[row, place]:  # a label that the model does not know
        return ""
    kind = "wrong" if decisions.chosen[row, place] else "missing"
    score, threshold = decisions.found.scores[row, place], decisions.thresholds[place]
    return f"{decisions.names[place]} is {kind}: score {score:.2f}, threshold {threshold:.2f}"
