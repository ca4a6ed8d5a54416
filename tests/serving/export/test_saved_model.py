"""The signatures of an exported model: names, shapes, and equal answers of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.images import ops
from data.images.formats import read_header
from data.records import Record, image_record, vector_record
from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector
from serving.export import saved_model
from serving.export.batching import Batching
from serving.export.label_file import read_thresholds

SPEC = Image(6, 5, 3)
CLASSES = ("été", "ant", "10")


class Transform(tf.Module):
    """The computation of the TransformGraph; the tests of Transform compare the real one with it."""

    def __init__(self, feature: Feature, classes: Sequence[str]) -> None:
        super().__init__()
        self._feature, self._classes = feature, list(classes)

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = dict(raw)
        if "image" in raw:
            assert isinstance(self._feature, Image)
            outputs["image"] = ops.decode_batch(raw["image"], self._feature)
        if isinstance(raw.get("label"), tf.SparseTensor):
            dense = tf.sparse.to_dense(raw["label"], "")
            hot = [tf.reduce_any(dense == name, axis=1) for name in self._classes]
            outputs["label"] = tf.cast(tf.stack(hot, axis=1), tf.float32)
        elif "label" in raw and self._classes:
            outputs["label"] = tf.argmax(raw["label"][:, None] == tf.constant(self._classes)[None], axis=1)
        return outputs


def _model(feature: Feature, width: int, activation: str | None, *augmentation: Any) -> keras.Model:
    keras.utils.set_random_seed(4)
    dtype = "uint8" if isinstance(feature, Image) else "float32"
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype=dtype),
            *augmentation,
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(width, activation, bias_initializer="normal"),
        ]
    )


Signatures = dict[str, Any]  # tf.function signatures by name


def _export(
    folder: Path, model: keras.Model, feature: Feature, label: Label, classes: Sequence[str], **more: Any
) -> Signatures:
    exported = saved_model.ModelExport(model, Transform(feature, classes), feature, label, classes, **more)
    saved_model.write(exported, str(folder))
    loaded = tf.saved_model.load(str(folder))
    loaded.signatures.loaded = loaded  # a signature does not keep its model
    return loaded.signatures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Signatures]:
    model = _model(SPEC, 3, "softmax")
    return model, _export(tmp_path_factory.mktemp("pictures") / "1", model, SPEC, Classes(CLASSES), CLASSES)


@pytest.fixture(scope="module")
def files(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> list[bytes]:
    kinds = ("JPEG", "PNG", "GIF", "BMP")
    return [encode(smooth(seed, 9 + seed, 12 + seed), kind) for seed, kind in enumerate(kinds)]


def _examples(files: Sequence[bytes], labels: Sequence[str | tuple[str, ...]]) -> tf.Tensor:
    made = [
        image_record(contents, (1, 1), read_header(contents), label, "x").example
        for contents, label in zip(files, labels, strict=True)
    ]
    return tf.constant(made)


def _described(tensors: dict[str, Any]) -> dict[str, tuple[tf.DType, list[int | None]]]:
    return {name: (one.dtype, one.shape.as_list()) for name, one in tensors.items()}


# Names, dtypes and shapes


def test_the_signatures_of_a_picture_model(pictures: tuple[keras.Model, Signatures]) -> None:
    _, signatures = pictures
    assert set(signatures) == {"serving_default", "serving_examples", "transform_features"}
    inputs = {name: _described(one.structured_input_signature[1]) for name, one in signatures.items()}
    assert inputs == {
        "serving_default": {"image_bytes": (tf.string, [None])},
        "serving_examples": {"inputs": (tf.string, [None])},
        "transform_features": {"examples": (tf.string, [None])},
    }
    for name in ("serving_default", "serving_examples"):
        found = _described(signatures[name].structured_outputs)
        assert found == {"classes": (tf.string, [None, 3]), "scores": (tf.float32, [None, 3])}
    found = _described(signatures["transform_features"].structured_outputs)
    assert found == {"image": (tf.uint8, [None, 6, 5, 3]), "label": (tf.int64, [None])}


# Answers


def test_every_way_in_gives_the_models_own_answer(pictures: tuple[keras.Model, Signatures], files: list[bytes]) -> None:
    model, signatures = pictures
    pixels = np.stack([ops.decode_and_resize(tf.constant(one), SPEC).numpy() for one in files])
    expected = model(pixels, training=False).numpy()
    by_bytes = signatures["serving_default"](image_bytes=tf.constant(files))
    by_example = signatures["serving_examples"](inputs=_examples(files, ["ant"] * 4))
    np.testing.assert_array_equal(by_bytes["scores"], by_example["scores"])
    np.testing.assert_allclose(by_bytes["scores"], expected, rtol=1e-6)
    assert len({tuple(row) for row in expected.round(3).tolist()}) == 4  # the pictures differ
    names = [name.encode() for name in CLASSES]
    assert by_bytes["classes"].numpy().tolist() == by_example["classes"].numpy().tolist() == [names] * 4


def test_a_picture_alone_and_in_a_batch_are_answered_alike(
    pictures: tuple[keras.Model, Signatures], files: list[bytes]
) -> None:
    _, signatures = pictures
    together = signatures["serving_default"](image_bytes=tf.constant(files))["scores"].numpy()
    for position, one in enumerate(files):
        alone = signatures["serving_default"](image_bytes=tf.constant([one]))["scores"].numpy()
        np.testing.assert_allclose(alone[0], together[position], rtol=1e-6)
    none = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert none["scores"].shape == none["classes"].shape == (0, 3)


def test_transform_features_gives_pixels_and_label(
    pictures: tuple[keras.Model, Signatures], files: list[bytes]
) -> None:
    _, signatures = pictures
    found = signatures["transform_features"](examples=_examples(files, ["10", "ant", "été", "ant"]))
    np.testing.assert_array_equal(found["image"], ops.decode_batch(tf.constant(files), SPEC))
    assert found["label"].numpy().tolist() == [2, 1, 0, 1]


def test_serving_examples_needs_no_label(pictures: tuple[keras.Model, Signatures], files: list[bytes]) -> None:
    _, signatures = pictures
    example = tf.train.Example.FromString(_examples(files[:1], ["ant"]).numpy()[0])
    del example.features.feature["label"]
    found = signatures["serving_examples"](inputs=tf.constant([example.SerializeToString()]))
    expected = signatures["serving_default"](image_bytes=tf.constant(files[:1]))
    np.testing.assert_array_equal(found["scores"], expected["scores"])


def test_a_sigmoid_gives_the_scores_of_both_classes(tmp_path: Path, files: list[bytes]) -> None:
    model = _model(SPEC, 1, "sigmoid")
    signatures = _export(tmp_path / "1", model, SPEC, Classes(), ("cat", "dog"))
    second = model(ops.decode_batch(tf.constant(files), SPEC), training=False).numpy()[:, 0]
    answer = signatures["serving_default"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(answer["scores"], np.stack([1 - second, second], axis=1), rtol=1e-6)
    assert answer["classes"].numpy().tolist() == [[b"cat", b"dog"]] * 4


# Several labels


@pytest.mark.parametrize("names", [CLASSES, ("cat", "dog"), ("cat",)], ids=len)
@pytest.mark.parametrize("batching", [Batching(), Batching(max_batch_size=4)], ids=["alone", "batching"])
def test_several_labels_have_a_score_and_a_threshold_each(
    names: tuple[str, ...], batching: Batching, tmp_path: Path, files: list[bytes]
) -> None:
    """One sigmoid is one label, not two classes; the thresholds are the same numbers in the graph and in the file."""
    model, width = _model(SPEC, len(names), "sigmoid"), len(names)
    thresholds = tuple(np.array([0.1, 1 / 3, 0.7], np.float32)[:width].tolist())
    more = {"thresholds": thresholds, "batching": batching}
    signatures = _export(tmp_path / "1", model, SPEC, Labels(names), names, **more)
    both = {"classes": (tf.string, [None, width]), "scores": (tf.float32, [None, width])}
    assert _described(signatures["serving_examples"].structured_outputs) == both
    with_thresholds = {**both, "thresholds": (tf.float32, [None, width])}
    assert _described(signatures["serving_default"].structured_outputs) == with_thresholds

    expected = model(ops.decode_batch(tf.constant(files), SPEC), training=False).numpy()
    answer = signatures["serving_default"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(answer["scores"], expected, rtol=1e-6)
    assert answer["classes"].numpy().tolist() == [[name.encode() for name in names]] * 4
    assert answer["thresholds"].numpy().tolist() == [list(thresholds)] * 4
    by_example = signatures["serving_examples"](inputs=_examples(files, [names[:1]] * 4))
    np.testing.assert_allclose(by_example["scores"], answer["scores"], rtol=1e-6)
    none = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert none["scores"].shape == none["thresholds"].shape == (0, width)

    file = json.loads((tmp_path / "1" / "assets.extra" / "labels.json").read_text("utf-8"))
    assert file["labels"] == [{"name": name, "threshold": one} for name, one in zip(names, thresholds, strict=True)]
    assert read_thresholds(str(tmp_path / "1")) == dict(zip(names, thresholds, strict=True))


def test_transform_features_gives_a_row_for_several_labels(tmp_path: Path, files: list[bytes]) -> None:
    more = {"thresholds": (0.5, 0.5, 0.5)}
    signatures = _export(tmp_path / "1", _model(SPEC, 3, "sigmoid"), SPEC, Labels(CLASSES), CLASSES, **more)
    examples = _examples(files, [("10", "été"), (), ("ant",), CLASSES])
    found = signatures["transform_features"](examples=examples)["label"]
    assert found.numpy().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_thresholds_belong_to_several_labels(tmp_path: Path, pictures: tuple[keras.Model, Signatures]) -> None:
    for label, thresholds in ((Classes(CLASSES), (0.5,) * 3), (Labels(CLASSES), ()), (Labels(CLASSES), (0.5,) * 2)):
        with pytest.raises(ValueError, match=f"{len(thresholds)} thresholds for {type(label).__name__}"):
            _export(tmp_path / "1", pictures[0], SPEC, label, CLASSES, thresholds=thresholds)
    assert read_thresholds(str(tmp_path)) == {}


@pytest.mark.parametrize("output", [[[0.25], [1.0]], [[0.1, 0.9], [0.6, 0.4]]])
def test_class_scores(in_both: Callable[..., np.ndarray], output: list[list[float]]) -> None:
    expected = [[1 - row[0], row[0]] if len(row) == 1 else row for row in output]
    found = in_both(saved_model.class_scores, np.array(output, np.float32))
    np.testing.assert_allclose(found, np.array(expected, np.float32))


def test_a_model_of_numbers(tmp_path: Path) -> None:
    model = _model(Vector(3), 1, None)
    signatures = _export(tmp_path / "1", model, Vector(3), Number(), ())
    rows = np.array([[1, -2, 300], [0.5, 0, 1e4]], np.float32)
    weights, bias = model.layers[-1].get_weights()
    expected = (rows / 255) @ weights[:, 0] + bias[0]
    default = signatures["serving_default"]
    assert _described(default.structured_input_signature[1]) == {"features": (tf.float32, [None, 3])}
    assert _described(default.structured_outputs) == {"outputs": (tf.float32, [None])}
    by_rows = default(features=tf.constant(rows))["outputs"]
    outcomes = [vector_record(row, 7.5, "x") for row in rows.tolist()]
    examples = tf.constant([outcome.example for outcome in outcomes if isinstance(outcome, Record)])
    assert examples.shape == [2]
    by_example = signatures["serving_examples"](inputs=examples)["outputs"]
    np.testing.assert_array_equal(by_rows, by_example)
    np.testing.assert_allclose(by_rows, expected, rtol=1e-5)
    found = signatures["transform_features"](examples=examples)
    np.testing.assert_array_equal(found["features"], rows)
    assert found["label"].dtype == tf.float32 and found["label"].numpy().tolist() == [7.5, 7.5]


def test_augmentation_is_exported_and_sleeps(tmp_path: Path, files: list[bytes]) -> None:
    """`tf.saved_model.save` fails on the seeds of such a layer; an answer must not be random."""
    model = _model(SPEC, 3, "softmax", keras.layers.RandomFlip(), keras.layers.RandomRotation(0.5))
    plain = _model(SPEC, 3, "softmax")
    plain.set_weights([weight.numpy() for weight in model.trainable_variables])
    signatures = _export(tmp_path / "1", model, SPEC, Classes(), CLASSES)
    expected = plain(ops.decode_batch(tf.constant(files), SPEC), training=False)
    for _ in range(2):
        scores = signatures["serving_default"](image_bytes=tf.constant(files))["scores"]
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_broken_picture_is_an_error_and_no_answer(pictures: tuple[keras.Model, Signatures]) -> None:
    _, signatures = pictures
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](image_bytes=tf.constant([b"no picture"]))
