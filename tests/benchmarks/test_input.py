"""The benchmarks of the input end with a verdict that a script can read and that follows from its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from benchmarks import input_ways
from benchmarks.pictures import Pictures
from benchmarks.timing import cost_ratio, time_sides
from tests.benchmarks.verdict import follows
from tests.preloaded import call_module


def verdict(name: str, *options: str) -> dict[str, Any]:
    done = call_module(f"benchmarks.{name}", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == name
    assert found["goal_met"] is follows(found)
    return found


def test_two_equal_sides_of_decoding_have_the_same_cost(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    """The wall-clock rate would depend on what else the machine does."""
    folder = picture_folder(tmp_path / "pets", {"cats": 20, "dogs": 20})
    jpegs = input_ways.convert_to_jpegs(Pictures("pets", folder, 40, 1), tmp_path)
    assert jpegs.count == 40 and not jpegs.is_resized
    sides = {"ours": input_ways.bare_side(jpegs, False), "peer": input_ways.bare_side(jpegs, False)}
    spans = time_sides(sides, 5, warm_up=0.1, window=0.2)
    assert cost_ratio(spans["ours"], spans["peer"]) == pytest.approx(1.0, abs=0.2)


def test_pictures_of_many_sizes_are_resized_and_repeated(tmp_path: Path) -> None:
    for number, size in enumerate([(40, 30), (30, 40), (30, 30)]):
        file = tmp_path / "pets" / "cats" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Pil.new("RGB", size).save(file)
    jpegs = input_ways.convert_to_jpegs(Pictures("pets", tmp_path / "pets", 3, 1), tmp_path)
    assert jpegs.is_resized and jpegs.feature.shape == (224, 224, 3)
    repeated = list(jpegs.long_epoch().rglob("*.jpg"))
    assert len(repeated) >= input_ways.LONG_EPOCH and len({file.stat().st_ino for file in repeated}) == 3


@pytest.mark.slow
def test_input(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    folder = picture_folder(tmp_path / "pets", {"cats": 20, "dogs": 20})
    found = verdict("input", "--data", str(folder), "--rounds", "1", "--window", "0.1", "--details")
    measured = found["ratios"]["pets"]
    assert set(measured) - {"ours/torch"} == {
        "ours/bare",
        "ours/tf_data",
        "ours/image_dataset_from_directory",
        "ours/flow_from_directory",
    }
    assert set(found["facts"]["by_cpu_time"]["pets"]) == set(measured)
    assert set(found["ratios"]["photographs"]) == {"shrunk/whole"}
    assert all(ratio > 0 for ratios in found["ratios"].values() for ratio in ratios.values())


@pytest.mark.slow
def test_bucket(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    """An epoch of one step waits for two answers of the bucket, 2 s each."""
    folder = picture_folder(tmp_path / "pets", {"cats": 20, "dogs": 20})
    found = verdict("bucket", "--data", str(folder), "--rounds", "1", "--window", "1", "--latency", "2")
    measured = found["ratios"]["pets"]
    assert measured["waiting"] > 0.8 and measured["waiting"] > measured["waiting_disk"]


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
