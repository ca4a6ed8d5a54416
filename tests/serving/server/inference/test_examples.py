"""Classify and Regress: compared with Predict on the same signature, and TensorFlow Serving's texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from data.records import Record, vector_record
from data.spec import Labels, Number, Vector
from serving.export import saved_model, warmup


class _Same(tf.Module):
    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return dict(raw)


@pytest.fixture(scope="module")
def line(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """y = 2x + 1.2 behind a server."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[2.0]]), np.array([1.2])])
    base = tmp_path_factory.mktemp("line")
    saved_model.write(saved_model.ModelExport(model, _Same(), Vector(1), Number(), ()), str(base / "1"))
    return serve(base, "line")


@pytest.fixture(scope="module")
def pictures(serve: Callable[..., Any], pictures_model: tuple[Path, keras.Model]) -> Any:
    return serve(pictures_model[0], "pictures")


def _example(x: float) -> tf.train.Example:
    record = vector_record([x], 0.0, "s")
    assert isinstance(record, Record)
    return tf.train.Example.FromString(record.example)


def _picture(content: bytes) -> tf.train.Example:
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
    return tf.train.Example(features=tf.train.Features(feature={"image": value}))


def _ask(request: Any, model: str, examples: list[tf.train.Example], signature: str = "serving_examples") -> Any:
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.input.example_list.examples.extend(examples)
    return request


def _refused(call: Callable[..., Any], request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(caught.value.details())


def test_regress_gives_a_number_for_each_example(line: Any) -> None:
    prediction, *_ = line.stubs()
    request = _ask(regression_pb2.RegressionRequest(), "line", [_example(x) for x in (0.0, 1.0, -3.5)])
    answer = prediction.Regress(request, timeout=30)
    np.testing.assert_allclose([one.value for one in answer.result.regressions], [1.2, 3.2, -5.8], rtol=1e-5)
    assert answer.model_spec.version.value == 1 and answer.model_spec.signature_name == "serving_examples"


@pytest.mark.parametrize("names", [("cat",), ("cat", "dog")], ids=len)
def test_classify_gives_a_score_for_each_of_several_labels(
    names: tuple[str, ...], serve: Callable[..., Any], tmp_path: Path
) -> None:
    """One label is one class, not two. The signature with thresholds is refused: it has three outputs. The server
    replays the warm-up requests before it serves."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(len(names), "sigmoid", kernel_initializer="ones")])
    halves = (0.5,) * len(names)
    exported = saved_model.ModelExport(model, _Same(), Vector(1), Labels(names), names, thresholds=halves)
    saved_model.write(exported, str(tmp_path / "1"))
    warmup.write(str(tmp_path / "1"), "labels", Vector(1), True, [_example(1.0).SerializeToString()])
    prediction, *_ = serve(tmp_path, "labels").stubs()
    request = _ask(classification_pb2.ClassificationRequest(), "labels", [_example(x) for x in (0.0, 2.0)])
    rows = prediction.Classify(request, timeout=30).result.classifications
    assert [[one.label for one in row.classes] for row in rows] == [list(names)] * 2
    expected = 1 / (1 + np.exp(-np.array([0.0, 2.0])))
    for row, score in zip(rows, expected, strict=True):
        np.testing.assert_allclose([one.score for one in row.classes], score, rtol=1e-6)
    default = _ask(classification_pb2.ClassificationRequest(), "labels", [_example(1.0)], "serving_default")
    assert "Expected one or two output Tensors, found 3" in _refused(prediction.Classify, default)


def test_a_context_goes_before_each_example(line: Any) -> None:
    prediction, *_ = line.stubs()
    request = _ask(regression_pb2.RegressionRequest(), "line", [])
    request.input.example_list_with_context.context.CopyFrom(_example(10.0))
    request.input.example_list_with_context.examples.extend([tf.train.Example(), _example(1.0)])
    answer = prediction.Regress(request, timeout=30)
    np.testing.assert_allclose([one.value for one in answer.result.regressions], [21.2, 3.2], rtol=1e-5)


def test_classify_gives_what_predict_gives(pictures: Any, picture_files: tuple[NDArray[np.uint8], list[bytes]]) -> None:
    prediction, *_ = pictures.stubs()
    examples = [_picture(content) for content in picture_files[1]]
    answer = prediction.Classify(_ask(classification_pb2.ClassificationRequest(), "pictures", examples), timeout=30)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "pictures", "serving_examples"
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([one.SerializeToString() for one in examples]))
    expected = prediction.Predict(request, timeout=30)
    scores = [[one.score for one in row.classes] for row in answer.result.classifications]
    labels = [[one.label.encode() for one in row.classes] for row in answer.result.classifications]
    np.testing.assert_allclose(scores, tf.make_ndarray(expected.outputs["scores"]), rtol=1e-6)
    np.testing.assert_array_equal(labels, tf.make_ndarray(expected.outputs["classes"]))


def test_refusals_have_the_texts_of_tf_serving(line: Any, pictures: Any) -> None:
    numbers, *_ = line.stubs()
    images, *_ = pictures.stubs()
    regression, classification = regression_pb2.RegressionRequest, classification_pb2.ClassificationRequest
    one = [_example(1.0)]
    assert _refused(numbers.Regress, regression()) == "Missing ModelSpec"
    assert _refused(numbers.Regress, _ask(regression(), "line", [])) == "Input is empty."
    text = "No signature was found with the name: nosuch"
    assert _refused(numbers.Regress, _ask(regression(), "line", one, "nosuch")) == text
    text = "No regression inputs found in SignatureDef: "
    assert _refused(numbers.Regress, _ask(regression(), "line", one, "")).startswith(text)
    assert _refused(images.Regress, _ask(regression(), "pictures", one)) == "Expected one output Tensor."
    text = 'Expected classification signature outputs to contain at least one of "classes" or "scores"'
    assert _refused(numbers.Classify, _ask(classification(), "line", one)).startswith(text)
    text = "No classification inputs found in SignatureDef: "
    assert _refused(images.Classify, _ask(classification(), "pictures", one, "serving_default")).startswith(text)
