"""A regression from a CSV, end to end: the same pipeline works for numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.pipeline.conftest import Skewless

pytestmark = pytest.mark.slow


def test_a_line_from_a_csv(skewless: Skewless, tmp_path: Path) -> None:
    rows = [f"{x:.3f},{2 * x + 1.2:.4f}" for x in np.linspace(-1, 1, 200)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "points.csv").write_text("\n".join(["x,y", *rows, "1.5,not a number"]) + "\n")
    outcome = skewless("run", "tests.tasks.line", "--data", str(data), root=tmp_path, task="line")
    assert outcome.status == 0, outcome.err
    record = outcome.record
    assert sum(record["data"]["examples"].values()) == 200
    assert record["data"]["quarantined"] == {"not numeric": 1} or record["data"]["quarantined"] == {"unknown label": 1}
    assert record["evaluation"]["slices"]["overall"]["mean_squared_error"] < 0.05
    model = tf.saved_model.load(record["pushed"]["path"])
    outputs = model.signatures["serving_default"](features=tf.constant([[0.0], [1.0]]))["outputs"].numpy()
    np.testing.assert_allclose(outputs, [1.2, 3.2], atol=0.3)
    worse = skewless(
        "run", "tests.tasks.line", "--data", str(data), "--set", "train.epochs=1", root=tmp_path, task="line"
    )
    assert worse.status == 4 and "mean squared error" in worse.err and "above the limit 0.0500" in worse.err


def test_the_notebooks_line_from_an_npz(skewless: Skewless, tmp_path: Path) -> None:
    """The built-in task, from arrays: served slope and intercept are as near as the notebook's 2.0050 and 1.2050."""
    data = tmp_path / "data"
    data.mkdir()
    x = np.arange(-4.0, 6.0)
    np.savez(data / "points.npz", x=x, y=2 * x + 1.2)
    outcome = skewless("run", "linear_regression", "--data", str(data), root=tmp_path, task="linear_regression")
    assert outcome.status == 0, outcome.err
    model = tf.saved_model.load(outcome.record["pushed"]["path"])
    outputs = model.signatures["serving_default"](features=tf.constant([[0.0], [1.0]]))["outputs"].numpy()
    assert abs(outputs[1] - outputs[0] - 2) <= 0.005 and abs(outputs[0] - 1.2) <= 0.005
