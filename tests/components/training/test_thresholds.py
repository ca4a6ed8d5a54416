"""The thresholds of several labels, against scikit-learn's curve and every possible threshold."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score, precision_recall_curve

from components.training.thresholds import best_threshold, choose_thresholds
from data.input import reader
from data.spec import LABEL, VECTOR, Labels, Vector
from tests.records import vector_row


def _best_f1(truth: np.ndarray, scores: np.ndarray) -> float:
    """The largest F1 of scikit-learn's curve."""
    precision, recall, _ = precision_recall_curve(truth, scores)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(2 * precision * recall / (precision + recall)))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("decimals", [1, 2, 7], ids=["many ties", "ties", "no ties"])
def test_no_threshold_has_a_larger_f1(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=50).round(decimals).astype(np.float32)
    truth = rng.uniform(size=50) < scores * rng.uniform(0.2, 1)
    truth[rng.integers(50)] = True
    threshold = best_threshold(scores, truth)
    assert threshold == np.float32(threshold) and 0 <= threshold <= 1
    assert f1_score(truth, scores >= np.float32(threshold)) == pytest.approx(_best_f1(truth, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.75, 0.25], [1, 0], 0.5),  # the middle
        ([0.75, 0.25], [0, 0], 0.5),  # nothing is known
        ([0.5, 0.25], [1, 1], 0.125),  # all of them: the middle to 0
        ([0.0, 0.0], [1, 0], 0.0),
        ([1.0, 1.0], [1, 1], 0.5),
        ([0.75, 0.5, 0.25, 0.125], [1, 0, 0, 1], 0.625),  # F1 2/3 with the first alone and with all four
        ([0.5, 0.5, 0.25], [1, 0, 1], 0.125),  # equal scores cannot be separated
    ],
)
def test_by_hand(scores: list[float], truth: list[int], expected: float) -> None:
    assert best_threshold(np.array(scores, np.float32), np.array(truth, bool)) == expected


def test_between_neighbours_it_is_the_higher_score() -> None:
    """There is no number of float32 in between."""
    for low in (np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(1))):
        high = np.nextafter(low, np.float32(1))
        assert np.float32(best_threshold(np.array([high, low]), np.array([True, False]))) == high


class _MultiHot(tf.Module):
    """Stands for the TransformGraph."""

    def __call__(self, raw: dict[str, Any]) -> dict[str, tf.Tensor]:
        dense = tf.sparse.to_dense(raw[LABEL], "")
        hot = [tf.reduce_any(dense == name, axis=1) for name in ("cat", "dog", "owl")]
        return {VECTOR: raw[VECTOR], LABEL: tf.cast(tf.stack(hot, axis=1), tf.float32)}


@pytest.mark.parametrize("share", [reader.InputShard(), reader.InputShard(0, 3)], ids=["alone", "of three processes"])
def test_of_all_evaluation_examples(share: reader.InputShard, tmp_path: Path) -> None:
    """Also if this process evaluates only a share of each batch; the owl has no example."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(23, 2)).astype(np.float32)
    truth = np.concatenate([features + rng.normal(size=(23, 2)) > 0.3, np.zeros((23, 1), bool)], axis=1)
    names = ("cat", "dog", "owl")
    file = str(tmp_path / "records")
    with tf.io.TFRecordWriter(file) as writer:
        for row, hot in zip(features.tolist(), truth, strict=True):
            applying = tuple(name for name, applies in zip(names, hot, strict=True) if applies)
            writer.write(vector_row(row, applying).example)
    config = reader.ReadConfig([file], 23, Vector(2), Labels(names), _MultiHot(), 5, share, label_shape=(3,))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "sigmoid")])
    found = choose_thresholds(model, names, reader.read_batches(config, cache_bytes=10**6), config)
    scores = model.predict(features, verbose=0)
    assert list(found) == list(names) and found["owl"] == 0.5
    for place, name in enumerate(names[:2]):
        f1 = f1_score(truth[:, place], scores[:, place] >= found[name])
        assert f1 == pytest.approx(_best_f1(truth[:, place], scores[:, place]), abs=1e-12)
    streamed = reader.read_batches(dataclasses.replace(config, batch_size=4), cache_bytes=0)
    assert choose_thresholds(model, names, streamed, config) == pytest.approx(found, abs=1e-6)
