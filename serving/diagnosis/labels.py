"""Diagnose the names of the scores, the order of the score columns, and the thresholds of several labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data.names import list_names
from serving.diagnosis.base import LISTED, Array, allowed_residual
from serving.parity.compare import Answers, ClassNames, score_differences
from serving.parity.report import Diagnosis

_MAX_ASSET_BYTES = 2**24  # a file of names is far smaller
REORDERED, SHIFTED = "label vocabulary reordered", "label vocabulary shifted by one"
STALE = "stale vocabulary"


def diagnose_names(folder: str, reference: Answers, served: Answers, allowed: float) -> Diagnosis | None:
    """Check that the names of the scores are training's, in training's order.

    Args:
      folder: Folder of the SavedModel.
      reference: Training's answers.
      served: Answers of the route.
      allowed: Largest difference of a score that counts as equal.
    """
    trained_names, served_names = reference.classes, served.classes
    if trained_names is None or served_names is None:
        if trained_names is None and served_names is None:
            return None
        skew = "names missing" if served_names is None else "names, but training has none"
        return Diagnosis("label order", skew, 0, "")
    record = _first_differing(trained_names, served_names)
    if record is None:
        return None
    expected, found = list(trained_names[record]), list(served_names[record])
    changes = _changes(found, expected)
    if changes or trained_names.shape != served_names.shape:
        detail = f"{changes or f'{len(found)} names, not {len(expected)}'}{_source(folder, found)}"
        return Diagnosis("label order", STALE, record, detail)
    reordered = SHIFTED if _are_shifted(found, expected) else REORDERED
    order = f"{_list(found)} instead of {_list(expected)}{_source(folder, found)}"
    left = float(score_differences(reference.scores, served.scores).max())
    if left <= allowed:
        return Diagnosis("label order", reordered, record, f"{order}; the scores are training's")
    by_name = score_differences(_by_name(reference.scores, trained_names), _by_name(served.scores, served_names))
    if by_name.max() <= allowed:
        return Diagnosis("label order", "names and scores both in another order", record, order)
    return Diagnosis("label order", reordered, record, f"{order}; scores also differ by up to {left:.2g}")


def diagnose_columns(reference: Answers, served: Answers, record: int, allowed: float) -> Diagnosis | None:
    """Check whether the scores are training's, but in other columns.

    Args:
      reference: Training's answers.
      served: Answers of the route.
      record: Record to name in the diagnosis.
      allowed: Largest difference of a score that counts as equal.
    """
    count = reference.scores.shape[1]
    most = allowed_residual(score_differences(reference.scores, served.scores), allowed)
    order: list[int] = []  # the served column of each of training's columns
    for column in reference.scores.T:
        costs = score_differences(served.scores.T, np.broadcast_to(column, served.scores.T.shape))
        remaining = [other for other in range(count) if other not in order]
        order.append(remaining[int(costs[remaining].argmin())])
        if costs[order[-1]] > most:
            return None
    if count < 2 or order == list(range(count)):
        return None
    left = float(score_differences(reference.scores, served.scores[:, order]).max())
    names = _column_names(reference, record)
    moved = [f"{names[wanted]}'s under {names[found]}" for wanted, found in enumerate(order) if wanted != found]
    skew = f"score columns {'shifted by one' if _are_shifted(order, range(count)) else 'permuted'}"
    if count == 2:
        skew = f"the two {'classes' if reference.thresholds is None else 'labels'} swapped"
    return Diagnosis("label order", skew, record, f"scores of {list_names(moved, LISTED)}, which leaves {left:.2g}")


def diagnose_thresholds(reference: Answers, served: Answers, allowed: float) -> Diagnosis | None:
    """Check that the thresholds are training's, if the scores are; otherwise their cause may be that of the scores.

    Args:
      reference: Training's answers.
      served: Answers of the route.
      allowed: Largest difference of a score that counts as equal.
    """
    trained, found = reference.thresholds, served.thresholds
    if score_differences(reference.scores, served.scores).max() > allowed:
        return None
    if trained is None or found is None:
        skew = "thresholds missing" if found is None else "thresholds, but training has none"
        return None if trained is found else Diagnosis("thresholds", skew, 0, "")
    rows, columns = np.nonzero(trained != found)
    if not len(rows):
        return None
    record = int(rows[0])
    names, here = _column_names(reference, record), columns[rows == record]
    numbers = [f"{names[one]} {found[record, one]!s}, not {trained[record, one]!s}" for one in here]
    detail = f"{list_names(numbers, LISTED)}; the scores are training's"
    return Diagnosis("thresholds", _threshold_skew(list(trained[record]), list(found[record])), record, detail)


def _threshold_skew(trained: Sequence[float], found: Sequence[float]) -> str:
    if sorted(found) == sorted(trained):
        return f"thresholds {'shifted by one' if _are_shifted(found, trained) else 'in another order'}"
    if len(set(found)) == 1 < len(found):
        return f"{found[0]!s} for every label instead of the chosen thresholds"
    return "thresholds of another version"


def _are_shifted(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Return whether three or more values are the expected ones, but each at the next place or at the one before."""
    found, expected = list(found), list(expected)
    return len(found) > 2 and expected in ([*found[1:], found[0]], [found[-1], *found[:-1]])


