"""Parity: whether answers to the same records, by different routes, are the same answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FLOOR = 2.0**-20
"""Least tolerance, relative to the scale of the scores: 16 roundings of float32 (2^-24 each), as a softmax and the
conversion to decimals and back may add up."""
NOISE_FACTOR = 16.0
CEILING = 2.0**-10
"""Most that noise may widen the tolerance to: a picture whose pixels are off by a single unit of 255 moves scores by
more than that, and a layer in training mode cannot excuse itself with its own noise."""

Names = npt.NDArray[np.object_]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """What one route says of all records.

    Attributes:
      route: its name, "serving_default", "gRPC Predict", ...
      scores: float32 [N, C]; a number's task has C = 1.
      classes: bytes, object [N, C], the name of each score; None for numbers.
    """

    route: str
    scores: Scores
    classes: Names | None = None


@dataclass(frozen=True)
class Comparison:
    """One route against another.

    Attributes:
      route, reference: their names.
      largest: the largest difference of a score.
      record: where it is; the first record whose names or best class differ, if one does.
      flipped: number of records whose best class is another one.
      names_agree: whether the same names come in the same order.
      tolerance: what `largest` may be.
      fault: one line; empty where the two agree.
    """

    route: str
    reference: str
    largest: float
    record: int
    flipped: int
    names_agree: bool
    tolerance: float
    fault: str

    def to_dict(self) -> dict[str, Any]:
        """Its fields, for JSON, which knows no infinity: `largest` is None then."""
        told = dataclasses.asdict(self)
        return told | {"largest": self.largest if np.isfinite(self.largest) else None}


def tolerance(reference: Answers, again: Sequence[Answers]) -> float:
    """How far scores of the same record may lie apart and be the same answer.

    Float addition is not associative: other batch sizes and other numbers of threads add in another order. How much
    that is for a model is not guessed but measured: `again` are the same route's answers in other batch sizes. Their
    largest difference, times `NOISE_FACTOR` for the orders not tried, is the tolerance, within `FLOOR` and `CEILING`.
    All three are relative to the largest score where that is above 1: probabilities never are.
    """
    scale = max(1.0, float(np.max(np.abs(reference.scores), initial=0.0)))
    noise = max((_largest(reference.scores, one.scores)[0] for one in again), default=0.0)
    return float(min(CEILING * scale, max(FLOOR * scale, NOISE_FACTOR * noise)))


def compare(reference: Answers, other: Answers, allowed: float) -> Comparison:
    """Record by record: scores within `allowed`, the best class the same, names and their order the same.

    The best class may change where the two best scores lie within twice `allowed` of each other: they are equal then.
    """

    def found(largest: float, record: int, flipped: int, names_agree: bool, fault: str) -> Comparison:
        return Comparison(other.route, reference.route, largest, record, flipped, names_agree, allowed, fault)

    if other.scores.shape != reference.scores.shape:
        told = f"{list(other.scores.shape)} scores where {reference.route} gives {list(reference.scores.shape)}"
        return found(float("inf"), 0, 0, False, told)
    largest, record = _largest(reference.scores, other.scores)
    differs = _names_differ(reference.classes, other.classes)
    if differs is not None:
        return found(largest, differs, 0, False, _naming(reference, other, differs))
    flips = _flips(reference.scores, other.scores, 2 * allowed)
    if not largest <= allowed:  # NaN, too
        told = f"scores differ by up to {largest:.3g} (allowed {allowed:.2g}) and {len(flips)} answers by their class"
        return found(largest, record, len(flips), True, told)
    return found(largest, record, len(flips), True, "")


def apart(left: np.ndarray, right: np.ndarray) -> npt.NDArray[np.float64]:
    """The largest difference of a score in each record, [N]; NaN on one side alone is infinite."""
    with np.errstate(invalid="ignore"):  # infinite less infinite: looked at below
        found = np.abs(left.astype(np.float64) - right.astype(np.float64))
    same = np.isnan(left) & np.isnan(right) | (left == right)
    found = np.where(same, 0.0, np.nan_to_num(found, nan=np.inf))
    return found.reshape(len(found), -1).max(axis=1, initial=0.0)


def _largest(left: Scores, right: Scores) -> tuple[float, int]:
    """The largest difference and its record."""
    if not left.size:
        return 0.0, 0
    rows = apart(left, right)
    return float(rows.max()), int(rows.argmax())


def _flips(left: Scores, right: Scores, tie: float) -> list[int]:
    if left.shape[1] < 2:
        return []
    best, other = left.argmax(axis=1), right.argmax(axis=1)
    rows = np.arange(len(left))
    return [int(row) for row in rows[(best != other) & (left[rows, best] - left[rows, other] > tie)]]


def _names_differ(left: Names | None, right: Names | None) -> int | None:
    """The first record whose names are not the same; None where all are."""
    if left is None or right is None:
        return None if left is right else 0
    differs = np.flatnonzero((left != right).any(axis=1))
    return int(differs[0]) if len(differs) else None


def _naming(reference: Answers, other: Answers, record: int) -> str:
    def told(classes: Any) -> str:
        return "no names" if classes is None else ", ".join(name.decode("utf-8", "replace") for name in classes[record])

    return f"classes are {told(other.classes)}, {reference.route} says {told(reference.classes)}"
