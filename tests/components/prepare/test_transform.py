from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from components.prepare import transform
from components.prepare.transform import Preprocessing, class_index, multi_hot, preprocessing_fn
from components.task.reference import TaskReference
from data.images import ops
from data.records import parse_spec
from data.sources import Arrays, Csv
from data.spec import Classes, Image, Labels, Number, Vector
from tests.records import vector_row
from tests.tasks.tiny import TASK

NUMBERS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Number())
NAMED_ROWS = dataclasses.replace(NUMBERS, label=Classes())
TAGGED_ROWS = dataclasses.replace(NUMBERS, source=Arrays(), label=Labels())
HERE = "tests.components.prepare.test_transform"


def _config(path: str, classes: tuple[str, ...] = (), **settings: str) -> dict[str, Any]:
    reference = TaskReference(path, {key.replace("_", "."): value for key, value in settings.items()})
    return reference.config("feature", "label") | {transform.CLASSES: list(classes)}


# class_index


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["b", "a", "c", "b"], ["a", "b", "c"], [1, 0, 2, 1]),
        (["b", "a"], ["b", "a"], [0, 1]),  # the given order, not the alphabetical one
        (["10", "2", "1"], ["1", "2", "10"], [2, 1, 0]),
        (["été", "猫", "ete"], ["ete", "été", "猫"], [1, 2, 0]),
        (["d", "", "A", "a "], ["a", "b"], [-1, -1, -1, -1]),
        ([], ["a", "b"], []),
    ],
)
def test_a_label_becomes_its_index_in_the_classes(
    in_both: Callable[..., np.ndarray], labels: list[str], classes: list[str], expected: list[int]
) -> None:
    raw = np.array([label.encode() for label in labels], dtype=object)
    tensor = tf.constant(raw, tf.string, shape=[len(labels)])
    found = in_both(lambda batch: class_index(batch, classes), tensor)
    assert found.dtype == np.int64 and found.tolist() == expected


# multi_hot


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([["a"], ["b", "a"], [], ["c", "b", "a"]], ["a", "b", "c"], [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]]),
        ([["a"], ["b", "c"]], ["c", "a", "b"], [[0, 1, 0], [1, 0, 1]]),  # the given order, not the alphabetical one
        ([["a", "a"], ["d", "a", "A", ""]], ["a", "b"], [[1, 0], [1, 0]]),
        ([["only"], []], ["only"], [[1], [0]]),
        ([[], []], ["a", "b"], [[0, 0], [0, 0]]),
        ([["猫", "été"]], ["été", "ete", "猫"], [[1, 0, 1]]),
        ([], ["a", "b"], np.empty((0, 2))),
    ],
)
def test_labels_become_one_for_each_name_that_applies(
    in_both: Callable[..., np.ndarray], labels: list[list[str]], names: list[str], expected: Any
) -> None:
    serialized = np.array([vector_row([0.0], tuple(one)).example for one in labels], object)
    spec = parse_spec(Vector(1), Labels())

    def run(batch: tf.Tensor) -> tf.Tensor:
        return multi_hot(tf.io.parse_example(batch, spec)["label"], names)

    found = in_both(run, tf.constant(serialized, tf.string, shape=[len(labels)]))
    assert found.dtype == np.float32 and found.shape == (len(labels), len(names))
    np.testing.assert_array_equal(found, expected)


def test_the_width_of_the_labels_is_known_when_the_graph_is_built() -> None:
    spec = tf.SparseTensorSpec([None, None], tf.string)
    assert tf.function(lambda one: multi_hot(one, ["a", "b"])).get_concrete_function(spec).output_shapes == (None, 2)


# preprocessing_fn