def _column_names(answers: Answers, record: int) -> list[str]:
    """Return the names of a record's scores; their numbers if they have no names."""
    if answers.classes is None:
        return [str(column) for column in range(answers.scores.shape[1])]
    return _decode(answers.classes[record])


def stale_assets(folder: str, names: Sequence[bytes]) -> list[str]:
    """Describe files of names in the SavedModel that differ from training's names, one line each.

    A file counts as one of names if its lines include at least half of training's names.

    Args:
      folder: Folder of the SavedModel.
      names: Training's names.
    """
    found = []
    for asset, lines in _assets(folder):
        if lines != list(names) and 2 * len(set(lines) & set(names)) >= len(set(names)) > 0:
            found.append(f"{asset} {_changes(lines, names) or 'has them in another order'}")
    return found


def _first_differing(left: ClassNames, right: ClassNames) -> int | None:
    if left.shape != right.shape:
        return 0
    differing = np.flatnonzero((left != right).any(axis=1))
    return int(differing[0]) if len(differing) else None


def _changes(found: Sequence[bytes], expected: Sequence[bytes]) -> str:
    """Describe the names that are new and those that are gone; empty if there are none."""
    new = [name for name in found if name not in expected]
    gone = [name for name in expected if name not in found]
    parts = [f"has {_list(new)}"] * bool(new) + [f"lacks {_list(gone)}"] * bool(gone)
    return " and ".join(parts)


def _by_name(scores: Array, names: ClassNames) -> Array:
    return np.take_along_axis(scores, np.argsort(names, axis=1, kind="stable"), axis=1)


def _source(folder: str, names: Sequence[bytes]) -> str:
    """Describe where the names come from, as the end of a detail."""
    assets = [asset for asset, lines in _assets(folder) if lines and set(names) <= set(lines)]
    return f"; from {list_names(assets, LISTED)}" if assets else "; from the graph, not from a file in assets/"


def _assets(folder: str) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the path and the lines of each of the SavedModel's assets."""
    for below, _, files in tf.io.gfile.walk(os.path.join(folder, "assets")):
        for name in sorted(files):
            path = os.path.join(below, name)
            if tf.io.gfile.stat(path).length <= _MAX_ASSET_BYTES:
                with tf.io.gfile.GFile(path, "rb") as file:
                    yield os.path.relpath(path, folder), file.read().splitlines()


def _decode(names: Sequence[bytes]) -> list[str]:
    return [name.decode("utf-8", "replace") for name in names]


def _list(names: Sequence[bytes]) -> str:
    return list_names(_decode(names), LISTED)
