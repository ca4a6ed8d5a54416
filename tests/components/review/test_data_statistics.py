"""Sizes, formats and numbers against NumPy and pandas, from statistics that TFDV computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from components.review.data_statistics import COLUMNS, STATISTICS, histogram_of, read_formats, read_sizes
from components.review.inputs import ReviewInputs
from components.task.task import Task
from data.sources import Arrays
from data.spec import Classes, Image, Number, Vector
from tests.data.ingest.ingest_folder import ingest_folder
from tests.tasks import rows, tiny


def inputs_of(examples: object, statistics: str, task: Task) -> ReviewInputs:
    return ReviewInputs(task, str(examples), statistics, "", "", "", "")


def write_statistics(folder: Path, splits: dict[str, pd.DataFrame]) -> str:
    """Write TFDV's statistics of tables where StatisticsGen writes those of the splits; return the folder."""
    for split, table in splits.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        found = tfdv.generate_statistics_from_dataframe(table)
        (folder / f"Split-{split}" / STATISTICS).write_bytes(found.SerializeToString())
    return str(folder)


def test_sizes_and_formats_of_pictures(picture_folder, tmp_path):
    rng = np.random.default_rng(0)
    facts = {
        "image/height": 9,
        "image/bytes": rng.integers(400, 4000, 300),
        "image/format": ["jpeg", "png", "png"] * 100,
    }
    train = pd.DataFrame({"image/width": rng.integers(100, 200, 300), **facts})
    statistics = write_statistics(tmp_path / "statistics", {"train": train, "eval": train[:33]})
    counts = {"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2}
    manifest = ingest_folder(picture_folder(tmp_path / "in", counts), tmp_path / "out")
    inputs = inputs_of(tmp_path / "out", statistics, tiny.TASK)
    assert list(read_formats(inputs, manifest).items()) == [("png", 222), ("jpeg", 111)]
    sizes = read_sizes(inputs, manifest)
    assert list(sizes) == ["width", "height", "bytes"]
    assert set(sizes["height"].edges) == {9.0} and sizes["height"].median == 9
    for name in ("width", "bytes"):
        values, found = train[f"image/{name}"], sizes[name]
        expected, edges = np.histogram(values, len(found.counts))
        np.testing.assert_allclose(found.edges, edges)
        np.testing.assert_allclose(found.counts, expected, atol=6)  # TFDV's bins are approximate
        assert found.median == pytest.approx(values.median(), rel=0.02)


def test_pictures_without_statistics_have_none(picture_folder, tmp_path):
    manifest = ingest_folder(picture_folder(tmp_path / "in", {"a": 8, "b": 8}), tmp_path / "out")
    inputs = inputs_of(tmp_path / "out", str(tmp_path / "none"), tiny.TASK)
    assert read_sizes(inputs, manifest) == {} and read_formats(inputs, manifest) == {}


def test_rows_of_a_table_have_a_histogram_for_each_column(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, (200, 3)).astype(np.float32)
    for name, part in (("train", values[:150]), ("eval", values[150:])):
        np.savetxt(tmp_path / f"{name}.csv", part, delimiter=",", header="a,b,y", comments="", fmt="%.7g")
    task = rows.NUMBER
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    inputs = inputs_of(tmp_path / "out", "", task)
    found = read_sizes(inputs, manifest)
    assert list(found) == ["y", "a", "b"] and read_formats(inputs, manifest) == {}
    for column, name in enumerate(("a", "b", "y")):
        train = values[:150, column].astype(np.float64)
        counts, edges = np.histogram(train, 20)
        assert found[name].counts == counts.tolist()
        np.testing.assert_allclose(found[name].edges, edges, rtol=1e-5)
        assert found[name].median == pytest.approx(float(np.median(train)), rel=1e-5)


def test_of_many_features_the_first_are_shown(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 40))
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(30) % 2, x_test=x[:3] + 1, y_test=[0, 1, 1])
    task = Task("many", Arrays(), Vector(40), tiny.build_model, Classes())
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    found = read_sizes(inputs_of(tmp_path / "out", "", task), manifest)
    assert list(found) == [f"feature {number}" for number in range(1, COLUMNS + 1)]
    assert found["feature 7"].counts == np.histogram(x[:, 6].astype(np.float32), 20)[0].tolist()


def test_equal_numbers_are_one_bin():
    found = histogram_of(np.full(7, 3.5, np.float32))
    assert (found.edges, found.counts, found.median) == ([3.5, 3.5], [7.0], 3.5)


def test_pictures_with_a_number_have_its_histogram(smooth, tmp_path):
    x, y = np.stack([smooth(number, 4, 4) for number in range(40)]), np.linspace(0, 10, 40)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:2] ^ 255, y_test=y[:2])
    task = Task("age", Arrays(), Image(4, 4), tiny.build_model, Number())
    manifest = ingest_folder(tmp_path, tmp_path / "out", task.source, task.feature, task.label)
    statistics = write_statistics(tmp_path / "statistics", {"train": pd.DataFrame({"label": y, "image/width": 4})})
    found = read_sizes(inputs_of(tmp_path / "out", statistics, task), manifest)
    assert list(found) == ["width", "label"]
    assert found["label"].counts == pytest.approx([4] * 10, abs=0.5)
    assert found["label"].edges == pytest.approx(np.linspace(0, 10, 11).tolist())
