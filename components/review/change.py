"""What changed against the baseline, example by example."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.release.predictions import Predictions
from components.review.decisions import Decisions
from components.review.intervals import mean_difference, paired_difference
from components.review.record import Change, Picture
from components.review.regression import errors_of, picture_of_number

SHOWN = 24  # pictures won, and pictures lost


def change_of(decisions: Decisions) -> Change | None:
    """Return what changed; None without a baseline.

    The pictures are those whose scores have changed most: of classes that of the right one, of several labels all.

    Args:
      decisions: Of the candidate and the baseline.
    """
    before, right, right_before = decisions.found.before, decisions.right, decisions.right_before
    if before is None or right_before is None or not len(right):
        return None
    won, lost = right & ~right_before, right_before & ~right
    moved = np.abs(np.nan_to_num(decisions.found.scores - before))
    moved = np.where(decisions.truth, moved, moved if decisions.several else 0).sum(axis=1)
    return Change(
        int(won.sum()),
        int(lost.sum()),
        int((right & right_before).sum()),
        int((~right & ~right_before).sum()),
        paired_difference(int(won.sum()), int(lost.sum()), len(right)),
        _most(won, moved, decisions.picture),
        _most(lost, moved, decisions.picture),
    )


def change_of_numbers(found: Predictions) -> Change | None:
    """Return what changed in the squared errors; None without a baseline, or if a number is not finite.

    Args:
      found: The answers of the candidate and the baseline.
    """
    if found.before is None:
        return None
    now, before = (np.square(errors_of(one, found.numbers)) for one in (found.scores, found.before))
    difference = mean_difference(now - before)
    if difference is None:
        return None
    closer, farther = now < before, now > before
    counts = int(closer.sum()), int(farther.sum()), 0, int((now == before).sum())
    moved, picture = np.abs(now - before), functools.partial(picture_of_number, found)
    return Change(*counts, difference, _most(closer, moved, picture), _most(farther, moved, picture))


def _most(
    among: npt.NDArray[np.bool_], moved: npt.NDArray[np.floating], picture: Callable[[int], Picture]
) -> list[Picture]:
    rows = np.flatnonzero(among)
    return [picture(row) for row in rows[np.argsort(-moved[rows], kind="stable")][:SHOWN].tolist()]
