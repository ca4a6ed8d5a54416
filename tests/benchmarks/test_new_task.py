"""The splits of `benchmarks.new_task`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.new_task import PARTS, split_pictures


def test_each_picture_is_in_one_split_and_tested_once(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 40, "dogs": 20})
    names = {str(path.relative_to(data)) for path in data.glob("*/*")}
    tested: Counter[str] = Counter()
    for number in range(PARTS):
        folder = tmp_path / str(number)
        split_pictures(data, folder, number)
        found = {
            split: {str(path.relative_to(folder / split)) for path in (folder / split).glob("*/*")}
            for split in ("train", "validation", "test")
        }
        assert sorted(name for part in found.values() for name in part) == sorted(names)
        assert len(found["train"]) > len(found["validation"]) > 0
        tested.update(found["test"])
    assert tested == Counter(names)
