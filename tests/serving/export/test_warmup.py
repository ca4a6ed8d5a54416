"""Warm-up requests of a real exported model, read back as a server reads them, and replayed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from data.images.formats import read_header
from data.records import Record, image_record, vector_record
from data.spec import Image, Number, Vector
from serving.export import saved_model, warmup

SPEC = Image(4, 5, 3)


def logs(folder: Path) -> list[prediction_log_pb2.PredictionLog]:
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def replay(folder: Path) -> list[dict[str, np.ndarray]]:
    """Return the answers of the signatures that the requests name."""
    model, answers = tf.saved_model.load(str(folder)), []
    for log in logs(folder):
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        if kind == "predict_log":
            feeds = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        else:
            feeds = {"inputs": tf.constant([one.SerializeToString() for one in request.input.example_list.examples])}
        found = model.signatures[request.model_spec.signature_name](**feeds)
        answers.append({name: value.numpy() for name, value in found.items()})
    return answers


def picture_records(files: Sequence[bytes]) -> list[bytes]:
    return [image_record(one, (4, 5), read_header(one), "ant", "somewhere").example for one in files]


@pytest.fixture
def model(pictures_model: tuple[Path, keras.Model], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures_model[0] / "1", tmp_path / "1"))


def test_pictures_are_sent_raw_alone_and_together_and_as_examples(
    model: Path, picture_files: tuple[np.ndarray, list[bytes]], pictures_model: tuple[Path, keras.Model]
) -> None:
    pixels, files = picture_files
    assert warmup.write(str(model), "m", SPEC, True, picture_records(files)) == 3
    alone, together, classify = logs(model)
    order = sorted(range(4), key=lambda index: len(files[index]))
    sent = list(tf.make_ndarray(together.predict_log.request.inputs["image_bytes"]))
    assert sent == [files[index] for index in order]  # as they are
    assert list(tf.make_ndarray(alone.predict_log.request.inputs["image_bytes"])) == sent[:1]
    assert [log.WhichOneof("log_type") for log in logs(model)] == ["predict_log", "predict_log", "classify_log"]
    assert alone.predict_log.request.model_spec.name == "m"
    examples = classify.classify_log.request.input.example_list.examples
    assert [list(example.features.feature) for example in examples] == [["image"]] * 4  # no label, no source
    expected = pictures_model[1](pixels[order], training=False).numpy()
    for answer, rows in zip(replay(model), (1, 4, 4), strict=True):
        np.testing.assert_allclose(answer["scores"], expected[:rows], rtol=1e-5)


def test_numbers_are_sent_as_numbers_and_regressed(tmp_path: Path) -> None:
    class Same(tf.Module):
        def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return dict(raw)

    line = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    saved_model.write(saved_model.ModelExport(line, Same(), Vector(2), Number(), ()), str(tmp_path / "1"))
    rows = [[1.0, 2.0], [3.5, -1.0], [0.0, 8.0]]
    outcomes = [vector_record(row, 7.0, "x") for row in rows]
    records = [outcome.example for outcome in outcomes if isinstance(outcome, Record)]
    assert warmup.write(str(tmp_path / "1"), "line", Vector(2), False, records) == 3
    assert logs(tmp_path / "1")[2].WhichOneof("log_type") == "regress_log"
    assert [answer["outputs"].tolist() for answer in replay(tmp_path / "1")] == [
        [3.0],
        [3.0, 2.5, 8.0],
        [3.0, 2.5, 8.0],
    ]


def test_the_file_is_the_same_for_the_same_records(model: Path, picture_files: tuple[np.ndarray, list[bytes]]) -> None:
    written = []
    for _ in range(2):
        warmup.write(str(model), "m", SPEC, True, picture_records(picture_files[1]))
        written.append((model / "assets.extra" / "tf_serving_warmup_requests").read_bytes())
    assert written[0] == written[1]


def test_large_pictures_are_left_out_and_few_are_enough(
    model: Path, smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]
) -> None:
    """Of 200 records, the requests hold the smallest that fit among the first hundred."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    large = [encode(noise[: 300 + step], "BMP") for step in range(99)]  # 360 kB and more
    small, late = encode(smooth(1, 9, 9), "PNG"), encode(smooth(2, 2, 2), "PNG")
    assert warmup.write(str(model), "m", SPEC, True, picture_records([*large, small, *[late] * 100])) == 3
    _, together, _ = logs(model)
    assert list(tf.make_ndarray(together.predict_log.request.inputs["image_bytes"])) == [small, *large[:2]]
    file = model / "assets.extra" / "tf_serving_warmup_requests"
    assert file.stat().st_size < 3 * warmup.MAX_BYTES


def test_without_a_picture_that_fits_there_is_no_file(model: Path) -> None:
    assert warmup.write(str(model), "m", SPEC, True, picture_records([bytes(2**20)])) == 0
    assert warmup.write(str(model), "m", SPEC, True, []) == 0
    assert not (model / "assets.extra").exists()
