"""The distances between examples against SciPy's, and a picture that is unlike the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.preprocessing import StandardScaler

from components.review import unusual
from components.review.inputs import ReviewInputs
from components.review.unusual import neighbour_distances, unusual_rows
from components.training.trained_model import keep_weights
from data.spec import Feature, Image, Vector
from tests.components.review.answers import answers_of, write_held_out
from tests.tasks.tiny import TASK


@pytest.mark.parametrize(("count", "neighbour"), [(3, 1), (700, 10)])
def test_distances_are_scipy_s(count: int, neighbour: int) -> None:
    features = np.random.default_rng(0).normal(size=(count, 7)).astype(np.float32)
    expected = np.sort(distance.cdist(features, features), axis=1)[:, neighbour]
    np.testing.assert_allclose(neighbour_distances(features, neighbour), expected, rtol=1e-3, atol=1e-3)


def _inputs(task: object, examples: str, model_run: str) -> ReviewInputs:
    return ReviewInputs(task, examples, "", "", "", model_run, "")  # type: ignore[arg-type]


def test_rows_of_numbers_far_from_the_others(tmp_path: Path) -> None:
    """One column is a thousand times as large as the other; a third is the same for all."""
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32) * (1, 1000, 0)
    vectors[17] = (9, 0, 0)
    vectors[101] = (0, 8000, 0)
    found = answers_of(np.zeros((200, 1)), [0] * 200, (), vectors=vectors.astype(np.float32))
    rows, among = unusual_rows(_inputs(dataclasses.replace(TASK, feature=Vector(3)), "", ""), found)
    assert among == 200 and len(rows) == 20 and {row for row, _ in rows[:2]} == {17, 101}
    scaled = StandardScaler().fit_transform(vectors)
    distances = np.sort(distance.cdist(scaled, scaled), axis=1)[:, 10]
    largest = f"{distances.max():.3g}"
    assert rows[0][1] == f"distance {largest}, typical {np.median(distances):.3g}"


def _build(feature: Feature, classes: int) -> keras.Model:
    """The mean colour, and its answer."""
    inputs = keras.Input(feature.shape, dtype="uint8")
    colour = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(colour))


@pytest.fixture
def coloured(tmp_path: Path, encode: Callable[..., bytes]) -> tuple[ReviewInputs, list[str]]:
    """60 reddish pictures of different sizes, and a blue one; and their names in order."""
    task = dataclasses.replace(TASK, feature=Image(8, 8, 3), model=_build)
    rng = np.random.default_rng(0)
    files = {}
    for number in range(60):
        pixels = np.zeros((8 + number % 3, 8, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = rng.integers(150, 250, 2) // (1, 4)
        files[f"{number:04d}.png"] = encode(pixels, "PNG")
    pixels[..., :] = (0, 10, 250)
    files["0031.png"] = encode(pixels, "PNG")
    examples = write_held_out(tmp_path / "examples", {name: (one, "cat") for name, one in files.items()})
    keep_weights(_build(task.feature, 2), str(tmp_path / "model_run"))
    return _inputs(task, examples, str(tmp_path / "model_run")), sorted(files)


def test_a_picture_of_another_colour(coloured: tuple[ReviewInputs, list[str]]) -> None:
    inputs, names = coloured
    found = answers_of(np.full((60, 2), 0.5), ["cat"] * 60, ("cat", "dog"))
    assert found.sources == names
    rows, among = unusual_rows(inputs, found)
    assert among == 60 and len(rows) == 6 and rows[0][0] == 31
    assert unusual_rows(inputs, found) == (rows, among)


def test_of_many_a_sample(coloured: tuple[ReviewInputs, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, _ = coloured
    monkeypatch.setattr(unusual, "SAMPLE", 20)
    found = answers_of(np.full((60, 2), 0.5), ["cat"] * 60, ("cat", "dog"))
    rows, among = unusual_rows(inputs, found)
    assert among == 20 and len(rows) == 2 and unusual_rows(inputs, found) == (rows, among)


def test_a_model_that_cannot_be_built_costs_only_this(
    coloured: tuple[ReviewInputs, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    inputs, _ = coloured
    found = answers_of(np.full((60, 2), 0.5), ["cat"] * 60, ("cat", "dog"))
    assert unusual_rows(dataclasses.replace(inputs, model_run="/nowhere"), found) == ([], 0)
    assert "no unusual examples are shown: DataError: no weights at /nowhere" in caplog.text
