"""The benchmarks of the input end with a verdict that a script can read and that follows from its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.verdict import follows
from tests.preloaded import call_module


def verdict(name: str, *options: str) -> dict[str, Any]:
    done = call_module(f"benchmarks.{name}", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == name
    assert found["goal_met"] is follows(found)
    return found


@pytest.mark.slow
def test_input(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    folder = picture_folder(tmp_path / "pets", {"cats": 20, "dogs": 20})
    found = verdict("input", "--data", str(folder), "--rounds", "1", "--photographs", "4", "--window", "0.1")
    assert set(found["ratios"]["pets"]) == {
        "ours/bare",
        "ours/image_dataset_from_directory",
        "ours/flow_from_directory",
    }
    assert set(found["ratios"]["photographs"]) == {"shrunk/whole"}
    assert all(ratio > 0 for ratios in found["ratios"].values() for ratio in ratios.values())


@pytest.mark.slow
def test_streaming(tmp_path: Path) -> None:
    for prefix, count in (("train", 300), ("t10k", 60)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28)).astype(np.uint8)
        for kind, values in (("images-idx3", pixels), ("labels-idx1", (np.arange(count) % 10).astype(np.uint8))):
            header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">i4").tobytes()
            (tmp_path / f"{prefix}-{kind}-ubyte").write_bytes(header + values.tobytes())
    found = verdict("streaming", "--data", str(tmp_path), "--rounds", "1", "--epochs", "2")
    assert set(found["ratios"]) == {"32", "128", "512"}
    assert set(found["goals"]) == {"first", "later", "capped"}
    assert found["facts"]["pictures"] == 300
