from __future__ import annotations

import gc
import os
import pickle

import pytest

from data.files import spool
from data.files.spool import HashParts, Spool


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 50])
def test_a_spool_is_a_list(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_CHUNK", 7)
    expected, found = [(f"{i}", i) for i in range(count)], Spool[tuple[str, int]]()
    for item in expected:
        found.append(item)
    assert len(found) == count and list(found) == expected
    assert [found[i] for i in range(count)] == [found[i - count] for i in range(count)] == expected
    assert found[3:11:2] == expected[3:11:2] and found[::-1] == expected[::-1]
    for outside in (count, -count - 1):
        with pytest.raises(IndexError):
            found[outside]
    copied = pickle.loads(pickle.dumps(found))
    assert isinstance(copied, Spool) and list(copied) == expected
    both = list(zip(found, found, strict=True))  # two readers of one file
    assert both == [(item, item) for item in expected]
    found.append(("last", -1))
    assert found[-1] == ("last", -1) and len(found) == count + 1


def test_its_file_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_CHUNK", 2)
    gc.collect()  # files that other tests have left open
    before = set(os.listdir("/proc/self/fd"))
    found = Spool[int]()
    for item in range(5):
        found.append(item)
    (own,) = set(os.listdir("/proc/self/fd")) - before
    del found
    gc.collect()
    assert own not in os.listdir("/proc/self/fd")


@pytest.mark.parametrize("buffered", [3, 1000])
def test_parts_by_hash(buffered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_BUFFERED", buffered)
    numbers = [(i * 0x9E3779B97F4A7C15) % 2**64 for i in range(50)] * 2 + [0, 2**64 - 1]
    before, parts = len(os.listdir("/proc/self/fd")), HashParts[int]()
    for place, number in enumerate(numbers):
        parts.add(number, place)
    found = [part for part in parts.read() if part]
    assert len(os.listdir("/proc/self/fd")) == before + (buffered == 3)
    del parts
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(pair for part in found for pair in part) == sorted(zip(numbers, range(len(numbers)), strict=True))
    ranges = [(min(number for number, _ in part) >> 54, max(number for number, _ in part) >> 54) for part in found]
    assert all(first == last for first, last in ranges) and ranges == sorted(ranges)
    assert all([place for _, place in part] == sorted(place for _, place in part) for part in found)
