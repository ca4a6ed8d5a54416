"""The cells of the confusion matrix, with pictures of some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.review.decisions import Decisions
from components.review.record import ConfusionCell

CELLS = 10_000  # at most; of more, the largest
_MISTAKEN, _RIGHT = (180, 10), (60, 4)  # pictures of wrong and of right answers: of all cells, and of one


def confusion_cells(decisions: Decisions) -> list[ConfusionCell]:
    """Return the cells that have examples: the wrong answers first, and the larger cells first.

    Of wrong answers the pictures with the largest scores are shown, of right ones those with the smallest: the most
    and the least certain. Every cell gets one before a cell gets a second one.

    Args:
      decisions: Of the model, for classes.
    """
    known = np.flatnonzero(decisions.label_places >= 0)
    labels, answers = decisions.label_places[known], decisions.answer_places[known]
    scores = decisions.answer_scores[known]
    keys = labels * len(decisions.names) + answers
    order = np.lexsort((np.where(labels == answers, scores, -scores), keys))
    groups = np.split(known[order], np.flatnonzero(np.diff(keys[order])) + 1) if len(known) else []
    is_right = [bool(decisions.right[rows[0]]) for rows in groups]
    groups = [groups[place] for place in sorted(range(len(groups)), key=lambda at: (is_right[at], -len(groups[at])))]
    cells = [_cell(decisions, rows) for rows in groups[:CELLS]]
    for wanted, (most, of_each) in ((False, _MISTAKEN), (True, _RIGHT)):
        chosen = [
            (cell, rows) for cell, rows in zip(cells, groups, strict=False) if (cell.label == cell.answer) is wanted
        ]
        counts = _shares([min(cell.count, of_each) for cell, _ in chosen], most)
        for (cell, rows), count in zip(chosen, counts, strict=True):
            cell.pictures = [decisions.picture(row) for row in rows[:count].tolist()]
    return cells


def _cell(decisions: Decisions, rows: npt.NDArray[np.intp]) -> ConfusionCell:
    label, answer = decisions.label_places[rows[0]], decisions.answer_places[rows[0]]
    return ConfusionCell(decisions.names[label], decisions.names[answer], len(rows))


def _shares(wanted: Sequence[int], most: int) -> list[int]:
    """Return how many each gets of `most`: one after the other takes one more, until all have what they want."""
    given = [0] * len(wanted)
    while most:
        open_ones = [place for place, count in enumerate(wanted) if given[place] < count][:most]
        if not open_ones:
            break
        for place in open_ones:
            given[place] += 1
        most -= len(open_ones)
    return given
