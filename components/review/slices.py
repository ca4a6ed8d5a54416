"""The quality on slices of the held-out examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from components.release.predictions import Predictions
from components.review.record import Interval, SliceQuality

SHOWN = 200  # slices of a feature, the largest

Measure = Callable[[npt.NDArray[np.intp]], "Interval | None"]
"""Returns the quality on the examples of these rows."""


def slice_qualities(
    found: Predictions, measure: Measure, *, by_label: bool, is_higher_better: bool
) -> list[SliceQuality]:
    """Return the quality on each slice: those of a feature together, the worst first.

    An example without a value of a feature is in none of its slices.

    Args:
      found: The answers, with the features of the slices.
      measure: The quality on some rows.
      by_label: Whether each class is a slice, too.
      is_higher_better: Whether the worst quality is the lowest.
    """
    columns = dict(found.slices)
    if by_label:
        columns = {"label": ["".join(labels) for labels in found.labels]} | columns
    slices = []
    for feature, values in columns.items():
        some = [SliceQuality(feature, value, len(rows), measure(rows)) for value, rows in _rows_of(values)]
        sign = 1 if is_higher_better else -1
        slices += sorted(some, key=lambda one: (one.quality is None, sign * one.quality.value if one.quality else 0))
    return slices


def _rows_of(values: list[str]) -> list[tuple[str, npt.NDArray[np.intp]]]:
    """Return the most frequent values with their rows."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value:
            rows.setdefault(value, []).append(row)
    largest = sorted(rows.items(), key=lambda pair: -len(pair[1]))[:SHOWN]
    return [(value, np.array(some)) for value, some in largest]
