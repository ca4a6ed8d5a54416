"""Losses, metrics and their labels, compared with Keras on labels of the other form, and with scikit-learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, precision_score, roc_auc_score, top_k_accuracy_score

from components.models.adapted import AdaptedMetric
from components.models.objective import Objective, needs_one_hot, objective_of
from components.task import keras_text
from components.task.task import Task, Train
from data.errors import UsageError
from data.sources import Arrays, Csv
from data.spec import Classes, Labels, Number, Vector
from tests.tasks.tiny import TASK

CLASSES, ROWS = 4, 200
CLASSED = dataclasses.replace(TASK, source=Csv(), feature=Vector(3), label=Classes(), train=Train())
NUMBER = dataclasses.replace(CLASSED, label=Number())
SEVERAL = dataclasses.replace(CLASSED, source=Arrays(), label=Labels())
RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, CLASSES, ROWS)
LOGITS = RNG.normal(size=(ROWS, CLASSES)).astype("float32") + 2 * np.eye(CLASSES, dtype="float32")[NUMBERS]
SCORES = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).astype("float32")
HOT = np.eye(CLASSES, dtype="float32")[NUMBERS]
TWO = RNG.integers(0, 2, ROWS)
ONE_LOGIT = (RNG.normal(size=(ROWS, 1)) + 2 * TWO[:, None] - 1).astype("float32")
ONE_SCORE = (1 / (1 + np.exp(-ONE_LOGIT))).astype("float32")


def _with(task: Task, **train: Any) -> Task:
    return dataclasses.replace(task, train=Train(**train))


def _measured(objective: Objective, outputs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    found = {"loss": float(objective.loss(labels, outputs))}
    for metric in objective.metrics:
        for start in range(0, len(labels), 64):
            metric.update_state(labels[start : start + 64], outputs[start : start + 64])
        found[metric.name] = float(metric.result())
    return found


# The form of the labels


class Own(keras.metrics.Metric):
    """A user's metric, which counts the batches."""

    def __init__(self, name: str = "own", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count.assign_add(1)

    def result(self) -> Any:
        return self.count.value


class OwnF1(keras.metrics.F1Score):
    """A user's metric that is one of Keras'."""


def own_metric(labels: Any, outputs: Any) -> Any:
    return keras.ops.mean(outputs, axis=-1)


@pytest.mark.parametrize(
    ("train", "one_hot"),
    [
        ({}, False),
        ({"loss": "sparse_categorical_crossentropy"}, False),
        ({"metrics": ("accuracy",)}, False),  # as in a notebook: what is measured anyway
        ({"loss": "categorical_generalized_cross_entropy"}, False),
        ({"metrics": ("sparse_top_k_categorical_accuracy(k=2)", own_metric, Own())}, False),
        ({"loss": own_metric}, False),
        ({"label_smoothing": 0.1}, True),
        ({"loss": "categorical_crossentropy"}, True),
        ({"loss": keras.losses.CategoricalFocalCrossentropy()}, True),
        ({"loss": keras.losses.categorical_crossentropy}, True),
        ({"loss": keras.losses.KLDivergence}, True),
        ({"metrics": ("auc",)}, True),
        ({"metrics": (keras.metrics.F1Score(average="macro"),)}, True),
        ({"metrics": (OwnF1(average="macro"),)}, True),
    ],
)
def test_labels_are_one_hot_only_where_something_needs_it(train: dict[str, Any], one_hot: bool) -> None:
    task = _with(CLASSED, **train)
    assert objective_of(task, CLASSES).one_hot is one_hot and needs_one_hot(task, CLASSES) is one_hot
    assert not objective_of(_with(CLASSED, metrics=("auc",)), 1).one_hot


def test_mixed_labels_are_one_hot() -> None:
    assert objective_of(CLASSED, CLASSES, mixes=True).one_hot and needs_one_hot(CLASSED, CLASSES, mixes=True)
    assert not objective_of(CLASSED, 1, mixes=True).one_hot
    with pytest.raises(UsageError, match="circle needs class numbers, but another loss, metric or setting"):
        objective_of(_with(CLASSED, loss="circle"), CLASSES, mixes=True)
    with pytest.raises(UsageError, match="needs class numbers"):
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=1)
        objective_of(_with(CLASSED, loss=loss), CLASSES, mixes=True)


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"metrics": ("sparse_top_k_categorical_accuracy(k=2)", "sparse_categorical_crossentropy")},
        {"loss": keras.losses.SparseCategoricalCrossentropy(reduction="sum")},
    ],
)
def test_both_forms_of_the_labels_have_the_same_values(train: dict[str, Any]) -> None:
    task = _with(CLASSED, **train)
    sparse, dense = objective_of(task, CLASSES), objective_of(task, CLASSES, mixes=True)
    expected, found = _measured(sparse, SCORES, NUMBERS), _measured(dense, SCORES, HOT)
    assert found == pytest.approx(expected, rel=1e-5)
    if "metrics" in train:
        name = "sparse_top_k_categorical_accuracy"
        assert found[name] == pytest.approx(top_k_accuracy_score(NUMBERS, SCORES, k=2))
        assert found["accuracy"] == pytest.approx(np.mean(SCORES.argmax(axis=1) == NUMBERS))


