"""The gate on a model that was really trained: the clean one passes, and of skewed exports each is named."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from components.models.augment_layer import Augment
from components.prepare.schema import classes_of, read_schema
from components.prepare.transform import Preprocessing
from components.release import skew_check
from components.release.pusher import prove_pushed
from components.review.client_pictures import measure_client_skew
from components.task.reference import TaskReference
from components.task.task import Task
from components.training import trainer
from components.training.trained_model import WEIGHTS, TrainedModel
from components.training.training_route import answer_records
from data.augmentation.config import Augmentation
from data.errors import DataError, SkewError
from data.images import ops
from data.spec import IMAGE, Feature, Image
from serving.export import saved_model
from tests.components.conftest import examples_to_transform, run_components
from tests.tasks import skewable

REFERENCE = TaskReference("tests.tasks.skewable:TASK")
TASK = skewable.TASK
Tensors = dict[str, tf.Tensor]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, smooth: Callable[..., np.ndarray]) -> SimpleNamespace:
    """What a training left: `artifacts`, the model with its weights, and the TransformGraph as `transform`."""
    data, root = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("root")
    for number in range(60):
        pixels = smooth(number, 41 + number % 5, 57 + number % 3).astype(float)
        name = ("bright", "dark")[number % 2]
        pixels = 0.8 * pixels + (40 if name == "bright" else 10)
        pixels += np.random.default_rng(number).normal(0, 12, pixels.shape)
        file = data / name / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        Pil.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, quality=90)
    found = _train(REFERENCE, _prepare(REFERENCE, data, root), root)
    found.data = data
    return found


def _prepare(reference: TaskReference, data: Path, root: Path) -> dict[str, str]:
    """Return the folders of the artifacts that the training needs, by type."""
    found = run_components(examples_to_transform(reference, data), root)
    return {name: found[name].uri for name in ("Examples", "Schema", "TransformGraph")}


def _train(reference: TaskReference, uri: dict[str, str], root: Path) -> SimpleNamespace:
    arguments = SimpleNamespace(
        custom_config=reference.config("feature", "label", "augment", "model", "train", "serving"),
        schema_path=f"{uri['Schema']}/schema.pbtxt",
        transform_output=uri["TransformGraph"],
        train_files=[f"{uri['Examples']}/Split-train/*"],
        serving_model_dir=str(root / "model"),
        model_run_dir=str(root / "run"),
    )
    trainer.run_fn(arguments)
    artifacts = skew_check.TrainedArtifacts(
        uri["Examples"], uri["Schema"], uri["TransformGraph"], arguments.model_run_dir, arguments.serving_model_dir
    )
    classes = classes_of(read_schema(artifacts.schema))
    model = TrainedModel(reference.load(), classes, artifacts.model_run)
    return SimpleNamespace(
        uri=uri,
        artifacts=artifacts,
        model=model.model,
        transform=Preprocessing(artifacts.transform_graph),
        classes=classes,
        thresholds=model.thresholds,
    )


def proved(artifacts: skew_check.TrainedArtifacts, folder: Path, task: Task = TASK) -> dict[str, Any]:
    return skew_check.check_skew(task, artifacts, str(folder), lambda text: None).to_json()


def test_what_the_trainer_exported_passes_and_is_proved_again_once_pushed(
    trained: SimpleNamespace, tmp_path: Path
) -> None:
    found = proved(trained.artifacts, tmp_path)
    assert found["passed"] and not found["structure"] and found["diagnosis"] is None
    assert found == skew_check.read_report(str(tmp_path)).to_json()
    assert [one["route"].partition(",")[0] for one in found["routes"][::2]] == [
        "serving_examples",
        "serving_default",
        "gRPC",
        "REST",
    ]
    assert all(one["largest"] <= one["tolerance"] < 1e-4 for one in found["routes"])
    assert found["reference"] == f"training, batches of {found['records']}"
    assert found["made"] >= 8 and found["records"] > 12
    sample = skew_check.read_sample(str(tmp_path))
    assert sample.differences.shape == (8, len(sample.records)) == (8, found["records"])
    assert sample.differences.max(axis=1).tolist() == [one["largest"] for one in found["routes"]]
    assert [one.startswith("generated: ") for one in sample.reasons].count(True) == found["made"]
    assert not skew_check.check_pushed(str(tmp_path), trained.artifacts.model).fault
    other = tmp_path / "1"
    _export(trained, other, classes=trained.classes[::-1])
    with pytest.raises(SkewError, match="the pushed version differs from the model, and was removed: classes are dark"):
        prove_pushed(str(tmp_path), str(other))
    assert not other.exists()


def test_the_pictures_of_clients_are_answered_so_by_the_served_model(trained: SimpleNamespace) -> None:
    """It gives both answers: to the file, and to the pixels that the client sends as a PNG."""
    task = dataclasses.replace(TASK, gate=dataclasses.replace(TASK.gate, pictures=40))
    model = TrainedModel(task, trained.classes, trained.artifacts.model_run)
    costs, changed = measure_client_skew(model, trained.artifacts.examples)
    assert [one.client for one in changed] == [one.client for one in costs if one.flipped] != []
    served = tf.saved_model.load(trained.artifacts.model).signatures["serving_default"]
    files = {Path(file).name: Path(file) for file in tf.io.gfile.glob(f"{trained.data}/*/*.jpg")}
    for one in changed:
        file = files[Path(one.source).name]
        assert one.label == file.parent.name
        with Pil.open(file) as picture:
            assert (one.width, one.height) == picture.size
        contents = [file.read_bytes(), base64.b64decode(one.served), base64.b64decode(one.sent)]
        found = served(image_bytes=tf.constant(contents))
        names, scores = found["classes"].numpy(), found["scores"].numpy()
        best = [(names[row][scores[row].argmax()].decode(), scores[row].max()) for row in range(3)]
        assert [name for name, _ in best] == [one.answer_served, one.answer_served, one.answer]
        np.testing.assert_allclose(
            [score for _, score in best], [one.score_served, one.score_served, one.score or 0.0], atol=1e-5
        )
        assert one.answer != one.answer_served and one.score_name == ""


def _pixels(**changes: Any) -> Callable[[Tensors], Tensors]:
    spec = dataclasses.replace(TASK.feature, **changes)
    assert isinstance(spec, Image)
    return lambda raw: {IMAGE: ops.decode_batch(raw[IMAGE], spec)}


def _one_by_one(
    decode: Callable[[tf.Tensor], tf.Tensor], resize: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[Tensors], Tensors]:
    def one(content: tf.Tensor) -> tf.Tensor:
        pixels = ops.decode(content, 3)
        is_jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
        pixels = tf.cond(is_jpeg, lambda: decode(content), lambda: pixels)
        return tf.saturate_cast(tf.round(resize(pixels)), tf.uint8)

    shape = tf.TensorSpec((20, 24, 3), tf.uint8)
    return lambda raw: {IMAGE: tf.map_fn(one, raw[IMAGE], fn_output_signature=shape)}


def _accurate(content: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE")


def _bilinear(pixels: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(pixels, (20, 24))


def _corners(pixels: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ResizeBilinear(images=pixels[None], size=(20, 24), half_pixel_centers=False)[0]


def _model(model: keras.Model, **changes: Any) -> keras.Model:
    other = skewable.build_model(TASK.feature, 2, **changes)
    other.set_weights(model.get_weights())
    return other


def _around(model: keras.Model, first: Any = None, last: Any = None) -> keras.Model:
    inputs = keras.Input(TASK.feature.shape, dtype="uint8")
    outputs = model(first(inputs) if first else inputs)
    return keras.Model(inputs, last(outputs) if last else outputs)


class _InTraining(keras.layers.Layer):
    """Calls what is within in training mode, whatever it is told itself."""

    def __init__(self, inner: keras.layers.Layer) -> None:
        super().__init__(autocast=False)
        self.inner = inner

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.inner(inputs, training=True)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return self.inner.compute_output_spec(inputs)


def _other_version(model: keras.Model) -> keras.Model:
    other = skewable.build_model(TASK.feature, 2)
    other.set_weights([1.05 * one if one.ndim > 1 else one for one in model.get_weights()])
    return other


def _augmented(model: keras.Model) -> keras.Model:
    return _around(model, _InTraining(Augment(Augmentation(rotation_range=20, horizontal_flip=True))))


SKEWS: dict[str, tuple[str, str, Callable[[SimpleNamespace], dict[str, Any]]]] = {
    "resize method": (
        "resize",
        "nearest instead of bilinear",
        lambda it: {"transform": _pixels(resize="nearest")},
    ),
    "antialias": (
        "resize",
        "bilinear with antialias instead of bilinear",
        lambda it: {"transform": _pixels(antialias=True)},
    ),
    "half-pixel centres": (
        "resize",
        "bilinear without half-pixel centres",
        lambda it: {"transform": _one_by_one(_accurate, _corners)},
    ),
    "DCT method": (
        "decode",
        "JPEG's DCT method INTEGER_FAST",
        lambda it: {"transform": _one_by_one(lambda content: tf.io.decode_jpeg(content, 3), _bilinear)},
    ),
    "/255 missing": ("scale", "/255 missing", lambda it: {"model": _model(it.model, unit=1.0)}),
    "/255 twice": ("scale", "/255 ", lambda it: {"model": _model(it.model, unit=1 / 255**2)}),
    "mean and std": (
        "scale",
        "mean and standard deviation swapped",
        lambda it: {"model": _model(it.model, is_swapped=True)},
    ),
    "BGR": (
        "channel order",
        "BGR instead of RGB",
        lambda it: {"transform": lambda raw: {IMAGE: it.transform(raw)[IMAGE][..., ::-1]}},
    ),
    "vocabulary reordered": (
        "label order",
        "label vocabulary reordered",
        lambda it: {"classes": it.classes[::-1]},
    ),
    "sigmoid swapped": (
        "label order",
        "the two classes swapped",
        lambda it: {"model": _around(it.model, last=lambda outputs: 1.0 - outputs)},
    ),
    "stale vocabulary": ("label order", "stale vocabulary", lambda it: {"classes": ("bright", "dim")}),
    "augmentation": ("model", "augmentation left on", lambda it: {"model": _augmented(it.model)}),
    "batch norm": ("model", "batch norm in training mode", lambda it: {"model": _around(_InTraining(it.model))}),
    "model version": ("model", "a different model version", lambda it: {"model": _other_version(it.model)}),
}


def _export(trained: SimpleNamespace, folder: Path, **changes: Any) -> None:
    """What `serving.export.saved_model` would have written, had the skew been in the project's own code."""
    parts = {"model": trained.model, "transform": trained.transform, "classes": trained.classes, **changes}
    transform = parts.pop("transform")
    if not isinstance(transform, tf.Module):
        held = tf.Module()
        held.inner, held.call = trained.transform, transform  # what a lambda uses must be tracked

        class _Transform(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                self.held = held

            def __call__(self, raw: Tensors) -> Tensors:
                found = dict(held.call(raw))
                return {**found, **({"label": tf.zeros_like(raw["label"])} if "label" in raw else {})}

        transform = _Transform()
    saved_model.write(
        saved_model.ModelExport(transform=transform, feature=TASK.feature, label=TASK.label, **parts), str(folder)
    )


@pytest.mark.parametrize("name", SKEWS)
def test_a_planted_skew_is_caught_and_named(trained: SimpleNamespace, tmp_path: Path, name: str) -> None:
    stage, phrase, changes = SKEWS[name]
    model = tmp_path / "model"
    _export(trained, model, **changes(trained))
    found = proved(dataclasses.replace(trained.artifacts, model=str(model)), tmp_path / "report")
    assert not found["passed"]
    diagnosis = found["diagnosis"]
    # With "or" where others answer the same: pixels that are 255 times too bright make every score 0 or 1.
    assert diagnosis["stage"] == stage and phrase in diagnosis["skew"], diagnosis
    assert diagnosis["source"] and diagnosis["why"]


def test_weights_that_are_not_there_or_of_another_model_are_told(trained: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no weights at {tmp_path}"):
        proved(dataclasses.replace(trained.artifacts, model_run=str(tmp_path)), tmp_path)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)]).save_weights(tmp_path / WEIGHTS)
    with pytest.raises(DataError, match="do not fit the task's model"):
        proved(dataclasses.replace(trained.artifacts, model_run=str(tmp_path)), tmp_path)


