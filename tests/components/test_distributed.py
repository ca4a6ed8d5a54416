from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What `tests.components.mirrored` leaves: `report` and `weights`, by the name of the training."""
    folder = tmp_path_factory.mktemp("mirrored")
    command = [sys.executable, "-m", "tests.components.mirrored", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[np.ndarray]] = {}
    for name, value in np.load(folder / "weights.npz").items():
        found.setdefault(name.partition("/")[0], []).append(value)
    return SimpleNamespace(report=json.loads((folder / "report.json").read_text()), weights=found)


def _same_training(trained: SimpleNamespace, one: str, other: str, tolerance: float) -> None:
    reports = trained.report[one], trained.report[other]
    assert reports[0]["history"].keys() == reports[1]["history"].keys()
    for name, values in reports[0]["history"].items():
        assert reports[1]["history"][name] == pytest.approx(values, rel=tolerance), name
    for name in ("epochs", "best_epoch", "phases", "stopped"):
        assert reports[0][name] == reports[1][name]
    for value, expected in zip(trained.weights[one], trained.weights[other], strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_two_replicas_learn_what_one_learns(trained: SimpleNamespace) -> None:
    """Loss of the epochs, regularization included, accuracy and weights; with batches of 5 (3 and 2) and a last one of
    1 (1 and none). The sums of a step have another order, a rounding of 6e-8 each, which Adam carries on through 25
    steps; leaving out or weighing an example wrongly changes the loss by a hundredth."""
    assert trained.report["replicas"] == 2
    _same_training(trained, "mirrored", "alone", 1e-4)


@pytest.mark.slow
def test_a_killed_one_goes_on_as_if_nothing_had_been(trained: SimpleNamespace) -> None:
    """Dropout's seeds, and the statistics that each replica gathered by itself, come back."""
    assert trained.report["resumed"]["resumed_at"] == "epoch 2, step 4"
    _same_training(trained, "resumed", "whole", 1e-5)
