"""Repeated keys are found on disk as a dictionary finds them in memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.tables.repeats import Entries


@pytest.mark.parametrize("count", [0, 1, 100, 50_000])
def test_groups_are_those_of_a_dictionary(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than the buffer holds; nothing is left in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keys = [b"%d" % key for key in np.random.default_rng(0).integers(0, max(1, count // 2), count)]
    expected: dict[bytes, list[int]] = {}
    found: list[list[int]] = []
    with Entries() as entries:
        for place, key in enumerate(keys):
            entries.add(key, place, place + 2, 7)
            expected.setdefault(key, []).append(place)
        for part, group in entries.groups():
            assert set(part["code"]) == {7} and (part["number"] == part["place"] + 2).all()
            for index in range(int(group[-1]) + 1):
                found.append(part["place"][group == index].tolist())
            if count > 1000:  # one of many parts: the loop above takes each group alone
                break
    if count > 1000:
        assert found and all(one in expected.values() for one in found)
    else:
        assert Counter(map(tuple, found)) == Counter(map(tuple, expected.values()))
    assert list(tmp_path.iterdir()) == []
