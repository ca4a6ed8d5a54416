"""Invalid settings of a source are rejected when it is created."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.errors import UsageError
from data.sources import Arrays, Csv, Idx, Source, TFRecords


@pytest.mark.parametrize(
    "make",
    [
        lambda: Arrays(eval=("x_test",)),
        lambda: Arrays(train=("", "y")),
        lambda: Csv(label=""),
        lambda: Csv(columns=("a", "")),
        lambda: Csv(columns=("a", "a")),
        lambda: Csv(columns=("a", "label")),
        lambda: TFRecords(feature=""),
        lambda: TFRecords(label=""),
        lambda: Idx(train=""),
    ],
)
def test_invalid_settings(make: Callable[[], Source]) -> None:
    with pytest.raises(UsageError, match="source."):
        make()