# The values, by another library


def test_the_metrics_of_classes_are_those_of_scikit_learn() -> None:
    names = ("auc(num_thresholds=2000)", "f1_score(average='macro')", "precision", "categorical_crossentropy")
    found = _measured(objective_of(_with(CLASSED, metrics=names), CLASSES), SCORES, HOT)
    assert found["f1_score"] == pytest.approx(f1_score(NUMBERS, SCORES.argmax(axis=1), average="macro"))
    assert found["auc"] == pytest.approx(roc_auc_score(HOT.ravel(), SCORES.ravel()), abs=1e-3)
    assert found["precision"] == pytest.approx(precision_score(HOT.ravel(), SCORES.ravel() > 0.5))
    assert found["categorical_crossentropy"] == pytest.approx(log_loss(NUMBERS, SCORES), rel=1e-5)
    assert found["loss"] == pytest.approx(log_loss(NUMBERS, SCORES), rel=1e-5)


def test_label_smoothing_spreads_the_label() -> None:
    found = objective_of(_with(CLASSED, label_smoothing=0.2), CLASSES)
    spread = 0.8 * HOT + 0.2 / CLASSES
    assert float(found.loss(HOT, SCORES)) == pytest.approx(-(spread * np.log(SCORES)).sum(axis=1).mean(), rel=1e-5)
    two = objective_of(_with(CLASSED, label_smoothing=0.2), 1).loss
    spread_two = 0.8 * TWO[:, None] + 0.1
    expected = -(spread_two * np.log(ONE_SCORE) + (1 - spread_two) * np.log(1 - ONE_SCORE)).mean()
    assert float(two(TWO, ONE_SCORE)) == pytest.approx(expected, rel=1e-5)
    many = objective_of(_with(SEVERAL, label_smoothing=0.2), CLASSES).loss
    each = 0.8 * HOT + 0.1
    expected = -(each * np.log(SCORES) + (1 - each) * np.log(1 - SCORES)).mean()
    assert float(many(HOT, SCORES)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", [CLASSED, NUMBER], ids=["two classes", "number"])
@pytest.mark.parametrize("metric", ["hinge", "kl_divergence", "poisson", "r2_score", "mse", "f1_score(average=macro)"])
def test_one_output_is_compared_with_its_own_label(task: Task, metric: str) -> None:
    """Keras compares labels [B] with outputs [B, 1] as it would labels [B, B], or fails; the right ones are [B, 1]."""
    expected = keras_text.make_object(metric, "train.metrics", keras_text.metrics())
    expected.update_state(TWO[:, None].astype("float32"), ONE_SCORE)
    found = _measured(objective_of(_with(task, metrics=(metric,)), 1), ONE_SCORE, TWO)
    assert found[metric.partition("(")[0]] == pytest.approx(float(expected.result()), rel=1e-5)
    if metric == "mse":
        assert float(expected.result()) == pytest.approx(np.mean((TWO - ONE_SCORE[:, 0]) ** 2), rel=1e-5)


class Squared(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("loss", [Squared(), "mse", keras.losses.mean_squared_error, lambda y, p: (y - p) ** 2])
def test_one_output_of_a_loss_is_compared_with_its_own_label(loss: Any) -> None:
    task = _with(NUMBER, loss=loss, epochs=1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model.compile("sgd", objective_of(task, 1).loss)
    weights = RNG.uniform(size=ROWS)
    squares = (TWO - ONE_SCORE[:, 0].astype("float64")) ** 2
    assert model.evaluate(ONE_SCORE, TWO, verbose=0, batch_size=ROWS) == pytest.approx(squares.mean(), rel=1e-5)
    weighted = model.evaluate(ONE_SCORE, TWO, sample_weight=weights, verbose=0, batch_size=ROWS)
    assert weighted == pytest.approx((squares * weights).mean(), rel=1e-5)


# Logits

ANY = (
    "auc",
    "precision",
    "f1_score(average='macro')",
    "mse",
    "categorical_crossentropy",
    "top_k_categorical_accuracy(k=2)",
)
ONE = ("auc", "precision", "binary_crossentropy", "mse")


@pytest.mark.parametrize(
    ("task", "metrics", "logits", "scores", "labels"),
    [
        (CLASSED, (), LOGITS, SCORES, NUMBERS),
        (CLASSED, ANY, LOGITS, SCORES, HOT),
        (CLASSED, (keras.metrics.Recall(), OwnF1(average="macro")), LOGITS, SCORES, HOT),
        (CLASSED, ONE, ONE_LOGIT, ONE_SCORE, TWO),
        (SEVERAL, ("f1_score(average='macro', threshold=0.6)",), LOGITS, 1 / (1 + np.exp(-LOGITS)), HOT),
    ],
    ids=["default", "texts", "objects", "one output", "several labels"],
)
def test_logits_have_the_loss_and_the_metrics_of_their_probabilities(
    task: Task, metrics: tuple[Any, ...], logits: np.ndarray, scores: np.ndarray, labels: np.ndarray
) -> None:
    task, width = _with(task, metrics=metrics), logits.shape[1]
    expected = _measured(objective_of(task, width), scores, labels)
    found = _measured(objective_of(task, width, logits=True), logits, labels)
    assert found.keys() == expected.keys() == {"loss", *task.metrics}
    assert found == pytest.approx(expected, rel=2e-5)


def test_a_loss_by_name_reads_logits() -> None:
    for name in ("categorical_crossentropy", "categorical_focal_crossentropy(gamma=1.0)"):
        task = _with(CLASSED, loss=name)
        expected = _measured(objective_of(task, CLASSES), SCORES, HOT)
        assert _measured(objective_of(task, CLASSES, logits=True), LOGITS, HOT) == pytest.approx(expected, rel=2e-5)


def test_a_users_function_gets_the_outputs_as_they_are() -> None:
    found = _measured(objective_of(_with(CLASSED, metrics=(own_metric, Own())), CLASSES, logits=True), LOGITS, NUMBERS)
    assert found["own_metric"] == pytest.approx(LOGITS.mean(), abs=1e-6) and found["own"] == 4


def test_the_direction_of_a_metric_stays_known() -> None:
    metrics = objective_of(_with(CLASSED, metrics=("mse", "auc")), 1, logits=True).metrics
    assert [one._direction for one in metrics] == ["up", "down", "up"]
    assert all(isinstance(one, AdaptedMetric) for one in metrics)


def test_a_metric_of_logits_needs_logits() -> None:
    task = _with(CLASSED, metrics=("binary_crossentropy(from_logits=True)",))
    assert _measured(objective_of(task, 1, logits=True), ONE_LOGIT, TWO)["binary_crossentropy"] == pytest.approx(
        log_loss(TWO, ONE_SCORE), rel=1e-5
    )
    with pytest.raises(UsageError, match="binary_crossentropy has from_logits=True, but the model gives probabilities"):
        objective_of(task, 1)


# The objects


def test_metrics_are_new_ones_and_losses_keep_their_settings() -> None:
    mine, loss = keras.metrics.AUC(num_thresholds=50), keras.losses.CategoricalCrossentropy(label_smoothing=0.25)
    mine.update_state([0, 1], [0.1, 0.9])
    task = _with(CLASSED, metrics=(mine, keras.metrics.MeanMetricWrapper(own_metric, name="wrapped")), loss=loss)
    first, second = objective_of(task, CLASSES), objective_of(task, CLASSES)
    assert first.loss is loss
    assert [one.name for one in first.metrics] == ["accuracy", "auc", "wrapped"] == [*task.metrics]
    for one, other in zip(first.metrics, second.metrics, strict=True):
        assert one is not other and one.name == other.name
    assert first.metrics[1].num_thresholds == 50 and not first.metrics[1].true_positives.numpy().any()


@pytest.mark.parametrize(
    ("task", "width", "train", "words"),
    [
        (
            CLASSED,
            1,
            {"loss": "categorical_crossentropy"},
            "train.loss: CategoricalCrossentropy compares the outputs of",
        ),
        (CLASSED, 1, {"metrics": ("top_k_categorical_accuracy",)}, "train.metrics: TopKCategoricalAccuracy compares"),
        (NUMBER, 1, {"loss": "sparse_categorical_crossentropy"}, "but the model of 'tiny' has one output"),
        (SEVERAL, 3, {"loss": "sparse_categorical_crossentropy"}, "needs one class number for each example, but"),
        (SEVERAL, 3, {"metrics": ("sparse_categorical_accuracy",)}, "the label of 'tiny' has several labels"),
    ],
)
def test_what_does_not_fit_the_label_is_refused(task: Task, width: int, train: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        objective_of(_with(task, **train), width)
    assert words in str(caught.value) and "Binary" in caught.value.hint