# Logits and mixed precision


@pytest.fixture(scope="module")
def mixed(trained: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What a training of a model with logits in bfloat16 left, on the same data."""
    reference = TaskReference("tests.tasks.skewable:LOGITS")
    return _train(reference, trained.uri, tmp_path_factory.mktemp("mixed"))


def _own_scores(it: SimpleNamespace, pixels: np.ndarray) -> np.ndarray:
    """Return the softmax of the logits of the weights that the Trainer kept, computed with numpy."""
    model = skewable.build_logits(TASK.feature, 2)
    model.load_weights(f"{it.artifacts.model_run}/{WEIGHTS}")
    exponentials = np.exp(np.asarray(model(pixels), np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_of_logits_trained_in_bfloat16_probabilities_in_float32_are_served(
    mixed: SimpleNamespace, tmp_path: Path
) -> None:
    found = proved(mixed.artifacts, tmp_path, skewable.LOGITS)
    assert found["passed"] and not found["structure"] and found["diagnosis"] is None
    training, *served = found["routes"]
    assert training["route"] == f"training in mixed_bfloat16, batches of {found['records']}"
    assert 1e-4 < training["largest"] <= training["tolerance"] == 2**-4
    assert all(one["largest"] <= one["tolerance"] < 1e-4 for one in served)
    with np.load(tmp_path / skew_check.ANSWERS) as arrays:
        assert np.ptp(arrays["scores"]) > 0.5  # they would not hide a skew
    pixels = np.random.default_rng(0).integers(0, 256, (5, *TASK.feature.shape)).astype("uint8")
    contents = [tf.io.encode_png(one).numpy() for one in pixels]
    answers = tf.saved_model.load(mixed.artifacts.model).signatures["serving_default"](image_bytes=contents)
    np.testing.assert_allclose(answers["scores"], _own_scores(mixed, pixels), atol=1e-5)


def _logits(it: SimpleNamespace) -> dict[str, Any]:
    """Return the model without its softmax."""
    return {"model": keras.Model(it.model.inputs[0], it.model.layers[-2].output)}


@pytest.mark.parametrize(
    ("skew", "changes"),
    [("softmax missing: the scores are logits", _logits), ("BGR instead of RGB", SKEWS["BGR"][2])],
)
def test_a_skew_of_a_model_trained_in_bfloat16_is_caught_and_named(
    mixed: SimpleNamespace, tmp_path: Path, skew: str, changes: Callable[[SimpleNamespace], dict[str, Any]]
) -> None:
    model = tmp_path / "model"
    _export(mixed, model, **changes(mixed))
    artifacts = dataclasses.replace(mixed.artifacts, model=str(model))
    found = proved(artifacts, tmp_path / "report", skewable.LOGITS)
    assert not found["passed"] and found["diagnosis"]["skew"] == skew, found["diagnosis"]


def test_a_model_that_computes_otherwise_in_mixed_precision_is_caught_and_named(
    mixed: SimpleNamespace, tmp_path: Path
) -> None:
    """Mean and standard deviation are swapped where the layers compute in bfloat16: training saw other numbers."""

    def build(feature: Feature, classes: int) -> keras.Model:
        is_mixed = keras.config.dtype_policy().name == "mixed_bfloat16"
        return skewable.build_logits(feature, classes, is_swapped=is_mixed)

    found = proved(mixed.artifacts, tmp_path, dataclasses.replace(skewable.LOGITS, model=build))
    assert [bool(one["fault"]) for one in found["routes"]] == [True] + [False] * 8
    assert not found["passed"] and found["diagnosis"]["route"] == found["routes"][0]["route"]
    assert found["diagnosis"]["skew"] == (
        "in float32 the model computes otherwise than in mixed_bfloat16, as it was trained"
    )


# Several labels


SEVERAL = TaskReference("tests.tasks.several:TASK")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, smooth: Callable[..., np.ndarray]) -> SimpleNamespace:
    """What a training on pictures with up to three labels left."""
    data, root = tmp_path_factory.mktemp("labelled"), tmp_path_factory.mktemp("root")
    for number in range(60):
        pixels = smooth(number, 21 + number % 5, 17 + number % 3)
        for place, name in enumerate(("blue", "green", "red")):
            if number % (place + 2) == 0:
                (data / name).mkdir(exist_ok=True)
                Pil.fromarray(pixels).save(data / name / f"{number}.png")
    return _train(SEVERAL, _prepare(SEVERAL, data, root), root)


def _checked(several: SimpleNamespace, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Export the trained model with changes, and return the gate's report on it."""
    task, folder = SEVERAL.load(), tmp_path / "model"
    parts = {name: getattr(several, name) for name in ("model", "transform", "classes", "thresholds")}
    saved_model.write(
        saved_model.ModelExport(feature=task.feature, label=task.label, **{**parts, **changes}), str(folder)
    )
    artifacts = dataclasses.replace(several.artifacts, model=str(folder))
    return skew_check.check_skew(task, artifacts, str(tmp_path / "report"), lambda text: None).to_json()


def test_several_labels_pass_with_training_s_thresholds_alone(several: SimpleNamespace, tmp_path: Path) -> None:
    found = _checked(several, tmp_path)
    assert found["passed"] and found["is_multi_label"] and not found["structure"]
    report, pushed = str(tmp_path / "report"), str(tmp_path / "model")
    assert not skew_check.check_pushed(report, pushed).fault
    answers = Path(report) / skew_check.ANSWERS
    with np.load(answers) as arrays:
        np.testing.assert_array_equal(arrays["thresholds"][0], np.array(several.thresholds, np.float32))
        np.savez_compressed(answers, scores=arrays["scores"], classes=arrays["classes"])
    old = skew_check.read_sample(report)
    assert (old.reasons, old.differences.shape) == ([], (0, found["records"]))
    # As an older version wrote it.
    assert skew_check.check_pushed(report, pushed).fault == f"thresholds, but {found['reference']} has none"


def test_thresholds_of_another_order_are_caught_and_named(several: SimpleNamespace, tmp_path: Path) -> None:
    found = _checked(several, tmp_path, thresholds=(0.9, 0.8, 0.7))
    assert not found["passed"]
    faults = {one["route"].partition(",")[0]: one["fault"].partition(":")[0] for one in found["routes"]}
    differ = "thresholds differ for 3 of 3 labels"
    assert faults == {"serving_examples": "", "serving_default": differ, "gRPC": differ, "REST": differ}
    assert (found["diagnosis"]["stage"], found["diagnosis"]["skew"]) == (
        "thresholds",
        "thresholds of another version",
    )
    assert [one["detail"] for one in found["structure"]] == [
        "assets.extra/labels.json has other thresholds than the training chose"
    ]


def test_a_softmax_in_place_of_sigmoids_is_caught_and_named(several: SimpleNamespace, tmp_path: Path) -> None:
    *_, last = several.model.layers
    inputs = keras.Input(several.model.input_shape[1:], dtype="uint8")
    hidden = inputs
    for layer in several.model.layers[:-1]:
        hidden = layer(hidden)
    other = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, other(hidden))
    other.set_weights(last.get_weights())
    found = _checked(several, tmp_path, model=model)
    assert found["diagnosis"]["skew"] == "softmax instead of sigmoids"


def test_a_label_that_the_transform_graph_gives_to_another_output_is_found(several: SimpleNamespace) -> None:
    records = list(tf.data.TFRecordDataset(tf.io.gfile.glob(f"{several.artifacts.examples}/Split-train/*")).take(20))
    records = [record.numpy() for record in records]
    trained = TrainedModel(SEVERAL.load(), several.classes, several.artifacts.model_run)
    rows: list[Any] = answer_records(trained, several.artifacts.transform_graph, records).labels
    assert skew_check._label_findings(trained, records, rows) == []
    place = next(number for number, row in enumerate(rows) if row == [1, 1, 0])
    rows[place] = [1, 0, 1]
    (finding,) = skew_check._label_findings(trained, records, rows)
    assert finding.detail == "label 'green' is 0 in the TransformGraph for a record with 'blue, green', not 1"
