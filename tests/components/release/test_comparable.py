"""Which models of earlier runs are compared with: real SavedModels, asked about records."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.prepare.schema import curate
from components.release.comparable import accuracies_on_common, check_comparable
from components.task.task import Task
from data.sources import Arrays, Csv
from data.spec import Classes, Image, Labels, Number, Vector
from serving.export import saved_model
from tests.conftest import encode_picture, smooth_pixels
from tests.exported import export_pictures
from tests.records import vector_row
from tests.tasks.tiny import TASK

ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(3))
NUMBERS = dataclasses.replace(ROWS, label=Number())
SEVERAL = dataclasses.replace(ROWS, source=Arrays(), label=Labels())
RECORD = vector_row([1.0, 2.0, 3.0], "cats").example


def _picture(content: bytes) -> bytes:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in (("image", content), ("label", b"cats"))
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


class _AsTheyAre(tf.Module):
    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return dict(raw)


def _model(folder: Path, names: tuple[str, ...], size: int = 3, several: bool = False) -> str:
    """A model of rows, for classes or several labels; of a number where there are no names."""
    dense = keras.layers.Dense(len(names) or 1, "sigmoid" if several else "softmax" if names else None)
    model = keras.Sequential([keras.Input((size,)), dense])
    label = Labels() if several else Classes() if names else Number()
    thresholds = [0.5] * len(names) if several else []
    exported = saved_model.ModelExport(model, _AsTheyAre(), Vector(size), label, names, thresholds=thresholds)
    saved_model.write(exported, str(folder))
    return str(folder)


def _schema(task: Task, names: tuple[str, ...]) -> schema_pb2.Schema:
    return curate(schema_pb2.Schema(), task, names)


@pytest.fixture(scope="module")
def cats_and_dogs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _model(tmp_path_factory.mktemp("model") / "model", ("cats", "dogs"))


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (("cats", "dogs", "owls"), ("cats", "dogs")),
        (("owls", "dogs"), ("dogs",)),
        (("dogs",), ("dogs",)),
        (("a", "b"), ()),
    ],
    ids=["added", "renamed", "removed", "all others"],
)
def test_other_classes(names: tuple[str, ...], common: tuple[str, ...], cats_and_dogs: str) -> None:
    found = check_comparable(cats_and_dogs, _schema(ROWS, names), [RECORD])
    assert not found and found.reason == "the last model knew cats, dogs"
    assert found.common == common


def test_models_with_other_classes_on_the_common_ones(cats_and_dogs: str, tmp_path: Path) -> None:
    """Each answers with any of its own classes; other examples are passed over."""
    other = _model(tmp_path / "model", ("owls", "dogs", "cats"))
    rng = np.random.default_rng(1)
    values = rng.normal(size=(100, 3)).astype(np.float32)
    labels = [("cats", "dogs", "owls")[number % 3] for number in range(100)]
    records = [vector_row(row, label).example for row, label in zip(values.tolist(), labels, strict=True)]
    count, found = accuracies_on_common([cats_and_dogs, other], ["cats", "dogs"], iter(records))
    expected = []
    for model in (cats_and_dogs, other):
        (kernel, bias) = (one.numpy() for one in tf.saved_model.load(model).variables)
        names = ("cats", "dogs") if model is cats_and_dogs else ("owls", "dogs", "cats")
        best = [names[place] for place in (values @ kernel + bias).argmax(axis=1)]
        expected.append(np.mean([one == label for one, label in zip(best, labels, strict=True) if label != "owls"]))
    assert count == 67 and found == pytest.approx(expected) and min(found) > 0
    assert accuracies_on_common([cats_and_dogs], ["cats"], [records[2]]) == (0, [])


@pytest.mark.parametrize("names", [("cats", "dogs"), ("dogs", "cats")])
def test_the_same_classes_in_any_order(names: tuple[str, ...], cats_and_dogs: str) -> None:
    found = check_comparable(cats_and_dogs, _schema(ROWS, names), [RECORD] * 100)
    assert found and found.common == names


def test_of_many_classes_those_that_differ_are_named(tmp_path: Path) -> None:
    names = tuple(f"c{number:02}" for number in range(40))
    model = _model(tmp_path / "model", names)
    found = check_comparable(model, _schema(ROWS, ("new", *names[1:])), [RECORD])
    assert found.reason == "the last model knew 40 classes: not new; also c00"
    found = check_comparable(model, _schema(ROWS, names[:20]), [RECORD])
    assert found.reason.endswith("also c20, c21, c22, c23, c24, c25, c26, c27, c28, c29 and 10 more")


def test_another_kind_of_label(cats_and_dogs: str, tmp_path: Path) -> None:
    found = check_comparable(cats_and_dogs, _schema(NUMBERS, ()), [RECORD])
    assert found.reason == "the last model answers with classes (cats, dogs)"
    number = _model(tmp_path / "number", ())
    assert check_comparable(number, _schema(NUMBERS, ()), [RECORD])
    assert (
        check_comparable(number, _schema(ROWS, ("cats", "dogs")), [RECORD]).reason
        == "the last model answers with a number"
    )


def test_several_labels_are_compared_with_the_same_labels_only(cats_and_dogs: str, tmp_path: Path) -> None:
    """There are no common ones: each is a question of its own. One label is no number."""
    names = ("cats", "dogs")
    labels, one = (_model(tmp_path / str(len(some)), some, several=True) for some in (names, names[:1]))
    for order in (names, names[::-1]):
        assert check_comparable(labels, _schema(SEVERAL, order), [RECORD] * 100)
    assert check_comparable(one, _schema(SEVERAL, names[:1]), [RECORD])
    found = check_comparable(labels, _schema(SEVERAL, ("cats", "dogs", "owls")), [RECORD])
    assert found.reason == "the last model knew cats, dogs" and found.common == ()
    assert check_comparable(one, _schema(SEVERAL, names), [RECORD]).reason == "the last model knew cats"
    number = _model(tmp_path / "number", ())
    reasons = [
        check_comparable(cats_and_dogs, _schema(SEVERAL, names), [RECORD]).reason,
        check_comparable(labels, _schema(ROWS, names), [RECORD]).reason,
        check_comparable(labels, _schema(NUMBERS, ()), [RECORD]).reason,
        check_comparable(number, _schema(SEVERAL, names), [RECORD]).reason,
    ]
    assert reasons == [
        "the last model answers with classes (cats, dogs)",
        "the last model answers with several labels (cats, dogs)",
        "the last model answers with several labels (cats, dogs)",
        "the last model answers with a number",
    ]


def test_another_feature(cats_and_dogs: str) -> None:
    names = ("cats", "dogs")
    other = dataclasses.replace(ROWS, feature=Vector(2))
    found = check_comparable(cats_and_dogs, _schema(other, names), [vector_row([1.0, 2.0], "cats").example])
    assert found.reason == "the last model takes 3 numbers"
    picture = _picture(encode_picture(smooth_pixels(0), "PNG"))
    assert check_comparable(cats_and_dogs, _schema(TASK, names), [picture]).reason == "the last model takes 3 numbers"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: _cut(folder / "saved_model.pb"),
        lambda folder: (folder / "saved_model.pb").write_bytes(b""),
        lambda folder: _cut(folder / "variables" / "variables.index"),
        lambda folder: _cut(folder / "variables" / "variables.data-00000-of-00001"),
        lambda folder: (folder / "variables" / "variables.data-00000-of-00001").unlink(),
        lambda folder: shutil.rmtree(folder / "variables"),
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "saved_model.pb").write_bytes(  # an op of another TensorFlow
            (folder / "saved_model.pb").read_bytes().replace(b"MatMul", b"MatNot")
        ),
    ],
    ids=["graph", "empty", "index", "weights", "no weights", "no variables", "gone", "op"],
)
def test_a_damaged_model(damage: Callable[[Path], Any], cats_and_dogs: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cats_and_dogs, tmp_path / "model"))
    damage(folder)
    found = check_comparable(str(folder), _schema(ROWS, ("cats", "dogs")), [RECORD])
    assert found.reason.startswith(f"the last model cannot be used: no SavedModel at {folder}: ")
    assert "\n" not in found.reason and len(found.reason) < 400


class _ByHand(tf.Module):
    """A model that somebody made without Skewless."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def rows(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": features}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def best(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best class alone, by its number."""
        return {"classes": tf.zeros(tf.shape(inputs), tf.int64), "scores": tf.ones([tf.shape(inputs)[0], 3])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def logits(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": tf.ones([tf.shape(inputs)[0], 3])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string)])
    def two(self, inputs: tf.Tensor, more: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.strings.to_number(inputs + more)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def boxes(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.ones([tf.shape(inputs)[0], 4])}


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (None, "cannot be used: the SavedModel at .* has no signature 'serving_examples'"),
        ("best", "is of another kind: it answers neither classes and scores nor a number"),
        ("logits", "is of another kind: serving_examples, one by one returns logits"),
        ("boxes", "is of another kind: it answers neither classes and scores nor a number"),
        ("two", "is of another kind: "),
    ],
)
def test_a_model_made_by_hand(examples: str | None, words: str, tmp_path: Path) -> None:
    module = _ByHand()
    signatures = {"serving_default": module.rows}
    if examples:
        signatures["serving_examples"] = getattr(module, examples)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures)
    found = check_comparable(str(tmp_path / "model"), _schema(ROWS, ("cats", "dogs")), [RECORD])
    assert not found
    assert re.match(f"the last model {words}", found.reason), found.reason


def test_a_store_that_does_not_answer_says_nothing_of_the_model(
    cats_and_dogs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(folder: str) -> None:
        raise tf.errors.UnavailableError(None, None, "try again")

    monkeypatch.setattr(tf.saved_model, "load", unavailable)
    with pytest.raises(tf.errors.UnavailableError):
        check_comparable(cats_and_dogs, _schema(ROWS, ("cats", "dogs")), [RECORD])


def test_pictures_of_another_size_are_the_same_question(tmp_path: Path) -> None:
    """The signature takes their bytes."""
    model = export_pictures(tmp_path / "model", Image(4, 4), ("cats", "dogs"))
    picture = _picture(encode_picture(smooth_pixels(0), "PNG"))
    assert check_comparable(model, _schema(TASK, ("cats", "dogs")), [picture])
    rows = check_comparable(model, _schema(ROWS, ("cats", "dogs")), [RECORD])
    assert rows.reason == "the last model takes pictures"
    broken = _picture(b"no picture")
    refused = check_comparable(model, _schema(TASK, ("cats", "dogs")), [picture, broken])
    assert refused.reason.startswith("the last model rejects examples of this run: ")
