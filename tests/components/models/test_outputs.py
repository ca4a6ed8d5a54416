"""Whether a model ends in logits, and the model whose outputs are always probabilities."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from components.models.conv_net import ConvNet
from components.models.outputs import ends_in_logits, last_activation, with_probabilities
from components.models.transfer import Transfer
from components.task.task import Task, Train
from data.errors import UsageError
from data.sources import Arrays, Csv
from data.spec import Image, Label, Labels, Number, Vector
from tests.tasks.tiny import TASK

SIZE = 4
ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(SIZE))
LOGITS = "ends in logits (its last layer is linear), but train.loss has from_logits=False"


def _task(label: Label | None = None, loss: Any = "") -> Task:
    changes: dict[str, Any] = {"source": Arrays(), "label": label} if isinstance(label, Labels) else {}
    changes |= {"label": label} if label else {}
    return dataclasses.replace(ROWS, **changes, train=Train(loss=loss))


def _model(*last: Any) -> keras.Model:
    return keras.Sequential([keras.Input((SIZE,)), keras.layers.Dense(5, "relu"), *last])


def _functional(last: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input((SIZE,))
    return keras.Model(inputs, last(keras.layers.Dense(3)(inputs)))


class _OwnCall(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.last = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return keras.ops.softmax(self.last(inputs))


Dense, Activation, Lambda = keras.layers.Dense, keras.layers.Activation, keras.layers.Lambda


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: _model(Dense(3)), "linear"),
        (lambda: _model(Dense(3, "linear")), "linear"),
        (lambda: _model(Dense(3, "softmax")), "softmax"),
        (lambda: _model(Dense(3), keras.layers.Softmax()), "softmax"),
        (lambda: _model(Dense(3), Activation("sigmoid"), Activation("linear", dtype="float32")), "sigmoid"),
        (lambda: _model(Dense(3), Activation("linear"), keras.layers.Reshape((3,))), "linear"),
        (lambda: _model(keras.layers.Reshape((1, 5)), Dense(3, "softmax"), keras.layers.Flatten()), "softmax"),
        (lambda: _model(Dense(3, "relu")), "relu"),
        (lambda: _model(Dense(3), keras.layers.BatchNormalization()), ""),
        (lambda: _model(Dense(3), Lambda(lambda rows: keras.ops.softmax(rows))), ""),
        (lambda: _functional(keras.ops.softmax), "softmax"),
        (lambda: _functional(keras.ops.sigmoid), "sigmoid"),
        (lambda: _functional(lambda rows: rows / 2), ""),
        (lambda: _functional(_model_of_three), "softmax"),
        (lambda: _functional(_OwnCall()), ""),
    ],
)
def test_the_last_activation_of_a_graph_is_seen(make: Callable[[], keras.Model], name: str) -> None:
    assert last_activation(make()) == name


def _model_of_three(rows: Any) -> Any:
    """Apply a nested model, which is also called with other inputs, and something that changes no value."""
    nested = keras.Sequential([Dense(3, "softmax"), Activation("linear")])
    nested(keras.Input((3,)))
    return keras.layers.Identity()(nested(rows))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("", True),
        ("categorical_hinge", True),
        ("sparse_categorical_crossentropy(from_logits=True)", True),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), True),
        (functools.partial(keras.losses.sparse_categorical_crossentropy, from_logits=True), True),
        (lambda truth, outputs: outputs[:, 0], True),
        ("sparse_categorical_crossentropy(from_logits=False)", LOGITS),
        (keras.losses.SparseCategoricalCrossentropy(), LOGITS),
        (keras.losses.sparse_categorical_crossentropy, LOGITS),
    ],
)
def test_a_linear_last_layer_gives_logits_unless_the_loss_contradicts(loss: Any, expected: bool | str) -> None:
    if isinstance(expected, bool):
        assert ends_in_logits(_model(Dense(3)), _task(loss=loss)) is expected
        return
    with pytest.raises(UsageError) as caught:
        ends_in_logits(_model(Dense(3)), _task(loss=loss))
    assert str(caught.value) == f"the model of task 'tiny' {expected}" and "from_logits=True" in caught.value.hint


def test_two_softmaxes_are_refused() -> None:
    stated = _task(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(UsageError, match="ends in a softmax, but train.loss has from_logits=True, which adds another"):
        ends_in_logits(_model(Dense(3, "softmax")), stated)
    assert ends_in_logits(_model(Dense(3), keras.layers.Rescaling(0.5)), stated)  # scaled by a temperature
    plain = _task(loss=keras.losses.SparseCategoricalCrossentropy())
    assert not ends_in_logits(_model(Dense(3, "softmax")), plain)


def test_a_number_is_no_logit() -> None:
    model, task = _model(Dense(1)), _task(Number())
    assert not ends_in_logits(model, task) and with_probabilities(model, task) is model


@pytest.mark.parametrize(("width", "label"), [(3, None), (1, None), (3, Labels()), (1, Labels())])
def test_the_outputs_become_probabilities_in_float32(width: int, label: Label | None) -> None:
    model, task = _model(Dense(width, dtype="float16")), _task(label)
    rows = np.random.default_rng(0).normal(size=(6, SIZE)).astype("float32")
    found, logits = with_probabilities(model, task), model.predict(rows, verbose=0).astype("float64")
    exponentials = np.exp(logits)
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    expected = 1 / (1 + np.exp(-logits)) if label or width == 1 else softmax
    assert found.output.dtype == "float32"
    np.testing.assert_allclose(found(rows), expected, rtol=1e-5)
    assert [id(one) for one in found.weights] == [id(one) for one in model.weights]
    again = with_probabilities(found, task)
    assert again is found
    sure = _model(Dense(width, "sigmoid" if label or width == 1 else "softmax"))
    assert with_probabilities(sure, task) is sure


@pytest.mark.parametrize("classes", [2, 3])
def test_our_models_end_in_logits_if_asked_to(classes: int) -> None:
    task = dataclasses.replace(TASK, feature=Image(32, 32))
    for model in (
        ConvNet(filters=(4,), dense=4, activation="linear"),
        Transfer("MobileNetV2", weights="none", alpha=0.35, dense=0, activation="linear"),
    ):
        built = model(task.feature, classes)
        assert built.output_shape == (None, classes) and ends_in_logits(built, task)
