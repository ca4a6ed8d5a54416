"""Parity: whether the answers of two routes to the same records are equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FLOOR = 2.0**-20
"""Least tolerance, relative to the scale of the scores: 16 roundings of float32 (2^-24 each). A softmax, and the
conversion to decimals and back, may add up to that."""
NOISE_FACTOR = 16.0
CEILING = 2.0**-10
"""Limit to which noise may widen the tolerance: a layer in training mode cannot hide its fault behind its own noise."""

ClassNames = npt.NDArray[np.object_]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """The answers of one route to all records.

    Attributes:
      route: Name of the route: "serving_default", "gRPC Predict", ...
      scores: float32 [N, C]; C = 1 in a regression.
      classes: Name of each score, bytes as object [N, C]; None in a regression.
      thresholds: Threshold of each score, float32 [N, C], if a record may have several labels; otherwise None.
    """

    route: str
    scores: Scores
    classes: ClassNames | None = None
    thresholds: Scores | None = None


@dataclass(frozen=True)
class Comparison:
    """A comparison of one route with another.

    Attributes:
      route: Name of the route.
      reference: Name of the route that it is compared with.
      largest: Largest difference of a score.
      record: Index of the record with the largest difference; of the first one whose names differ, if one does.
      flipped: Number of records whose best class differs; with thresholds, whose labels differ.
      names_agree: Whether the class names and their order are equal.
      tolerance: Largest difference of a score that counts as equal.
      fault: Difference in one line; empty if the routes agree.
      rows: Largest difference of a score in each record, N numbers; empty if they cannot be compared. Not in JSON.
    """

    route: str
    reference: str
    largest: float
    record: int
    flipped: int
    names_agree: bool
    tolerance: float
    fault: str
    rows: tuple[float, ...] = field(default=(), compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON object; an infinite `largest` becomes null, as JSON has no infinity."""
        found = dataclasses.asdict(self) | {"largest": self.largest if np.isfinite(self.largest) else None}
        del found["rows"]
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Read what `to_json` returned."""
        return cls(**{**data, "largest": float("inf") if data["largest"] is None else float(data["largest"])})


def score_tolerance(reference: Answers, again: Sequence[Answers]) -> float:
    """Return the largest difference between scores of a record that still counts as equal.

    Float addition is not associative: other batch sizes and other numbers of threads add in another order. The effect
    on a model is measured, not guessed. The tolerance is the largest difference between `reference` and `again`, times
    `NOISE_FACTOR` for the orders that were not tried, within `FLOOR` and `CEILING`. If the largest score is above 1
    (probabilities never are), all three are relative to it.

    Args:
      reference: Answers of a route.
      again: Answers of the same route in other batch sizes.
    """
    scale = max(1.0, float(np.max(np.abs(reference.scores), initial=0.0)))
    noise = max((_largest(reference.scores, answers.scores)[0] for answers in again), default=0.0)
    return float(min(CEILING * scale, max(FLOOR * scale, NOISE_FACTOR * noise)))


def compare_answers(reference: Answers, other: Answers, allowed: float) -> Comparison:
    """Compare two routes record by record: scores, best class or labels, class names and their order, thresholds.

    The best class may differ if the two best scores are within twice `allowed` of each other: they count as equal. A
    label may differ if its score is within `allowed` of its threshold. Thresholds must be equal.

    Args:
      reference: Expected answers.
      other: Answers to check.
      allowed: Largest difference of a score that counts as equal.
    """
    rows: tuple[float, ...] = ()

    def result(largest: float, record: int, flipped: int, names_agree: bool, fault: str) -> Comparison:
        return Comparison(other.route, reference.route, largest, record, flipped, names_agree, allowed, fault, rows)

    if other.scores.shape != reference.scores.shape:
        shapes = f"{list(other.scores.shape)}, expected {list(reference.scores.shape)} as in {reference.route}"
        return result(float("inf"), 0, 0, False, f"the shape of the scores is {shapes}")
    largest, record = _largest(reference.scores, other.scores)
    rows = tuple(score_differences(reference.scores, other.scores).tolist())
    differing = _first_differing_names(reference.classes, other.classes)
    if differing is not None:
        return result(largest, differing, 0, False, _describe_names(reference, other, differing))
    flipped = _count_flips(reference, other, allowed)
    differing_row, thresholds = _differing_thresholds(reference, other)
    faults = []
    if not largest <= allowed:  # also catches NaN
        what = "best class" if reference.thresholds is None else "labels"
        faults.append(f"scores differ by up to {largest:.3g} (allowed {allowed:.2g}), the {what} on {flipped} records")
    elif thresholds:
        record = differing_row
    return result(largest, record, flipped, True, "; ".join([*faults, *thresholds]))


def score_differences(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the largest difference of a score in each record, [N]; infinite if only one side is NaN."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity, handled below
        differences = np.abs(left.astype(np.float64) - right.astype(np.float64))
    is_same = np.isnan(left) & np.isnan(right) | (left == right)
    differences = np.where(is_same, 0.0, np.nan_to_num(differences, nan=np.inf))
    largest: npt.NDArray[np.float64] = differences.reshape(len(differences), -1).max(axis=1, initial=0.0)
    return largest


def _largest(left: Scores, right: Scores) -> tuple[float, int]:
    """Return the largest difference and its record."""
    if not left.size:
        return 0.0, 0
    rows = score_differences(left, right)
    return float(rows.max()), int(rows.argmax())


def _count_flips(reference: Answers, other: Answers, allowed: float) -> int:
    """Count the records whose best class, or whose labels if there are thresholds, differ by more than a tie."""
    left, right, limits = reference.scores, other.scores, reference.thresholds
    if limits is not None:
        other_limits = limits if other.thresholds is None else other.thresholds
        changed = (left >= limits) != (right >= other_limits)
        return int((changed & (np.abs(left - limits) > allowed)).any(axis=1).sum())
    if left.shape[1] < 2:
        return 0
    best, found = left.argmax(axis=1), right.argmax(axis=1)
    rows = np.arange(len(left))
    return int(((best != found) & (left[rows, best] - left[rows, found] > 2 * allowed)).sum())


def _first_differing_names(left: ClassNames | None, right: ClassNames | None) -> int | None:
    """Return the first record whose names differ, or None if all are equal."""
    if left is None or right is None:
        return None if left is right else 0
    differing = np.flatnonzero((left != right).any(axis=1))
    return int(differing[0]) if len(differing) else None


def _differing_thresholds(reference: Answers, other: Answers) -> tuple[int, list[str]]:
    """Return the first record whose thresholds differ, and a line that describes it; no line if all are equal."""
    left, right = reference.thresholds, other.thresholds
    if left is None or right is None:
        missing = f"thresholds, but {reference.route} has none" if left is None else "the thresholds are missing"
        return 0, [missing] * (left is not right)
    rows, columns = np.nonzero(left != right)
    if not len(rows):
        return 0, []
    row, column = rows[0], columns[0]
    name = str(column) if reference.classes is None else reference.classes[row][column].decode("utf-8", "replace")
    numbers = f"{name} {right[row, column]!s}, in {reference.route} {left[row, column]!s}"
    return int(row), [f"thresholds differ for {len(set(columns))} of {left.shape[1]} labels: {numbers}"]


def _describe_names(reference: Answers, other: Answers, record: int) -> str:
    def names(classes: ClassNames | None) -> str:
        if classes is None:
            return "missing"
        return ", ".join(name.decode("utf-8", "replace") for name in classes[record])

    return f"classes are {names(other.classes)}; in {reference.route} they are {names(reference.classes)}"
