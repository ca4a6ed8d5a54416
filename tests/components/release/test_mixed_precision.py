"""The tolerance of mixed precision on models of ours: rounding stays below it, a skew does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.conv_net import ConvNet
from components.models.precision import build_as_trained
from components.models.transfer import Transfer
from components.task.task import Task, Train
from data.spec import Image
from serving.parity.compare import Answers
from serving.parity.mixed_precision import LEAST, MOST, ROUNDOFF, mixed_tolerance
from tests.tasks.tiny import TASK

SIZE, CLASSES = 64, 3
WEIGHTS = "keras-weights/mobilenet_v2_0.35_224_no_top.weights.h5"
PRECISIONS = ("float16", "bfloat16")


def _answers(scores: Any) -> Answers:
    return Answers("", np.array(scores, np.float32))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_tolerance_is_measured_within_16_and_64_roundings(precision: str) -> None:
    unit = ROUNDOFF[precision]
    assert (LEAST, MOST) == (16, 64)
    assert float(tf.cast(tf.cast(1 + 0.99 * unit, precision), tf.float64)) == 1  # rounded down, by less than u
    assert float(tf.cast(tf.cast(1 + 1.01 * unit, precision), tf.float64)) == 1 + 2 * unit
    for moved, expected in ((0, 16), (1, 16), (4, 32), (20, 64), (np.nan, 64)):
        found = mixed_tolerance(_answers([[0.5, 0.5]]), _answers([[0.5, 0.5 + moved * unit]]), precision)
        assert found == pytest.approx(expected * unit, rel=1e-3)
    number = mixed_tolerance(_answers([[-50]]), _answers([[-50]]), precision)
    assert number == pytest.approx(16 * 50 * unit)


@pytest.fixture(scope="module")
def pixels(smooth: Callable[..., np.ndarray]) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, (CLASSES * 5, SIZE, SIZE, 3))
    shapes = np.stack([smooth(number, SIZE, SIZE) for number in range(CLASSES * 5)])
    tint = np.eye(3)[np.arange(CLASSES * 5) % CLASSES][:, None, None] * 60
    return np.clip(0.75 * shapes + noise + tint, 0, 255).astype("uint8")


@pytest.mark.parametrize("is_deep", [False, True], ids=["ConvNet", "MobileNetV2"])
def test_a_trained_model_of_ours_keeps_the_tolerance_and_a_skew_does_not(
    is_deep: bool, pixels: np.ndarray, request: pytest.FixtureRequest
) -> None:
    """Trained in float32, because all precisions are compared on the same weights."""
    make: Any = ConvNet(filters=(8, 16, 16), dense=32)
    if is_deep:
        weights = str(request.getfixturevalue("shared_data") / WEIGHTS)
        make = Transfer("MobileNetV2", weights, alpha=0.35, pooling="average", dense=0)
    task = dataclasses.replace(TASK, feature=Image(SIZE, SIZE), model=make)
    keras.utils.set_random_seed(0)
    model = task.model(task.feature, CLASSES)
    model.compile(keras.optimizers.Adam(1e-2 if is_deep else 1e-3), "sparse_categorical_crossentropy")
    model.fit(pixels, np.arange(len(pixels)) % CLASSES, epochs=12, batch_size=5, verbose=0)
    score = tf.function(lambda rows: model(rows, training=False), autograph=False)
    reference, skewed = _answers(score(pixels)), _answers(score(pixels[..., ::-1]))
    assert reference.scores.max() > 0.9 and np.ptp(reference.scores) > 0.8
    for precision in PRECISIONS[is_deep:]:
        mixed = _mixed_scores(task, precision, model, pixels)
        allowed = mixed_tolerance(reference, _answers(_with_rounded(model, precision, score, pixels)), precision)
        difference = abs(mixed - reference.scores).max()
        assert 0 < difference <= allowed / 2, (precision, difference, allowed)
        assert abs(skewed.scores - mixed).max() > 1.5 * allowed, (precision, allowed)


def _mixed_scores(task: Task, precision: Any, model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    mixed = build_as_trained(dataclasses.replace(task, train=Train(mixed_precision=precision)), CLASSES)
    mixed.set_weights(model.get_weights())
    return np.asarray(tf.function(lambda rows: mixed(rows, training=False), autograph=False)(pixels), np.float32)


def _with_rounded(model: keras.Model, precision: str, score: Any, pixels: np.ndarray) -> np.ndarray:
    kept = model.get_weights()
    model.set_weights([tf.cast(tf.cast(one, precision), tf.float32).numpy() for one in kept])
    try:
        return np.asarray(score(pixels))
    finally:
        model.set_weights(kept)
