"""The summary of a model, compared with what Keras counts, and with shapes that were computed by hand."""

from __future__ import annotations

import json
from typing import Any

import keras
import pytest
from keras import layers

from components.models.summary import describe_layers


def _backbone(**more: Any) -> keras.Model:
    return keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35, **more)


def _transfer() -> keras.Model:
    backbone = _backbone(name="backbone")
    backbone.trainable = False
    return keras.Sequential(
        [
            keras.Input((28, 30, 3), dtype="uint8"),
            keras.Sequential([layers.Resizing(32, 32), layers.RandomFlip()]),
            layers.Rescaling(1 / 127.5, -1),
            backbone,
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _branches() -> keras.Model:
    inputs = keras.Input((8, 8, 3), name="picture")
    left = layers.Conv2D(4, (3, 1), strides=2, padding="same", activation="relu", name="left")(inputs / 2)
    right = layers.MaxPooling2D(2, name="right")(inputs)
    joined = layers.BatchNormalization(name="norm")(layers.Concatenate(name="join")([left, right]))
    twice = layers.Dense(7, name="twice")
    return keras.Model(inputs, twice(twice(joined)))


class _Subclass(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layers.Dense(3, name="first"), layers.Dense(2, name="second")

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))


def _subclass() -> keras.Model:
    model = _Subclass()
    model(keras.ops.zeros((1, 4)))
    return model


def _of(model: keras.Model) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in describe_layers(model)}


@pytest.mark.parametrize("make", [_transfer, _branches, _subclass, _backbone])
def test_the_parameters_are_those_that_keras_counts_and_json_takes_them(make: Any) -> None:
    model = make()
    entries = describe_layers(model)
    assert sum(entry["params"] for entry in entries) == model.count_params()
    trained = sum(int(weight.value.numpy().size) for weight in model.trainable_weights)
    assert sum(entry["trainable_params"] for entry in entries) == trained
    assert json.loads(json.dumps(entries)) == entries


def test_a_chain_is_described_layer_by_layer_and_a_backbone_as_one() -> None:
    found = describe_layers(_transfer())
    assert [(entry["kind"], entry["detail"], entry["output"]) for entry in found] == [
        ("Input", "uint8", [28, 30, 3]),
        ("Resizing", "32x32 bilinear", [32, 32, 3]),
        ("RandomFlip", "", [32, 32, 3]),
        ("Rescaling", "times 1/127.5, minus 1", [32, 32, 3]),
        ("Functional", "154 layers", [1, 1, 1280]),
        ("Flatten", "", [1280]),
        ("Dropout", "rate 0.2", [1280]),
        ("Dense", "10 units, softmax", [10]),
    ]
    names = [entry["name"] for entry in found]
    assert [entry["inputs"] for entry in found] == [[], *([name] for name in names[:-1])]
    assert [entry["name"] for entry in found if not entry["trainable"]] == ["backbone"]


def test_a_partly_frozen_backbone_has_the_number_of_frozen_layers() -> None:
    backbone = _backbone(name="backbone")
    for layer in backbone.layers[:100]:
        layer.trainable = False
    found = _of(keras.Sequential([keras.Input((32, 32, 3)), backbone]))["backbone"]
    assert (found["detail"], found["trainable"]) == ("154 layers, 100 frozen", True)
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = False  # the model's own flag stays up
    assert not _of(keras.Sequential([keras.Input((32, 32, 3)), backbone]))["backbone"]["trainable"]


def test_branches_shared_layers_and_plain_operations_have_their_places() -> None:
    found = _of(_branches())
    assert found["left"]["detail"] == "4 filters 3x1, stride 2, relu" and found["left"]["output"] == [4, 4, 4]
    assert found["right"]["detail"] == "2x2" and found["right"]["inputs"] == ["picture"]
    assert found["join"]["inputs"] == ["left", "right"] and found["join"]["output"] == [4, 4, 7]
    assert found["norm"]["params"] == 28 and found["norm"]["trainable_params"] == 14
    assert found["twice"]["inputs"] == ["norm"] and found["twice"]["params"] == 56
    (halved,) = found["left"]["inputs"]
    assert found[halved]["kind"] == "TrueDivide" and found[halved]["inputs"] == ["picture"]


def test_a_model_without_a_graph_has_layers_without_shapes() -> None:
    first, second = describe_layers(_subclass())
    assert (first["detail"], first["output"], second["inputs"]) == ("3 units", None, ["first"])