@pytest.fixture(scope="module")
def files(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> list[bytes]:
    """Pictures of all formats and of several sizes."""
    return [encode(smooth(seed, 9 + seed, 12 + seed), kind) for seed, kind in enumerate(("PNG", "JPEG", "GIF", "BMP"))]


def test_pictures_are_decoded_and_resized_by_image_ops(files: list[bytes], in_both: Callable[..., np.ndarray]) -> None:
    config = _config("tests.tasks.tiny:TASK", ("cat", "dog"))

    def run(batch: tf.Tensor) -> tf.Tensor:
        return preprocessing_fn({"image": batch, "label": tf.fill(tf.shape(batch), "dog")}, config)["image"]

    found = in_both(run, files)
    assert found.dtype == np.float32 and found.shape == (4, 8, 8, 3)
    assert isinstance(TASK.feature, Image)
    expected = [ops.decode_and_resize(tf.constant(one), TASK.feature).numpy() for one in files]
    np.testing.assert_array_equal(found, np.stack(expected))
    assert (found == np.round(found)).all() and found.min() >= 0 and found.max() <= 255


@pytest.mark.parametrize(
    ("size", "kind", "resize", "tolerance"),
    [(8, "PNG", "bilinear", 0), (8, "JPEG", "bilinear", 0), (4, "BMP", "nearest", 0), (4, "PNG", "bilinear", 1)],
)
def test_pixels_are_those_that_pil_finds(
    encode: Callable[..., bytes], smooth: Callable[..., np.ndarray], size: int, kind: str, resize: str, tolerance: int
) -> None:
    """Compare the cases that both define equally: the original size, and enlargements (PIL rounds its weights)."""
    contents = encode(smooth(4, size, size), kind)
    picture = PIL.Image.open(io.BytesIO(contents)).convert("RGB")
    expected = np.asarray(picture.resize((8, 8), PIL.Image.Resampling[resize.upper()]))
    config = _config("tests.tasks.tiny:TASK", ("cat",), feature_resize=resize)
    found = preprocessing_fn({"image": tf.constant([contents]), "label": tf.constant(["cat"])}, config)
    np.testing.assert_allclose(found["image"][0], expected.astype(float), atol=tolerance)


def test_labels_go_with_their_pictures_and_the_facts_are_dropped(files: list[bytes]) -> None:
    inputs = {
        "image": tf.constant(files[:3]),
        "label": tf.constant(["dog", "cow", "cat"]),
        "image/width": tf.constant([1, 2, 3]),
    }
    found = preprocessing_fn(inputs, _config("tests.tasks.tiny:TASK", ("cat", "dog")))
    assert found.keys() == {"image", "label"} and found["label"].numpy().tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("NUMBERS", [0.5, -1.0], [0.5, -1.0]),
        ("NAMED_ROWS", ["b", "a"], [1, 0]),
    ],
)
def test_numbers_pass_unchanged(name: str, labels: list[Any], expected: list[float]) -> None:
    rows = np.array([[1.5, -2, 3e30], [0, 0.1, 5]], np.float32)
    config = _config(f"{HERE}:{name}", ("a", "b"))
    found = preprocessing_fn({"features": tf.constant(rows), "label": tf.constant(labels)}, config)
    assert found["features"].dtype == tf.float32 and found["label"].dtype == (tf.float32, tf.int64)[name != "NUMBERS"]
    np.testing.assert_array_equal(found["features"], rows)
    assert found["label"].numpy().tolist() == expected


# The TransformGraph that the component really writes


@pytest.fixture(scope="module")
def raw(digit_named: SimpleNamespace) -> dict[str, tf.Tensor]:
    paths = sorted(digit_named.data.glob("*/*"))
    return {
        "image": tf.constant([path.read_bytes() for path in paths]),
        "label": tf.constant([path.parent.name for path in paths]),
    }


def test_the_graph_gives_bit_for_bit_what_image_ops_gives(
    digit_named: SimpleNamespace, raw: dict[str, tf.Tensor]
) -> None:
    found = Preprocessing(digit_named.transform)(raw)
    assert found["image"].dtype == tf.uint8 and found["image"].shape == (42, 8, 8, 3)
    assert isinstance(TASK.feature, Image)
    np.testing.assert_array_equal(found["image"], ops.decode_batch(raw["image"], TASK.feature))
    index = {b"1": 0, b"2": 1, b"10": 2}
    assert found["label"].dtype == tf.int64
    assert found["label"].numpy().tolist() == [index[label] for label in raw["label"].numpy()]


def test_the_graph_is_the_same_eagerly_and_in_a_pipeline(
    digit_named: SimpleNamespace, raw: dict[str, tf.Tensor], in_both: Callable[..., np.ndarray]
) -> None:
    preprocessing = Preprocessing(digit_named.transform)
    found = in_both(lambda images: preprocessing({"image": images})["image"], raw["image"].numpy())
    np.testing.assert_array_equal(found, preprocessing(raw)["image"])


def test_the_graph_needs_no_label_and_maps_an_unknown_one_to_minus_one(
    digit_named: SimpleNamespace, raw: dict[str, tf.Tensor]
) -> None:
    preprocessing = Preprocessing(digit_named.transform)
    assert preprocessing({"image": raw["image"][:1]}).keys() == {"image"}
    strange = preprocessing({"image": raw["image"][:1], "label": tf.constant(["3"])})
    assert strange["label"].numpy().tolist() == [-1]


def test_the_graph_keeps_the_limit_on_pixels(digit_named: SimpleNamespace, encode: Callable[..., bytes]) -> None:
    wide = encode(PIL.Image.new("1", (2**26 + 1, 1)), "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match="claims more than 67108864 pixels"):
        Preprocessing(digit_named.transform)({"image": tf.constant([wide])})


def test_nothing_was_materialised(digit_named: SimpleNamespace) -> None:
    assert "/ExampleGen/" in digit_named.artifacts["Examples"].uri  # the newest: Transform wrote no examples
