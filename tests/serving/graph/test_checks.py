"""Checks of a served graph: sound exports pass, and planted faults are found and named."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper

from data.errors import UsageError
from data.images import ops
from data.spec import Classes, Image
from serving.export import saved_model
from serving.export.batching import Batching
from serving.graph.checks import Finding, random_ops, same_preprocessing

SPEC = Image(6, 5, 3)
CLASSES = ("ant", "bee")
RAW = {"image": tf.TensorSpec([None], tf.string), "label": tf.TensorSpec([None], tf.string)}
SERVED = ["serving_default", "serving_examples"]
Preprocess = Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def _preprocess(spec: Image = SPEC) -> Preprocess:
    def preprocess(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = tf.cast(ops.decode_batch(inputs["image"], spec), tf.float32)
        return {"image": image, "label": tf.argmax(inputs["label"][:, None] == tf.constant([CLASSES]), axis=1)}

    return preprocess


def _transform_graph(folder: Path, preprocess: Preprocess) -> str:
    """Write what TFX's Transform writes without analyzers."""
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in RAW}
    impl_helper.analyze_in_place(preprocess, False, features, RAW, str(folder))
    return str(folder)


class _Layer(tf.Module):
    """A TransformGraph as `components.prepare.transform.Preprocessing` calls it."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._layer = tft.TFTransformOutput(folder).transform_features_layer()

    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = dict(self._layer(dict(raw)))
        return {**outputs, "image": tf.cast(outputs["image"], tf.uint8)}


class _Retraced(tf.Module):
    """The same Python code, traced again instead of the TransformGraph."""

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self._preprocess = preprocess

    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # A dummy label, because the TransformGraph's function takes one.
        outputs = self._preprocess({"label": tf.zeros_like(raw["image"]), **raw})
        return {name: tf.cast(outputs[name], tf.uint8) if name == "image" else outputs[name] for name in raw}

    @tf.autograph.experimental.do_not_convert
    def image(self, raw: tf.Tensor) -> tf.Tensor:
        return self({"image": raw})["image"]


class _InTraining(keras.layers.Layer):
    """Runs a layer in training mode, ignoring the mode of the call."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__()
        self.layer = layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.layer(inputs, training=True)


