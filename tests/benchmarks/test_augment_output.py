"""The benchmark of the augmentation measures all implementations, and its verdict follows from its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.verdict import follows
from tests.preloaded import call_module


@pytest.mark.slow
def test_augment_ends_with_its_verdict(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    folder = picture_folder(tmp_path / "pets", {"cats": 10, "dogs": 10})
    sizes = ("--rounds", "1", "--size", "20", "--batch-size", "8", "--window", "0.1")
    done = call_module("benchmarks.augment", "--data", str(folder), *sizes)
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["benchmark"] == "augment"
    assert verdict["goal_met"] is follows(verdict)
    assert set(verdict["goals"]) == {"ours/generator", "ours/keras_layers", "ours/projective", "ours/opencv"}
    assert set(verdict["goals"]) | {"ours/decode"} == set(verdict["ratios"])
    assert all(ratio > 0 for ratio in verdict["ratios"].values())


@pytest.mark.slow
def test_a_folder_without_pictures_is_rejected(tmp_path: Path) -> None:
    done = call_module("benchmarks.augment", "--data", str(tmp_path))
    assert done.returncode == 3
    assert "no folder of pictures per class" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
