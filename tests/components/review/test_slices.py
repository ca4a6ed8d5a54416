"""The quality on slices, by hand; that they are TFMA's is in `tests.components.release.test_predictions`."""

from __future__ import annotations

import numpy as np

from components.review.intervals import share
from components.review.record import Interval, SliceQuality
from components.review.slices import SHOWN, slice_qualities
from tests.components.review.answers import answers_of

SCORES = np.eye(3)[[0, 0, 0, 1, 1]]


def test_the_worst_of_each_feature_first() -> None:
    """An example without a value is in no slice of the feature."""
    sites = ["north", "south", "south", "", "<i>"]
    found = answers_of(SCORES, ["cat", "cat", "dog", "dog", "dog"], slices={"site": sites})
    right = np.array([1, 1, 0, 1, 1])

    def on(rows: np.ndarray) -> Interval | None:
        return share(int(right[rows].sum()), len(rows))

    assert slice_qualities(found, on, by_label=True, is_higher_better=True) == [
        SliceQuality("label", "dog", 3, share(2, 3)),
        SliceQuality("label", "cat", 2, share(2, 2)),
        SliceQuality("site", "south", 2, share(1, 2)),
        SliceQuality("site", "north", 1, share(1, 1)),
        SliceQuality("site", "<i>", 1, share(1, 1)),
    ]


def test_of_errors_the_largest_first_and_the_undefined_last() -> None:
    found = answers_of(np.zeros((5, 1)), [0] * 5, (), slices={"site": list("aabbc")})
    values = {2: Interval(1, 0, 2), 0: Interval(3, 0, 4)}
    qualities = slice_qualities(found, lambda rows: values.get(int(rows[0])), by_label=False, is_higher_better=False)
    assert [one.value for one in qualities] == ["a", "b", "c"]


def test_of_many_slices_the_largest() -> None:
    names = [str(number) for number in range(SHOWN + 50)]
    values = [name for name in names for _ in range(2 if int(name) >= 50 else 1)]
    found = answers_of(np.zeros((len(values), 1)), [0] * len(values), (), slices={"site": values})
    qualities = slice_qualities(found, lambda rows: None, by_label=False, is_higher_better=False)
    assert [one.value for one in qualities] == names[50:]
