from __future__ import annotations

from typing import Any

import keras
import pytest

from components.task.metric_names import metric_name, name_metrics
from data.errors import UsageError


def certainty(labels: Any, outputs: Any) -> Any:
    return outputs


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("auc", "auc"),
        ("AUC", "auc"),
        ("auc(name='area')", "area"),
        ("mse", "mse"),  # as in Keras
        ("f1_score(average=macro)", "f1_score"),
        ("keras.metrics.BinaryAccuracy", "binary_accuracy"),
        ("sparse_top_k_categorical_accuracy(k=3)", "sparse_top_k_categorical_accuracy"),
        (keras.metrics.AUC(name="area"), "area"),
        (keras.metrics.F1Score, "f1_score"),
        (certainty, "certainty"),
    ],
)
def test_the_name_is_that_of_keras_history(metric: Any, name: str) -> None:
    assert metric_name(metric) == name
    if isinstance(metric, keras.metrics.Metric):
        assert metric.name == name


def test_a_name_has_no_number() -> None:
    """Keras numbers the objects of a process: in another one the same metric would have another name."""
    first, second = keras.metrics.Recall(), keras.metrics.Recall()
    assert first.name != second.name and metric_name(first) == metric_name(second) == "recall"


def test_metrics_of_a_notebook_that_the_label_has_anyway_are_not_added() -> None:
    assert name_metrics(("accuracy",), ("accuracy", "auc")) == ("accuracy", "auc")
    assert name_metrics(("mae",), ("mae", "mse")) == ("mae", "mse")


@pytest.mark.parametrize(
    ("of_label", "own", "words"),
    [
        (("accuracy",), ("auc", keras.metrics.AUC()), "train.metrics has two metrics 'auc'"),
        (("binary_accuracy", "auc"), ("auc",), "train.metrics has two metrics 'auc'; binary_accuracy, auc are there"),
        (("accuracy",), ("auc(name='loss')",), "two metrics 'loss'"),
        (("mae",), ("accuracy",), "train.metrics: accuracy is for classes"),
        (("accuracy",), ("f1_score",), "train.metrics: f1_score gives a number for each class without an average"),
        (("accuracy",), ("acuracy",), "no metric for train.metrics 'acuracy'. Did you mean 'accuracy'?"),
    ],
)
def test_metrics_that_cannot_be_told_apart_are_refused(of_label: Any, own: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        name_metrics(of_label, own)
    assert words in str(caught.value) and "\n" not in str(caught.value) and caught.value.hint
