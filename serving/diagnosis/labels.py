"""Faults of what scores are called: names that are stale or in another order, and columns that are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from serving.diagnosis.base import limit, some
from serving.parity.compare import Answers, ClassNames, score_differences
from serving.parity.report import Diagnosis

_LARGEST_ASSET = 2**24  # bytes; a file of names is far smaller
REORDERED = "label vocabulary reordered"
STALE = "stale vocabulary"


def diagnose_names(folder: str, reference: Answers, served: Answers, allowed: float) -> Diagnosis | None:
    """Whether the names of the scores are training's, in training's order."""
    trained, told = reference.classes, served.classes
    if trained is None or told is None:
        if trained is None and told is None:
            return None
        return Diagnosis("label order", "no names" if told is None else "names where training has none", 0, "")
    same = trained.shape == told.shape
    differing = np.flatnonzero((trained != told).any(axis=1)) if same else np.array([0])
    if not len(differing):
        return None
    record = int(differing[0])
    known, found = list(trained[record]), list(told[record])
    new, gone = [name for name in found if name not in known], [name for name in known if name not in found]
    if new or gone or not same:
        changes = [f"has {_names(new)}"] * bool(new) + [f"lacks {_names(gone)}"] * bool(gone)
        detail = f"{' and '.join(changes) or f'{len(found)} names, not {len(known)}'}{_source(folder, found)}"
        return Diagnosis("label order", STALE, record, detail)
    order = f"{_names(found)} instead of {_names(known)}{_source(folder, found)}"
    left = float(score_differences(reference.scores, served.scores).max())
    if left <= allowed:
        return Diagnosis("label order", REORDERED, record, f"{order}; the scores are training's")
    by_name = score_differences(_by_name(reference.scores, trained), _by_name(served.scores, told))
    if by_name.max() <= allowed:
        return Diagnosis("label order", "names and scores in another order, alike", record, order)
    return Diagnosis("label order", REORDERED, record, f"{order}; beside that scores differ by up to {left:.2g}")


def diagnose_columns(reference: Answers, served: Answers, record: int, allowed: float) -> Diagnosis | None:
    """Whether the same scores stand in other columns."""
    count = reference.scores.shape[1]
    most = limit(score_differences(reference.scores, served.scores), allowed)
    order: list[int] = []  # of the served columns
    for column in reference.scores.T:
        costs = score_differences(served.scores.T, np.broadcast_to(column, served.scores.T.shape))
        left_over = [one for one in range(count) if one not in order]
        order.append(left_over[int(costs[left_over].argmin())])
        if costs[order[-1]] > most:
            return None
    left = float(score_differences(reference.scores, served.scores[:, order]).max())
    if count < 2 or order == list(range(count)):
        return None
    names = [str(one) for one in range(count)] if reference.classes is None else _texts(reference.classes[record])
    moved = [f"{names[wanted]}'s under {names[found]}" for wanted, found in enumerate(order) if wanted != found]
    skew = "the two classes swapped" if count == 2 else "score columns permuted"
    return Diagnosis("label order", skew, record, f"scores of {some(moved)}, which leaves {left:.2g}")


def stale_assets(folder: str, names: Sequence[bytes]) -> list[str]:
    """Files of names in the SavedModel that are not training's, each with what differs, one line.

    A file counts as one of names where at least half of training's are lines of it.
    """
    found = []
    for asset, lines in _assets(folder):
        if lines != list(names) and 2 * len(set(lines) & set(names)) >= len(set(names)) > 0:
            new = [line for line in lines if line not in names]
            gone = [name for name in names if name not in lines]
            changes = [f"has {_names(new)}"] * bool(new) + [f"lacks {_names(gone)}"] * bool(gone)
            found.append(f"{asset} {' and '.join(changes) or 'has them in another order'}")
    return found


def _by_name(scores: np.ndarray, names: ClassNames) -> np.ndarray:
    return np.take_along_axis(scores, np.argsort(names, axis=1, kind="stable"), axis=1)


def _source(folder: str, names: Sequence[bytes]) -> str:
    """The asset that has these names, as told at the end of a detail."""
    held = [asset for asset, lines in _assets(folder) if lines and set(names) <= set(lines)]
    return f"; they are those of {some(held)}" if held else "; they are in the graph, in no file of assets/"


def _assets(folder: str) -> Iterator[tuple[str, list[bytes]]]:
    """The SavedModel's assets by path, and their lines."""
    for below, _, files in tf.io.gfile.walk(os.path.join(folder, "assets")):
        for name in sorted(files):
            path = os.path.join(below, name)
            if tf.io.gfile.stat(path).length <= _LARGEST_ASSET:
                with tf.io.gfile.GFile(path, "rb") as file:
                    yield os.path.relpath(path, folder), file.read().splitlines()


def _texts(names: Sequence[bytes]) -> list[str]:
    return [name.decode("utf-8", "replace") for name in names]


def _names(names: Sequence[bytes]) -> str:
    return some(_texts(names))
