"""Training's own route from a record to an answer: reader, TransformGraph and the trained model.

This is the reference for all other routes. It uses nothing of the SavedModel.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from components.prepare.transform import Preprocessing
from components.training.trained_model import TrainedModel
from data.input import reader
from serving.parity.compare import Answers


@dataclass(frozen=True)
class TrainedAnswers:
    """Training's answers to some records.

    Attributes:
      answers: As one batch first, and one by one.
      labels: What the TransformGraph makes of each record's label: for classes an index, for several labels a row of
        zeros and ones; empty for numbers.
      mixed: The answers of the model that computes in mixed precision; None without.
      rounded: The answers of the model in float32 whose weights are rounded to that precision; None without.
    """

    answers: list[Answers]
    labels: list[int] | list[list[float]]
    mixed: Answers | None = None
    rounded: Answers | None = None


# AutoGraph has nothing to convert here, but its first look at each function takes half a second in all.
@tf.autograph.experimental.do_not_convert
def answer_records(trained: TrainedModel, transform_graph: str, records: Sequence[bytes]) -> TrainedAnswers:
    """Return training's answers to records.

    Args:
      trained: The model.
      transform_graph: Folder of the TransformGraph artifact.
      records: Serialized tf.Examples, label included.
    """
    count = len(records)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "records")
        with tf.io.TFRecordWriter(file) as writer:
            for record in records:
                writer.write(record)
        read = tf.data.TFRecordDataset(file)
        # One dataset for both: each dataset would build the whole TransformGraph again.
        reading = _reading(trained, Preprocessing(transform_graph), [file], count)
        (features, labels), *single = list(reading.transform_batches(read.batch(count).concatenate(read.batch(1))))
    together, way = trained.answer(features), f"batches of {count}"
    alone = np.concatenate([trained.answer(one) for one, _ in single])
    found = [_named(trained, f"training, {way}", together), _named(trained, "training, one by one", alone)]
    truth = labels.numpy().tolist() if trained.classes else []
    if trained.mixed is None:
        return TrainedAnswers(found, truth)
    precision = trained.task.train.mixed_precision
    mixed = _named(trained, f"training in mixed_{precision}, {way}", trained.answer_mixed(features))
    with _rounded_weights(trained.model, precision):
        rounded = _named(trained, f"rounded weights, {way}", trained.answer(features))
    return TrainedAnswers(found, truth, mixed, rounded)


def _reading(
    trained: TrainedModel, preprocessing: Preprocessing, files: Sequence[str], count: int
) -> reader.ReadConfig:
    task, label_shape = trained.task, (len(trained.classes),) if trained.task.is_multi_label else ()
    return reader.ReadConfig(files, count, task.feature, task.label, preprocessing, count, label_shape=label_shape)


def _named(trained: TrainedModel, route: str, scores: np.ndarray) -> Answers:
    count = len(scores)
    names = np.array([[name.encode() for name in trained.classes]] * count, object) if trained.classes else None
    limits = np.tile(np.array(trained.thresholds, np.float32), (count, 1)) if trained.thresholds else None
    return Answers(route, scores, names, limits)


@contextlib.contextmanager
def _rounded_weights(model: keras.Model, precision: str) -> Iterator[None]:
    """Give a model weights that a precision can hold, within the context."""
    kept = [(one, np.asarray(one)) for one in model.weights if "float" in str(one.dtype)]
    for weight, value in kept:
        weight.assign(keras.ops.cast(keras.ops.cast(value, precision), weight.dtype))
    try:
        yield
    finally:
        for weight, value in kept:
            weight.assign(value)
