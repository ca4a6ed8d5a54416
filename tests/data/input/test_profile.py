"""The stage that limits the input: the measurement finds the one that was made slow."""

from __future__ import annotations

import time

import pytest
import tensorflow as tf

from data.input.profile import stage_shares
from data.input.reader import ReadConfig
from data.spec import LABEL, VECTOR, Labels, Number, Vector
from tests.data.input.vector_shards import vector_example


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("shard") / "data")
    with tf.io.TFRecordWriter(path) as writer:
        for number in range(300):
            writer.write(vector_example([1.0] * 400, float(number)))
    return path


def slow(raw):
    def wait(values):
        time.sleep(0.2)
        return values

    return {VECTOR: tf.ensure_shape(tf.numpy_function(wait, [raw[VECTOR]], tf.float32), (None, 400)), LABEL: raw[LABEL]}


def test_a_slow_transform_binds(shard):
    found = stage_shares(ReadConfig([shard], 300, Vector(400), Number(), slow, 10))
    assert set(found) == {"read", "parse", "transform"} and sum(found.values()) == pytest.approx(1, abs=0.01)
    assert found["transform"] > 0.5


def test_several_labels_are_measured_too(tmp_path):
    path = str(tmp_path / "data")
    with tf.io.TFRecordWriter(path) as writer:
        for number in range(100):
            writer.write(vector_example([1.0], ("a", "b")[: number % 3]))

    def count(raw):
        matches = tf.equal(tf.sparse.to_dense(raw[LABEL], ""), "a")
        return {VECTOR: raw[VECTOR], LABEL: tf.cast(tf.reduce_any(matches, axis=1, keepdims=True), tf.float32)}

    found = stage_shares(ReadConfig([path], 100, Vector(1), Labels(), count, 10, label_shape=(1,)))
    assert sum(found.values()) == pytest.approx(1, abs=0.01)


def test_a_transform_that_does_nothing_does_not(shard):
    found = stage_shares(ReadConfig([shard], 300, Vector(400), Number(), dict, 10))
    assert found["transform"] < 0.5
