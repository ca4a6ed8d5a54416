from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from components.models import build as compiling
from components.models.augment_layer import Augment
from components.task.task import Task, Train
from data.augmentation.config import Augmentation
from data.errors import UsageError
from data.sources import Arrays, Csv
from data.spec import Classes, Feature, Labels, Number, Vector
from tests.tasks.tiny import TASK

SIZE = 4
ROWS = dataclasses.replace(TASK, source=Csv(), feature=Vector(SIZE), label=Classes(), train=Train(epochs=2))
NUMBERS = dataclasses.replace(ROWS, label=Number())
SEVERAL = dataclasses.replace(ROWS, source=Arrays(), label=Labels())


def _ends_with(*layers: Callable[[], Any]) -> Callable[[Feature, int], keras.Model]:
    def build(feature: Feature, classes: int) -> keras.Model:
        return keras.Sequential([keras.Input(feature.shape), keras.layers.Flatten(), *(make() for make in layers)])

    return build


def _task(task: Task, width: int, activation: str | None) -> Task:
    return dataclasses.replace(task, model=_ends_with(lambda: keras.layers.Dense(width, activation)))


# The contract of a model


@pytest.mark.parametrize(
    ("task", "width", "activation", "classes"),
    [
        (ROWS, 3, "softmax", 3),
        (ROWS, 2, "softmax", 2),
        (ROWS, 1, "sigmoid", 2),
        (NUMBERS, 1, None, 0),
        (SEVERAL, 3, "sigmoid", 3),
        (SEVERAL, 2, "sigmoid", 2),
        (SEVERAL, 1, "sigmoid", 1),
        (TASK, 3, "softmax", 3),
        (TASK, 1, "sigmoid", 2),
        (ROWS, 3, None, 3),
        (ROWS, 1, None, 2),
        (SEVERAL, 2, None, 2),
        (TASK, 2, None, 2),
    ],
)
def test_a_model_that_keeps_the_contract_is_accepted(
    task: Task, width: int, activation: str | None, classes: int
) -> None:
    task = _task(task, width, activation)
    assert compiling.build_for_training(task, classes).output_shape == (None, width)


