"""Likely label errors by confident learning: held-out examples that the model contradicts with confidence.

Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021): the threshold
of a class is the mean score that the class gets in the examples with this label. An example counts for the class with
the largest score among those whose score reaches their threshold; if that is not its label, and the model does not
answer with the label either, the label is likely wrong. The model has not been trained on the held-out examples, as the
method demands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.review.decisions import Decisions
from components.review.record import Picture

SHOWN = 24

Scores = npt.NDArray[np.float64]


def likely_label_errors(decisions: Decisions) -> tuple[list[Picture], int]:
    """Return the most likely label errors, and the number of all.

    Those come first whose likely class has most more score than the label. Of several labels, each is a question with
    yes and no.

    Args:
      decisions: Of the model.
    """
    scores = np.nan_to_num(decisions.found.scores.astype(np.float64))
    if not decisions.several:
        likely, margins = confident_classes(scores, decisions.label_places)
        rows = _ranked(margins)
        pictures = [decisions.picture(row, f"likely {decisions.names[likely[row]]}") for row in rows[:SHOWN].tolist()]
        return pictures, len(rows)
    by_label = confident_labels(scores, decisions.truth)
    rows = _ranked(by_label.max(axis=1))
    return [
        decisions.picture(row, _describe(decisions, row, int(by_label[row].argmax()))) for row in rows[:SHOWN].tolist()
    ], len(rows)


def confident_classes(
    scores: Scores, labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the class that each example counts for, [N], and how much more score it has than the label, [N].

    Args:
      scores: [N, C].
      labels: Places of the right classes, [N]; -1: unknown.

    Returns:
      Places, and differences of scores, -inf where the label is confirmed, is the answer, or no class reaches its
      threshold.
    """
    rows = np.flatnonzero(labels >= 0)
    own = scores[rows, labels[rows]]
    counts = np.bincount(labels[rows], minlength=scores.shape[1])
    sums = np.bincount(labels[rows], own, minlength=scores.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(scores >= thresholds, scores, -np.inf)
    likely = reached.argmax(axis=1)
    margins = np.full(len(scores), -np.inf)
    margins[rows] = reached[rows, likely[rows]] - own
    margins[(likely == labels) | (scores.argmax(axis=1) == labels)] = -np.inf
    return likely, margins


def confident_labels(scores: Scores, truth: npt.NDArray[np.bool_]) -> Scores:
    """Return how much more score the contrary of each label has than the label, [N, C]; -inf where it is confirmed.

    Args:
      scores: [N, C], each on its own.
      truth: Which labels apply, [N, C].
    """
    found = np.full(scores.shape, -np.inf)
    for place in range(scores.shape[1]):
        both = np.stack([1 - scores[:, place], scores[:, place]], axis=1)
        _, found[:, place] = confident_classes(both, truth[:, place].astype(np.int64))
    return found


def _ranked(margins: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the rows with a likely error, the most likely first."""
    order = np.argsort(-margins, kind="stable")
    return order[np.isfinite(margins[order])]


def _describe(decisions: Decisions, row: int, place: int) -> str:
    kind = "wrong" if decisions.truth[row, place] else "missing"
    return f"{decisions.names[place]} is likely {kind}: score {decisions.found.scores[row, place]:.2f}"
