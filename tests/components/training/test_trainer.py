from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight
from tensorflow_serving.apis import prediction_log_pb2

from components.task.reference import TaskReference
from components.training import trainer


def _pictures(examples: str, split: str) -> set[bytes]:
    """Of a split's records."""
    files = tf.io.gfile.glob(f"{examples}/Split-{split}/*")
    return {
        tf.train.Example.FromString(one).features.feature["image"].bytes_list.value[0]
        for one in tf.data.TFRecordDataset(files).as_numpy_iterator()
    }


def _sent(file: Path) -> list[bytes]:
    """The pictures of the second warm-up request."""
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    request = prediction_log_pb2.PredictionLog.FromString(records[1]).predict_log.request
    return list(tf.make_ndarray(request.inputs["image_bytes"]))


def _balanced(examples: str) -> str:
    """The weights of scikit-learn for the training records, as a setting."""
    files = tf.io.gfile.glob(f"{examples}/Split-train/*")
    found = [
        tf.train.Example.FromString(one).features.feature["label"].bytes_list.value[0].decode()
        for one in tf.data.TFRecordDataset(files).as_numpy_iterator()
    ]
    weights = compute_class_weight("balanced", classes=np.unique(found), y=found)
    assert weights.min() < weights.max()
    return ",".join(f"{name}:{weight}" for name, weight in zip(np.unique(found), weights, strict=True))


def test_run_fn_exports_what_it_trained(digit_named: SimpleNamespace, tmp_path: Any) -> None:
    """On the artifacts of a real run: the model, its report, and the same weights for the same seed; with the weights
    of the classes that belong to the counts of the manifest."""
    answers = []
    for attempt, weights in (("a", "balanced"), ("b", _balanced(digit_named.examples))):
        settings = {"train.epochs": "2", "train.steps_per_epoch": "3", "train.class_weight": weights}
        config = TaskReference("tests.tasks.tiny:TASK", settings).config("feature", "label", "model", "train")
        arguments = SimpleNamespace(
            custom_config=config,
            schema_path=f"{digit_named.schema}/schema.pbtxt",
            transform_output=digit_named.transform,
            train_files=[f"{digit_named.examples}/Split-train/*"],
            serving_model_dir=str(tmp_path / attempt / "model"),
            model_run_dir=str(tmp_path / attempt),
        )
        trainer.run_fn(arguments)
        signature = tf.saved_model.load(arguments.serving_model_dir).signatures["serving_default"]
        pictures = [path.read_bytes() for path in sorted(digit_named.data.glob("*/*"))]
        answers.append({name: value.numpy() for name, value in signature(image_bytes=tf.constant(pictures)).items()})
    warm = [(tmp_path / attempt / "model" / "assets.extra" / "tf_serving_warmup_requests") for attempt in ("a", "b")]
    assert warm[0].read_bytes() == warm[1].read_bytes()
    sent = _sent(warm[0])
    held_out = {path.read_bytes() for path in digit_named.data.glob("*/*")} - _pictures(digit_named.examples, "train")
    assert len(sent) == 4 and set(sent) <= held_out
    assert answers[0]["classes"][0].tolist() == [b"1", b"2", b"10"]
    np.testing.assert_allclose(answers[0]["scores"], answers[1]["scores"], rtol=1e-5)
    report = json.loads((tmp_path / "a" / trainer.REPORT).read_text())
    assert report["epochs"] == 2 and len(report["history"]["loss"]) == 2
