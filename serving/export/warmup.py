"""Warm-up requests: a server runs them before it serves a new version, so that no caller waits for the first run.

The SavedModel holds them in TensorFlow Serving's format: a TFRecord file of `tensorflow.serving.PredictionLog`. If the
warm-up fails, the version is never served. The requests are therefore real records, which the Evaluator predicts, too.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from data.spec import Feature, Image
from serving import signatures

PATH = ("assets.extra", "tf_serving_warmup_requests")
BATCH = 4  # the second batch size, after 1
LOOK_AT = 100  # records to choose the smallest from
MAX_BYTES = 2**20  # total of the chosen examples; the file holds each at most three times


def write(folder: str, model: str, feature: Feature, has_classes: bool, records: Iterable[bytes]) -> int:
    """Add warm-up requests to a SavedModel of `serving.export.saved_model`; equal records give equal bytes.

    The requests are Predict on `serving_default` with one example and with a few, and Classify (Regress in a
    regression) on `serving_examples` with the few. If even the smallest of the first records is larger than
    `MAX_BYTES`, there are none.

    Args:
      folder: Folder of the SavedModel.
      model: Name of the model, which servers do not compare.
      feature: Feature of the records.
      has_classes: Whether `serving_examples` serves Classify (classes, or several labels) or Regress.
      records: Serialized tf.Examples of the held-out split.

    Returns:
      The number of requests written.
    """
    requests = _requests(model, feature, has_classes, _chosen(feature, records))
    if requests:
        target = posixpath.join(folder, *PATH)
        tf.io.gfile.makedirs(posixpath.dirname(target))
        with tf.io.TFRecordWriter(target) as writer:
            for request in requests:
                writer.write(request.SerializeToString(deterministic=True))
    return len(requests)


def _chosen(feature: Feature, records: Iterable[bytes]) -> list[tf.train.Example]:
    """Return a few small examples, with only the feature."""
    found = []
    for record in islice(records, LOOK_AT):
        example = tf.train.Example()
        example.features.feature[feature.name].CopyFrom(
            tf.train.Example.FromString(record).features.feature[feature.name]
        )
        found.append(example)
    chosen, left = [], MAX_BYTES
    for example in sorted(found, key=tf.train.Example.ByteSize)[:BATCH]:
        left -= example.ByteSize()
        if left >= 0:
            chosen.append(example)
    return chosen


def _requests(
    model: str, feature: Feature, has_classes: bool, examples: Sequence[tf.train.Example]
) -> list[prediction_log_pb2.PredictionLog]:
    if not examples:
        return []
    default = model_pb2.ModelSpec(name=model, signature_name=signatures.DEFAULT)
    logs = []
    for batch in (examples[:1], examples):
        request = predict_pb2.PredictRequest(model_spec=default)
        alias, tensor = _tensor(feature, batch)
        request.inputs[alias].CopyFrom(tensor)
        logs.append(prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request)))
    by_example = {
        "model_spec": model_pb2.ModelSpec(name=model, signature_name=signatures.EXAMPLES),
        "input": input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples)),
    }
    if has_classes:
        classify = prediction_log_pb2.ClassifyLog(request=classification_pb2.ClassificationRequest(**by_example))
        return [*logs, prediction_log_pb2.PredictionLog(classify_log=classify)]
    regress = prediction_log_pb2.RegressLog(request=regression_pb2.RegressionRequest(**by_example))
    return [*logs, prediction_log_pb2.PredictionLog(regress_log=regress)]


def _tensor(feature: Feature, examples: Sequence[tf.train.Example]) -> tuple[str, Any]:
    """Return the name and the TensorProto of the input of `serving_default`."""
    values = [example.features.feature[feature.name] for example in examples]
    if isinstance(feature, Image):
        return signatures.IMAGES, tf.make_tensor_proto([one.bytes_list.value[0] for one in values], shape=[len(values)])
    rows = [list(one.float_list.value) for one in values]
    return feature.name, tf.make_tensor_proto(rows, tf.float32)
