"""The answers that the Evaluator keeps, against those of the evaluated models themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.release.measures import ACCURACY
from components.release.predictions import Predictions, read_predictions
from components.task.task import Task
from data.images.formats import read_header
from data.names import to_bytes
from data.records import image_record
from data.sources import Arrays, Csv
from data.spec import Classes, Image, Labels, Number, Vector
from tests.components.release.judge import CLASSES, THRESHOLDS, Judge, place_records
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes())
SAME = np.eye(3, dtype=np.float32)
ORDER = [2, 0, 1]  # of the baseline's classes


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def _kept(judge: Judge) -> Predictions:
    found = read_predictions(judge.evaluation)
    assert found is not None
    return found


def _served(model: str, records: list[bytes]) -> dict[str, np.ndarray]:
    """The answers of a SavedModel to the records, one by one."""
    signature = tf.saved_model.load(model).signatures["serving_examples"]
    found = [signature(tf.constant([record])) for record in records]
    return {name: np.concatenate([one[name].numpy() for one in found]) for name in found[0]}


def _rows(found: Predictions, features: np.ndarray) -> list[int]:
    """The place among the features of each kept row of numbers."""
    return [int(np.flatnonzero((features == row).all(axis=1))[0]) for row in found.vectors]


def test_classes_beside_a_baseline_with_another_order(tmp_path: Path, features: np.ndarray) -> None:
    labels = [CLASSES[number % 3] for number in range(20)]
    records = place_records(features, labels)
    judge = Judge(tmp_path, ROWS, records, slices=("place",))
    names = tuple(CLASSES[place] for place in ORDER)
    evaluation, _ = judge(2 * SAME, SAME[:, ORDER], {"names": names}, max_drop=1.0)
    found = _kept(judge)
    rows = _rows(found, features)
    assert sorted(rows) == list(range(20))
    assert found.names == CLASSES and found.labels == [(labels[row],) for row in rows]
    assert found.slices == {"place": [str(row // 10) for row in rows]}
    assert found.sources == [""] * 20 and not len(found.numbers) and found.thresholds == found.thresholds_before == ()
    np.testing.assert_allclose(found.scores, _served(judge.model, records)["scores"][rows], rtol=1e-5)
    before = _served(judge.baseline, records)
    assert before["classes"][0].tolist() == [name.encode() for name in names]
    assert found.before is not None
    np.testing.assert_allclose(found.before, before["scores"][rows][:, np.argsort(ORDER)], rtol=1e-5)
    right = np.array([found.names[place] for place in found.scores.argmax(axis=1)]) == np.ravel(found.labels)
    for value in ("0", "1"):
        on = right[np.array(found.slices["place"]) == value]
        assert on.mean() == pytest.approx(evaluation.metrics[f"place:{value}"][ACCURACY])


def test_several_labels_beside_a_baseline_with_other_thresholds(tmp_path: Path, features: np.ndarray) -> None:
    labels = [CLASSES[: number % 4] for number in range(20)]
    records = place_records(features, labels)
    task = dataclasses.replace(ROWS, source=Arrays(), label=Labels())
    judge = Judge(tmp_path, task, records)
    judge(2 * SAME, SAME[:, ORDER], {"names": tuple(CLASSES[place] for place in ORDER)}, max_drop=1.0)
    found = _kept(judge)
    rows = _rows(found, features)
    assert found.labels == [labels[row] for row in rows] and () in found.labels
    assert found.thresholds == THRESHOLDS
    assert found.thresholds_before == tuple(THRESHOLDS[ORDER.index(place)] for place in range(3))
    np.testing.assert_allclose(found.scores, _served(judge.model, records)["scores"][rows], rtol=1e-5)
    before = _served(judge.baseline, records)["scores"][rows][:, np.argsort(ORDER)]
    assert found.before is not None
    np.testing.assert_allclose(found.before, before, rtol=1e-5)


def test_numbers_without_and_beside_a_baseline(tmp_path: Path, features: np.ndarray) -> None:
    labels = features.sum(axis=1).tolist()
    records = place_records(features, labels)
    judge = Judge(tmp_path, dataclasses.replace(ROWS, label=Number()), records)
    weights = np.ones((3, 1), np.float32)
    judge(weights)
    alone = _kept(judge)
    assert alone.before is None and alone.names == () and alone.labels == [()] * 20
    rows = _rows(alone, features)
    np.testing.assert_array_equal(alone.numbers, np.array(labels, np.float32)[rows])
    np.testing.assert_allclose(alone.scores, _served(judge.model, records)["outputs"][rows].reshape(20, 1), rtol=1e-5)
    judge(weights, 2 * weights)
    both = _kept(judge)
    rows = _rows(both, features)
    assert both.before is not None
    np.testing.assert_allclose(both.before, _served(judge.baseline, records)["outputs"][rows].reshape(20, 1), rtol=1e-5)


@pytest.fixture
def pictures(encode: Callable[..., bytes]) -> dict[str, bytes]:
    """Records by source; one name is no UTF-8."""
    found = {}
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (1, 1, 3), np.uint8)
        contents = encode(pixels, "PNG")
        source = ("b\udcff.png", "d.png", "a.png", "<c>.png", "f.png", "e\u202e.png")[number]
        record = image_record(contents, (1, 1), read_header(contents), CLASSES[number % 3], source)
        found[source] = record.example
    return found


def test_pictures_in_the_order_of_their_sources(tmp_path: Path, pictures: dict[str, bytes]) -> None:
    task: Task = dataclasses.replace(TASK, feature=Image(1, 1, 3))
    judge = Judge(tmp_path, task, list(pictures.values()))
    judge(5 * SAME, slices=("label", "image/width"))
    found = _kept(judge)
    assert found.sources == sorted(pictures)
    assert found.slices == {"image/width": ["1"] * 6}
    assert found.vectors.shape == (6, 0)
    expected = _served(judge.model, [pictures[source] for source in found.sources])
    np.testing.assert_allclose(found.scores, expected["scores"], rtol=1e-5)
    truth = {to_bytes(one): tf.train.Example.FromString(record) for one, record in pictures.items()}
    for source, (label,) in zip(found.sources, found.labels, strict=True):
        assert truth[to_bytes(source)].features.feature["label"].bytes_list.value[0] == label.encode()


def test_an_evaluation_without_answers(tmp_path: Path) -> None:
    assert read_predictions(str(tmp_path)) is None