@pytest.mark.parametrize(
    ("width", "activation", "classes", "words"),
    [
        (4, "softmax", 3, "gives ('N', 4) for 3 classes, expected [N, 3]"),
        (1, "sigmoid", 3, "gives ('N', 1) for 3 classes, expected [N, 3]"),
        (3, "softmax", 2, "gives ('N', 3) for 2 classes, expected [N, 1] or [N, 2]"),
        (2, None, 0, "gives ('N', 2) for 0 classes, expected [N, 1]"),
        (3, "sigmoid", 3, "gives neither probabilities"),  # each in 0..1, but not of sum 1
        (3, "relu", 3, "gives neither probabilities"),
        (2, "tanh", 2, "gives neither probabilities"),
    ],
)
@pytest.mark.parametrize("task", [ROWS, TASK], ids=["numbers", "pictures"])
def test_a_model_that_breaks_the_contract_is_rejected_in_one_line(
    task: Task, width: int, activation: str | None, classes: int, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        compiling.build_for_training(_task(task, width, activation), classes)
    assert str(caught.value).startswith("the model of task 'tiny' ") and words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("softmax" in caught.value.hint) == ("probabilities" in words)


SOFTMAX = "ends in a softmax; several labels need a sigmoid each"
UNBOUNDED = "does not give a probability (0 to 1) for each label"


@pytest.mark.parametrize(
    ("last", "labels", "words"),
    [
        ([lambda: keras.layers.Dense(3, "softmax")], 3, SOFTMAX),
        ([lambda: keras.layers.Dense(1, "softmax")], 1, SOFTMAX),  # always 1
        ([lambda: keras.layers.Dense(1), keras.layers.Softmax], 1, SOFTMAX),
        ([lambda: keras.layers.Dense(3), lambda: keras.layers.Activation("softmax")], 3, SOFTMAX),
        ([lambda: keras.layers.Lambda(lambda rows: keras.ops.softmax(rows[:, :3]))], 3, SOFTMAX),
        ([lambda: keras.layers.Dense(3), lambda: keras.layers.Rescaling(1)], 3, UNBOUNDED),
        ([lambda: keras.layers.Dense(3, "tanh")], 3, UNBOUNDED),
        ([lambda: keras.layers.Dense(1, "sigmoid")], 2, "gives ('N', 1) for 2 labels, expected [N, 2]"),
        ([lambda: keras.layers.Dense(2, "sigmoid")], 3, "gives ('N', 2) for 3 labels, expected [N, 3]"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
def test_a_model_without_a_sigmoid_for_each_label_is_rejected(
    last: list[Callable[[], Any]], labels: int, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        compiling.build_for_training(dataclasses.replace(SEVERAL, model=_ends_with(*last)), labels)
    assert str(caught.value) == f"the model of task 'tiny' {words}"
    assert ("model.activation=sigmoid" in caught.value.hint) == (words in (SOFTMAX, UNBOUNDED))


def test_saturated_sigmoids_are_no_softmax() -> None:
    """One is always 1, the other always 0."""
    bias = keras.initializers.RandomUniform(-1e4, 1e4, seed=3)
    last = _ends_with(lambda: keras.layers.Dense(2, "sigmoid", kernel_initializer="zeros", bias_initializer=bias))
    model = compiling.build_for_training(dataclasses.replace(SEVERAL, model=last), 2)
    assert sorted(model.predict(np.zeros((1, SIZE)), verbose=0)[0]) == [0, 1]


def test_an_output_of_another_rank_is_rejected() -> None:
    task = dataclasses.replace(ROWS, model=_ends_with(lambda: keras.layers.Reshape((2, 2))))
    with pytest.raises(UsageError, match=r"gives \('N', 2, 2\) for 3 classes, expected \[N, 3\]"):
        compiling.build_for_training(task, 3)


# The loss


LABELS = np.array([0, 1, 1, 0, 1, 1, 0, 1])


def _by_hand(outputs: np.ndarray, labels: np.ndarray, kind: str) -> float:
    if kind == "number":
        return float(np.mean((outputs[:, 0] - labels) ** 2))
    right = outputs[np.arange(len(labels)), labels] if kind == "softmax" else np.abs(1 - labels - outputs[:, 0])
    return float(-np.mean(np.log(right)))


@pytest.mark.parametrize(
    ("task", "width", "activation", "classes", "kind", "metric"),
    [
        (ROWS, 3, "softmax", 3, "softmax", "accuracy"),
        (ROWS, 2, "softmax", 2, "softmax", "accuracy"),
        (ROWS, 1, "sigmoid", 2, "sigmoid", "accuracy"),
        (NUMBERS, 1, None, 0, "number", "mae"),
    ],
)
def test_the_loss_fits_the_output(
    task: Task, width: int, activation: str | None, classes: int, kind: str, metric: str
) -> None:
    features = np.random.default_rng(1).normal(size=(8, SIZE)).astype("float32")
    model = compiling.build_for_training(_task(task, width, activation), classes)
    outputs = model.predict(features, verbose=0)
    found = model.evaluate(features, LABELS, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(_by_hand(outputs, LABELS, kind), rel=1e-5)
    if metric == "mae":
        assert found["mae"] == pytest.approx(np.mean(np.abs(outputs[:, 0] - LABELS)), rel=1e-5)
    else:
        answers = outputs.argmax(axis=1) if width > 1 else outputs[:, 0] > 0.5
        assert found["accuracy"] == pytest.approx(np.mean(answers == LABELS))


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_the_loss_and_the_metrics_of_several_labels(labels: int) -> None:
    """The mean of all cells' binary cross-entropies; the areas are scikit-learn's up to Keras' 200 thresholds."""
    rng = np.random.default_rng(labels)
    features = rng.normal(size=(400, SIZE)).astype("float32")
    truth = (features @ rng.normal(size=(SIZE, labels)) + rng.normal(size=(400, labels)) > 0.5).astype("float32")
    model = compiling.build_for_training(_task(SEVERAL, labels, "sigmoid"), labels)
    scores = model.predict(features, verbose=0)
    found = model.evaluate(features, truth, verbose=0, return_dict=True)
    right = np.where(truth == 1, scores, 1 - scores).astype("float64")
    assert found.keys() == {"loss", *SEVERAL.metrics}
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)
    assert found["binary_accuracy"] == pytest.approx(((scores > 0.5) == truth).mean(), rel=1e-6)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=5e-3)
    assert found["pr_auc"] == pytest.approx(average_precision_score(truth, scores), abs=1e-2)


def test_the_optimizer_is_the_one_asked_for() -> None:
    task = dataclasses.replace(_task(ROWS, 3, "softmax"), train=Train(optimizer="rmsprop", learning_rate=0.125))
    optimizer = compiling.build_for_training(task, 3).optimizer
    assert isinstance(optimizer, keras.optimizers.RMSprop) and float(optimizer.learning_rate) == 0.125


# The augmentation


def test_the_augmentation_is_in_training_only_and_never_in_what_is_served() -> None:
    task = dataclasses.replace(TASK, augment=Augmentation(rotation_range=90.0, fill_mode="constant"))
    keras.utils.set_random_seed(0)
    model = compiling.build_for_training(task, 2)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    core = compiling.without_augmentation(model)
    assert any(isinstance(layer, Augment) for layer in model.layers)
    assert not any(isinstance(layer, Augment) for layer in compiling.flat_layers(core))
    np.testing.assert_array_equal(model(pixels, training=False), core(pixels))
    assert not np.allclose(model(pixels, training=True), core(pixels))
    assert model.count_params() == core.count_params()


def test_a_model_without_it_is_served_as_it_is() -> None:
    """Also a model that contains the augmentation layer itself."""
    own = _ends_with(lambda: keras.layers.Dense(2, "softmax"))(TASK.feature, 2)
    assert compiling.without_augmentation(own) is own
    inputs = keras.Input(TASK.feature.shape, dtype="uint8")
    flat = keras.layers.Flatten()(Augment(Augmentation(rotation_range=9.0))(inputs))
    mine = keras.Model(inputs, keras.layers.Dense(2, "softmax")(flat))
    assert compiling.without_augmentation(mine) is mine


def test_only_pictures_can_be_augmented() -> None:
    with pytest.raises(UsageError, match="only pictures can be augmented"):
        dataclasses.replace(ROWS, augment=Augmentation(rotation_range=9.0))
