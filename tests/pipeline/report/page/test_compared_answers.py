"""The answers of two runs to the same examples, against scikit-learn and counts by hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import accuracy_score, mean_squared_error

from components.release.predictions import read_predictions
from components.review.record import EvaluationReview, Picture
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from pipeline.report.page.compared_answers import compare_answers, join_answers
from pipeline.report.record import DataSummary, EvaluationSummary, RunRecord
from tests.pipeline.report.page.kept_answers import write_answers

CLASSES = ("ant", "bee", "cow")


def _record(folder: str, metric: str = "sparse_categorical_accuracy", examples: str = "") -> RunRecord:
    record = RunRecord("task", folder, "", {}, "", "")
    record.evaluation = EvaluationSummary(metric, folder=folder)
    record.data = DataSummary(examples={"eval": 4, "train": 9}, folder=examples)
    return record


def _scores(seed: int, count: int, names: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(names), count).astype(np.float32)


def test_classes_are_compared_on_what_both_runs_have(tmp_path: Path) -> None:
    """B has the classes in another order, other examples, and one with another label."""
    labels = [CLASSES[place % 3] for place in range(60)]
    sources = [f"{place:02d}.png" for place in range(60)]
    before, now = _scores(0, 60), _scores(1, 60)
    one = write_answers(tmp_path / "a", CLASSES, sources[:50], [(name,) for name in labels[:50]], before[:50])
    order = [2, 0, 1]
    changed = [("cow",) if place == 12 else (name,) for place, name in enumerate(labels)]
    rows = np.random.default_rng(2).permutation(np.arange(10, 60))
    other = write_answers(
        tmp_path / "b",
        [CLASSES[place] for place in order],
        [sources[row] for row in rows],
        [changed[row] for row in rows],
        now[rows][:, order],
    )

    found = compare_answers(_record(one), _record(other))

    shared = [row for row in range(10, 50) if row != 12]
    truth = np.array([CLASSES.index(labels[row]) for row in shared])
    first, second = before[shared].argmax(1), now[shared].argmax(1)
    assert found and found.before and found.now and found.change
    assert (found.shared, found.examples, found.metric) == (39, (50, 50), "sparse_categorical_accuracy")
    assert found.before.value == pytest.approx(accuracy_score(truth, first))
    assert found.now.value == pytest.approx(accuracy_score(truth, second))
    assert found.change.won == np.sum((second == truth) & (first != truth))
    assert found.change.lost == np.sum((second != truth) & (first == truth))
    assert found.change.difference.value == pytest.approx(found.now.value - found.before.value)
    won = {one.source: one for one in found.change.pictures_won}
    for place, row in enumerate(shared):
        if second[place] == truth[place] != first[place]:
            shown = won.pop(sources[row])
            assert (shown.answer, shown.before) == (CLASSES[truth[place]], "")
            assert shown.detail == f"A: {CLASSES[first[place]]}"
    assert won == {}


def test_a_class_that_only_one_model_knows(tmp_path: Path) -> None:
    """A answers "elk", which B does not know: that is wrong for "ant", and nobody finds the elk."""
    one = write_answers(
        tmp_path / "a",
        ("ant", "elk"),
        ["1", "2", "3"],
        [("ant",), ("ant",), ("elk",)],
        [[0.2, 0.8], [0.9, 0.1], [0.0, 1.0]],
    )
    other = write_answers(
        tmp_path / "b", ("ant", "bee"), ["1", "2", "3"], [("ant",), ("ant",), ("elk",)], [[0.9, 0.1]] * 3
    )
    found = compare_answers(_record(one), _record(other))
    assert found and found.change
    counts = found.change.won, found.change.lost, found.change.both, found.change.neither
    assert counts == (1, 1, 1, 0)


def test_several_labels_are_compared_at_each_run_s_thresholds(tmp_path: Path) -> None:
    names, sources = ("day", "sea"), ["1", "2", "3"]
    labels = [("day", "sea"), (), ("sea",)]
    scores = [[0.6, 0.6], [0.4, 0.1], [0.2, 0.55]]
    one = write_answers(tmp_path / "a", names, sources, labels, scores, thresholds=(0.5, 0.5))
    other = write_answers(tmp_path / "b", names, sources, labels, scores, thresholds=(0.3, 0.58))
    found = compare_answers(_record(one, "mean_average_precision"), _record(other, "mean_average_precision"))
    assert found and found.before and found.now and found.change
    assert found.metric == "exact_match"
    assert (found.before.value, found.now.value) == (1.0, pytest.approx(1 / 3))
    assert {picture.source for picture in found.change.pictures_lost} == {"2", "3"}


def test_rows_of_numbers_are_found_by_their_values(tmp_path: Path) -> None:
    """They have no source; a row that is there twice is left out."""
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(10, 3, 20).astype(np.float32)
    vectors[19] = vectors[18]
    before, now = labels + rng.normal(0, 2, 20), labels + rng.normal(0, 1, 20)
    rows = rng.permutation(20)
    one = write_answers(tmp_path / "a", (), [""] * 20, labels, before[:, None], vectors=vectors)
    other = write_answers(tmp_path / "b", (), [""] * 20, labels[rows], now[rows, None], vectors=vectors[rows])
    found = compare_answers(_record(one, "mean_squared_error"), _record(other, "mean_squared_error"))
    assert found and found.before and found.now and found.change
    assert (found.shared, found.metric) == (18, "mean_squared_error")
    assert found.before.value == pytest.approx(mean_squared_error(labels[:18], before[:18]), rel=1e-5)
    assert found.now.value == pytest.approx(mean_squared_error(labels[:18], now[:18]), rel=1e-5)
    assert found.change.won == np.sum(np.abs(now - labels)[:18] < np.abs(before - labels)[:18])


def test_nothing_in_common(tmp_path: Path) -> None:
    one = write_answers(tmp_path / "a", CLASSES, ["1", "2"], [("ant",), ("bee",)], _scores(0, 2))
    other = write_answers(tmp_path / "b", CLASSES, ["3", "4"], [("ant",), ("bee",)], _scores(0, 2))
    found = compare_answers(_record(one), _record(other))
    assert found and (found.shared, found.examples, found.change) == (0, (2, 2), None)
    numbers = write_answers(tmp_path / "c", (), ["1", "2"], np.array([1, 2], np.float32), [[1], [2]])
    assert compare_answers(_record(one), _record(numbers)) is None
    assert compare_answers(_record(one), _record(str(tmp_path / "gone"))) is None
    assert compare_answers(_record(one), RunRecord("task", "", "", {}, "", "")) is None


def test_the_joined_answers_keep_all_names(tmp_path: Path) -> None:
    one = write_answers(tmp_path / "a", ("b", "a"), ["1", "1", "2"], [("a",)] * 3, [[1, 2], [3, 4], [5, 6]])
    other = write_answers(tmp_path / "b", ("c", "a"), ["2", "1"], [("a",)] * 2, [[7, 8], [9, 10]])
    first, second = read_predictions(one), read_predictions(other)
    assert first and second
    joined = join_answers(first, second)
    assert (joined.names, joined.sources) == (("c", "a", "b"), ["2"])  # "1" is there twice
    assert joined.before is not None
    assert joined.scores.tolist() == [[7, 8, 0]]
    assert joined.before.tolist() == [[0, 6, 5]]


def test_thumbnails_come_from_a_review_or_from_the_data(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    (examples / "Split-eval").mkdir(parents=True)
    content = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 30, 40)).save(content, "PNG")
    with tf.io.TFRecordWriter(str(examples / "Split-eval" / "data.tfrecord")) as writer:
        for source in ("1", "2"):
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(content.getvalue())
            example.features.feature["image/source"].bytes_list.value.append(source.encode())
            writer.write(example.SerializeToString())
    shard = ShardFile("Split-eval/data.tfrecord", 2, 100, "", {"ant": 2})
    Manifest({"eval": [shard], "train": []}).save(str(examples))
    labels = [("ant",), ("ant",)]
    one = write_answers(tmp_path / "a", CLASSES, ["1", "2"], labels, [[0, 1, 0]] * 2)
    other = write_answers(tmp_path / "b", CLASSES, ["1", "2"], labels, [[1, 0, 0]] * 2)
    known = EvaluationReview(mistakes=[Picture("1", "data:image/png;base64,AAAA", 7, 5)])

    found = compare_answers(_record(one), _record(other, examples=str(examples)), [None, known])

    assert found and found.change
    first, second = sorted(found.change.pictures_won, key=lambda picture: picture.source)
    assert (first.thumbnail, first.width, first.height) == ("data:image/png;base64,AAAA", 7, 5)
    assert second.thumbnail.startswith("data:image/") and (second.width, second.height) == (20, 10)