def _export(folder: Path, transform: tf.Module, *layers: keras.layers.Layer, batching: Batching | None = None) -> str:
    rescaling, flat = keras.layers.Rescaling(1 / 255), keras.layers.Flatten()
    last = keras.layers.Dense(2, "softmax")
    model = keras.Sequential([keras.Input(SPEC.shape, dtype="uint8"), rescaling, *layers, flat, last])
    label = Classes(CLASSES)
    saved_model.write(
        saved_model.ModelExport(model, transform, SPEC, label, CLASSES, batching or Batching()), str(folder)
    )
    return str(folder)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _transform_graph(tmp_path_factory.mktemp("graph") / "1", _preprocess())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, graph: str) -> str:
    """An export whose layers for training are off in serving; one signature batches."""
    layers = [keras.layers.RandomRotation(0.1), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    folder = tmp_path_factory.mktemp("clean") / "1"
    return _export(folder, _Layer(graph), *layers, batching=Batching(max_batch_size=4))


def test_a_sound_export_has_neither(clean: str, graph: str) -> None:
    assert random_ops(clean) == []
    assert same_preprocessing(clean, graph, "image") == []
    assert same_preprocessing(clean, graph, "image", ["serving_examples"]) == []


def _black(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Replace decoding if only the model matters."""
    return {**inputs, "image": tf.zeros([tf.size(inputs["image"]), *SPEC.shape])}


def test_layers_left_in_training_mode_are_named(tmp_path: Path) -> None:
    layers = [keras.layers.Dropout(0.5), keras.layers.RandomRotation(0.1), keras.layers.BatchNormalization()]
    folder = _export(tmp_path / "1", _Retraced(_black), *(_InTraining(layer) for layer in layers))
    found = random_ops(folder)
    assert {one.signature for one in found} == set(SERVED)  # and not `transform_features`
    for signature in SERVED:
        draws = [one.detail for one in found if (one.signature, one.kind) == (signature, "random")]
        assert len(draws) == 2 and all(detail.startswith("StatelessRandomUniformV2 in ") for detail in draws)
        assert "dropout" in draws[0] + draws[1] and "random_rotation" in draws[0] + draws[1]
        only = [one.detail for one in found if (one.signature, one.kind) == (signature, "training")]
        assert any(detail.startswith("AssignVariableOp in ") and "batch_normalization" in detail for detail in only)
    assert {one.signature for one in random_ops(folder, ["serving_default"])} == {"serving_default"}


def _save(folder: Path, answer: Callable[[tf.Tensor], tf.Tensor], *kept: object) -> str:
    """Save a SavedModel that returns `y` for `image_bytes`."""
    module = tf.Module()
    module.kept = kept
    signature = tf.function(
        lambda image_bytes: {"y": answer(image_bytes)},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
        autograph=False,
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return str(folder)


@pytest.mark.parametrize("is_training", [True, False])
def test_fused_batch_norm_counts_in_training_mode_only(tmp_path: Path, is_training: bool) -> None:
    def answer(raw: tf.Tensor) -> tf.Tensor:
        pixels = tf.zeros([tf.shape(raw)[0], 2, 2, 3])
        ones = tf.ones([3])
        given = () if is_training else (ones, ones)
        return tf.compat.v1.nn.fused_batch_norm(pixels, ones, ones, *given, is_training=is_training)[0]

    found = random_ops(_save(tmp_path / "1", answer))
    assert [(one.kind, one.detail[:16]) for one in found] == [("training", "FusedBatchNormV3")] * is_training


def test_only_what_the_outputs_depend_on_counts(tmp_path: Path) -> None:
    @tf.function
    def two(raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.strings.length(raw), tf.random.stateless_uniform([2], [1, 2])

    assert random_ops(_save(tmp_path / "0", lambda raw: two(raw)[0])) == []
    found = random_ops(_save(tmp_path / "1", lambda raw: two(raw)[1]))
    assert [one.kind for one in found] == ["random"]


def test_a_draw_inside_of_a_branch_in_a_loop_is_found(tmp_path: Path) -> None:
    def step(length: tf.Tensor) -> tf.Tensor:
        return tf.cond(length > 3, lambda: tf.random.uniform([]), lambda: 0.0)

    found = random_ops(
        _save(tmp_path / "1", lambda raw: tf.map_fn(step, tf.strings.length(raw), fn_output_signature=tf.float32))
    )
    assert [one.kind for one in found] == ["random"] and "RandomUniform in " in found[0].detail
    assert "while" in found[0].detail and "cond_true" in found[0].detail


def test_a_copy_that_is_equal_op_by_op_passes(tmp_path: Path, graph: str) -> None:
    folder = _save(tmp_path / "1", _Retraced(_preprocess()).image)
    assert same_preprocessing(folder, graph, "image") == []


def _with_dct(preprocess: Preprocess, method: str) -> Preprocess:
    def changed(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            decode = tf.io.decode_jpeg
            # The decoder is traced once per process; this one is traced anew, and is not kept.
            patch.setattr(ops, "_any_decoder", ops._any_decoder.__wrapped__)
            patch.setattr(
                tf.io, "decode_jpeg", lambda *args, **options: decode(*args, **options | {"dct_method": method})
            )
            return preprocess(inputs)

    return changed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            _preprocess(dataclasses.replace(SPEC, resize="nearest")),
            "ResizeNearestNeighbor instead of the TransformGraph's ResizeBilinear",
        ),
        (_preprocess(dataclasses.replace(SPEC, antialias=True)), "ScaleAndTranslate instead of"),
        (_preprocess(dataclasses.replace(SPEC, resize="bicubic")), "ResizeBicubic instead of"),
        (_preprocess(dataclasses.replace(SPEC, max_pixels=1234)), "constant "),
        (_with_dct(_preprocess(), "INTEGER_FAST"), "DecodeJpeg dct_method INTEGER_FAST, not INTEGER_ACCURATE"),
    ],
)
def test_other_preprocessing_is_found_and_named(tmp_path: Path, graph: str, changed: Preprocess, named: str) -> None:
    (found,) = same_preprocessing(_save(tmp_path / "1", _Retraced(changed).image), graph, "image")
    assert (found.signature, found.kind) == ("serving_default", "preprocessing")
    assert found.detail.startswith("the served graph lacks the TransformGraph's function for 'image': " + named)


def test_the_graph_of_another_transform_is_not_this_one(tmp_path: Path, clean: str) -> None:
    other = _transform_graph(tmp_path / "other", _preprocess(dataclasses.replace(SPEC, resize="nearest")))
    found = same_preprocessing(clean, other, "image")
    assert [one.signature for one in found] == [*SERVED, "transform_features"]
    assert all("ResizeBilinear instead of the TransformGraph's ResizeNearestNeighbor" in one.detail for one in found)


def test_a_way_past_the_preprocessing_is_found(tmp_path: Path) -> None:
    graph = _transform_graph(
        tmp_path / "graph",
        lambda raw: {**raw, "image": tf.ensure_shape(tf.io.decode_raw(raw["image"], tf.float32), [None, 4])},
    )
    layer = tft.TFTransformOutput(graph).transform_features_layer()

    def mean(raw: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.cast(layer({"image": raw})["image"], tf.float32), 1)

    def both(raw: tf.Tensor) -> tf.Tensor:
        return mean(raw) + tf.cast(tf.strings.length(raw), tf.float32)

    def tidied(raw: tf.Tensor) -> tf.Tensor:
        return mean(tf.strings.strip(raw))

    assert same_preprocessing(_save(tmp_path / "0", mean, layer), graph, "image") == []
    past = "raw input reaches 'y' without the TransformGraph's function for 'image'"
    found = same_preprocessing(_save(tmp_path / "1", both, layer), graph, "image")
    assert found == [Finding("serving_default", "preprocessing", past)]
    assert len(same_preprocessing(_save(tmp_path / "2", tidied, layer), graph, "image")) == 1


def test_an_asset_counts_by_its_contents(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"

    def preprocess(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        content = tf.lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, line)
        return {"image": tf.lookup.StaticHashTable(content, -1).lookup(inputs["image"]), "label": inputs["label"]}

    words.write_text("ant\nbee\n")
    graph = _transform_graph(tmp_path / "graph", preprocess)
    layer = tft.TFTransformOutput(graph).transform_features_layer()
    folder = _save(tmp_path / "1", lambda raw: layer({"image": raw})["image"], layer)
    assert same_preprocessing(folder, graph, "image") == []
    stale = shutil.copytree(folder, tmp_path / "2")
    (asset,) = (stale / "assets").iterdir()
    assert asset.read_text() == "ant\nbee\n"
    asset.write_text("bee\nant\n")
    assert len(same_preprocessing(str(stale), graph, "image")) == 1


def test_the_cast_to_float_is_not_required(tmp_path: Path, graph: str) -> None:
    def pixels(raw: tf.Tensor) -> tf.Tensor:
        return ops.decode_batch(raw, SPEC)

    assert same_preprocessing(_save(tmp_path / "1", pixels), graph, "image") == []
    assert same_preprocessing(_save(tmp_path / "2", lambda raw: tf.reverse(pixels(raw), [3])), graph, "image") == []
    other = dataclasses.replace(SPEC, resize="nearest")
    (found,) = same_preprocessing(_save(tmp_path / "3", lambda raw: ops.decode_batch(raw, other)), graph, "image")
    assert found.detail.endswith("ResizeNearestNeighbor instead of the TransformGraph's ResizeBilinear")


def test_what_follows_the_cast_to_float_is_required(tmp_path: Path) -> None:
    def scaled(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**raw, "image": _preprocess()(raw)["image"] / 255.0}

    graph = _transform_graph(tmp_path / "graph", scaled)
    assert same_preprocessing(_save(tmp_path / "1", _Retraced(scaled).image), graph, "image") == []
    (found,) = same_preprocessing(_save(tmp_path / "2", _Retraced(_preprocess()).image), graph, "image")
    assert "the TransformGraph's RealDiv is missing" in found.detail


def test_errors_name_what_is_missing(tmp_path: Path, clean: str, graph: str) -> None:
    with pytest.raises(UsageError, match="holds no SavedModel"):
        random_ops(str(tmp_path))
    with pytest.raises(UsageError, match="no signature 'serving_defalt'. Did you mean 'serving_default'?"):
        random_ops(clean, ["serving_defalt"])
    with pytest.raises(UsageError, match="no transformed feature 'picture'"):
        same_preprocessing(clean, graph, "picture")
