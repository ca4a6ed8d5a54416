"""The pruned TransformGraph gives what TFT's layer gives, without its cast; other graphs go through TFT's layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper

from components.prepare.pruned_graph import load_pruned
from components.prepare.transform import Preprocessing, multi_hot
from data.images import ops
from data.records import parse_spec
from data.spec import Image, Labels, Vector
from tests.records import vector_row

SPEC = Image(6, 5, 3)
Tensors = dict[str, Any]


def _graph(folder: Path, preprocess: Callable[[Tensors], Tensors], spec: dict[str, Any] | None = None) -> str:
    """Write what TFX's Transform writes without analyzers."""
    spec = spec or {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label")}
    types = {
        name: tf.SparseTensorSpec([None, None], one.dtype)
        if isinstance(one, tf.io.VarLenFeature)
        else tf.TensorSpec([None, *one.shape], one.dtype)
        for name, one in spec.items()
    }
    impl_helper.analyze_in_place(preprocess, False, spec, types, str(folder))
    return str(folder)


def _pixels(raw: Tensors) -> Tensors:
    length = tf.cast(tf.strings.length(raw["label"]), tf.int64)
    return {"image": tf.cast(ops.decode_batch(raw["image"], SPEC), tf.float32), "label": length}


def _pruned(folder: str) -> Callable[[Tensors], Tensors]:
    found = load_pruned(folder)
    assert found is not None
    return found


def _by_tft(folder: str, raw: Tensors) -> Tensors:
    return {name: one.numpy() for name, one in tft.TFTransformOutput(folder).transform_features_layer()(raw).items()}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _graph(tmp_path_factory.mktemp("graph") / "1", _pixels)


@pytest.fixture(scope="module")
def raw(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> Tensors:
    kinds = ("JPEG", "PNG", "GIF", "BMP") * 6
    files = [encode(smooth(seed, 6 + seed % 3, 5 + seed % 3), kind) for seed, kind in enumerate(kinds)]
    return {"image": tf.constant(files), "label": tf.constant(["a" * len(kind) for kind in kinds])}


def test_the_graph_that_the_component_writes_is_pruned(digit_named: SimpleNamespace) -> None:
    """If TFT writes another kind of graph, this fails, while training goes on with TFT's layer."""
    pruned = _pruned(digit_named.transform)
    image = tf.TensorSpec([None], tf.string)
    found = tf.function(lambda one: pruned({"image": one})).get_concrete_function(image)
    assert found.structured_outputs.keys() == {"image"}
    assert found.structured_outputs["image"].dtype == tf.uint8
    assert found.structured_outputs["image"].shape.as_list() == [None, 8, 8, 3]


def test_it_gives_what_tfts_layer_gives(graph: str, raw: Tensors) -> None:
    pruned = _pruned(graph)
    for rows in (slice(None), slice(1), slice(0)):
        some = {name: one[rows] for name, one in raw.items()}
        found, expected = pruned(some), _by_tft(graph, some)
        assert found.keys() == expected.keys() == {"image", "label"}
        assert found["image"].dtype == tf.uint8 and expected["image"].dtype == np.float32
        np.testing.assert_array_equal(found["image"], expected["image"])
        np.testing.assert_array_equal(found["label"], expected["label"])


def test_no_float_is_made_and_nothing_of_the_label_without_one(graph: str) -> None:
    preprocessing = Preprocessing(graph)
    traced = tf.function(lambda one: preprocessing({"image": one})).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    (called,) = (
        one
        for one in traced.graph.as_graph_def().library.function
        if one.signature.name.startswith("__inference__import")
    )
    nodes = called.node_def
    assert not [one.name for one in nodes if one.op == "Cast"]
    assert not [one.name for one in nodes if one.op in ("Placeholder", "StringLength") and "label" in one.name]
    assert nodes
    assert _pruned(graph)({"label": tf.constant(["abc"])}).keys() == {"label"}


def test_errors_of_a_picture_are_as_they_are(graph: str) -> None:
    for function in (_pruned(graph), tft.TFTransformOutput(graph).transform_features_layer()):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
            function({"image": tf.constant(["no picture"])})


def test_a_float_that_is_more_than_the_pixels_stays(tmp_path: Path, raw: Tensors) -> None:
    folder = _graph(tmp_path / "1", lambda inputs: {**_pixels(inputs), "image": _pixels(inputs)["image"] / 255})
    found = _pruned(folder)(raw)
    assert found["image"].dtype == tf.float32
    np.testing.assert_array_equal(found["image"], _by_tft(folder, raw)["image"])


def test_several_labels_and_numbers(tmp_path: Path) -> None:
    spec = parse_spec(Vector(2), Labels())
    folder = _graph(tmp_path / "1", lambda one: {**one, "label": multi_hot(one["label"], ["c", "b"])}, spec)
    rows = [vector_row([1.5, number], ("b",) * number).example for number in range(3)]
    parsed = tf.io.parse_example(tf.constant(rows), spec)
    found, expected = _pruned(folder)(parsed), _by_tft(folder, parsed)
    assert found["label"].numpy().tolist() == expected["label"].tolist() == [[0, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal(found["features"], expected["features"])


def test_a_graph_with_a_table_goes_through_tfts_layer(tmp_path: Path, raw: Tensors) -> None:
    words = tmp_path / "words.txt"
    words.write_text("aaa\naaaa\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER

    def preprocess(inputs: Tensors) -> Tensors:
        content = tf.lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, line)
        return {**_pixels(inputs), "label": tf.lookup.StaticHashTable(content, -1).lookup(inputs["label"])}

    folder = _graph(tmp_path / "1", preprocess)
    assert load_pruned(folder) is None
    found, expected = Preprocessing(folder)(raw), _by_tft(folder, raw)
    assert found["image"].dtype == tf.uint8 and set(found["label"].numpy()) == {0, 1}
    np.testing.assert_array_equal(found["image"], expected["image"])
    np.testing.assert_array_equal(found["label"], expected["label"])


def test_what_is_no_function_is_not_pruned(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "transform_fn"))
    assert load_pruned(str(tmp_path)) is None
