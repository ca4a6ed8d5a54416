"""What training minimizes and measures: the loss, the metrics, and the labels that they need.

The labels of classes are class numbers [B], as the reader has them, unless something needs a row for each example,
one-hot [B, C]: label smoothing, an augmentation that mixes labels, and Keras' losses and metrics that are not sparse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from components.models.on_probabilities import OnProbabilities
from components.task import keras_text
from components.task.keras_config import copy_of
from components.task.metric_names import added_metrics, metric_name
from components.task.task import Task
from data.errors import UsageError

SPARSE = {
    keras.losses.SparseCategoricalCrossentropy: keras.losses.CategoricalCrossentropy,
    keras.metrics.SparseCategoricalCrossentropy: keras.metrics.CategoricalCrossentropy,
    keras.metrics.SparseCategoricalAccuracy: keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy: keras.metrics.TopKCategoricalAccuracy,
}
"""Losses and metrics of class numbers, and their counterparts of one-hot labels."""
# They compare the order of the scores, which is that of the logits.
_OF_ANY_SCORES = (
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy,
    keras.metrics.TopKCategoricalAccuracy,
)
_GENERIC = ("Loss", "LossFunctionWrapper", "Metric", "Mean", "MeanMetricWrapper", "Sum")


@dataclass(frozen=True)
class Objective:
    """What training minimizes and measures.

    Attributes:
      loss: Of labels and outputs; a user's function as it is.
      metrics: Besides the loss; new ones, which nothing else updates.
      one_hot: Whether the labels of classes are one-hot, float32 [B, C]; otherwise they are class numbers, int64 [B].
    """

    loss: keras.losses.Loss | Callable[[Any, Any], Any]
    metrics: tuple[keras.metrics.Metric, ...]
    one_hot: bool


def objective_of(task: Task, width: int, logits: bool = False, mixes: bool = False) -> Objective:
    """Return the objective of a task.

    Args:
      task: With the label and the settings of training.
      width: Width of the model's output.
      logits: Whether the output is logits.
      mixes: Whether the augmentation mixes the labels of several examples.

    Raises:
      UsageError: If a loss or metric does not fit the label.
    """
    usual = _default_metrics(task, width)
    own = [_metric(one) for one in added_metrics([one.name for one in usual], task.train.metrics)]
    loss = _own_loss(task, logits)
    dense = task.is_classification and width > 1
    one_hot = dense and (task.train.label_smoothing > 0 or mixes or any(map(_needs_rows, [loss, *own])))
    found = Objective(loss or _default_loss(task, width, logits), (*usual, *own), False)
    if one_hot:
        found = replace(found, loss=_of_rows(found.loss), metrics=tuple(map(_of_rows, found.metrics)), one_hot=True)
    if task.train.label_smoothing:
        found = replace(found, loss=copy_of(found.loss, "train.loss", label_smoothing=task.train.label_smoothing))
    if logits:
        activation = keras.ops.softmax if dense else keras.ops.sigmoid
        found = replace(found, metrics=tuple(_of_logits(one, activation) for one in found.metrics))
    return found


def _from_logits(value: Any) -> bool | None:
    found = getattr(value, "from_logits", getattr(value, "_from_logits", None))
    return None if found is None else bool(found)


def _own_loss(task: Task, logits: bool) -> Any:
    loss: Any = task.train.loss
    if loss == "":
        return None
    if isinstance(loss, str):
        return keras_text.make_object(loss, "train.loss", keras_text.losses(), from_logits=logits)
    return _created(loss, keras_text.losses())


def _metric(metric: Any) -> keras.metrics.Metric:
    """Return a new metric with the settings of a task's."""
    name = metric_name(metric)
    if isinstance(metric, str):
        return keras_text.make_object(metric, "train.metrics", keras_text.metrics(), name=name)
    metric = _created(metric, keras_text.metrics())
    if isinstance(metric, keras.metrics.Metric):
        return copy_of(metric, "train.metrics", name=name)
    return keras.metrics.MeanMetricWrapper(metric, name=name)


def _created(value: Any, catalog: keras_text.Catalog) -> Any:
    """Create the object of a class, and that of a function of Keras that has a class of the same name."""
    if inspect.isclass(value):
        return value()
    if (getattr(value, "__module__", "") or "").startswith("keras."):
        cls = catalog.find_class(getattr(value, "__name__", ""))
        return cls() if cls else value
    return value


def _default_loss(task: Task, width: int, logits: bool) -> keras.losses.Loss:
    if not (task.is_classification or task.is_multi_label):
        return keras.losses.MeanSquaredError()
    if task.is_multi_label or width == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def _default_metrics(task: Task, width: int) -> list[keras.metrics.Metric]:
    """Return the metrics of the label, `Task.metrics`.

    Of several labels, the areas are means over the labels. Keras approximates them with 200 thresholds, and counts a
    label without a positive example as 0. The Evaluator's are exact, and leave such a label out.
    """
    if task.is_multi_label:
        return [
            keras.metrics.BinaryAccuracy("binary_accuracy"),
            keras.metrics.AUC(multi_label=True, num_labels=width, name="auc"),
            keras.metrics.AUC(curve="PR", multi_label=True, num_labels=width, name="pr_auc"),
        ]
    if not task.is_classification:
        return [keras.metrics.MeanAbsoluteError("mae")]
    accuracy = keras.metrics.BinaryAccuracy if width == 1 else keras.metrics.SparseCategoricalAccuracy
    return [accuracy("accuracy")]


def _keras_class(value: Any) -> type | None:
    """Return the class of Keras that an object is or derives from; None for a user's own."""
    found = next((one for one in type(value).__mro__ if one.__module__.startswith("keras.")), None)
    return None if found is None or found.__name__ in _GENERIC else found


def _needs_rows(value: Any) -> bool:
    """Return whether a loss or metric needs one-hot labels of several classes."""
    found = _keras_class(value)
    return found is not None and found not in SPARSE


def _of_rows(value: Any) -> Any:
    """Return the counterpart for one-hot labels of a loss or metric of Keras for class numbers; others as they are.

    Raises:
      UsageError: If it has a setting that only class numbers allow.
    """
    twin = SPARSE.get(type(value))
    if twin is None:
        return value
    config = dict(value.get_config())
    ignored = config.pop("ignore_class", None)
    if ignored is not None:
        raise UsageError(
            f"{value.name}: ignore_class needs class numbers, but another loss, metric or setting needs one-hot labels"
        )
    legal = inspect.signature(twin).parameters
    return twin(**{name: setting for name, setting in config.items() if name in legal})


def _of_logits(metric: keras.metrics.Metric, activation: Any) -> keras.metrics.Metric:
    """Return the metric of the probabilities, of which the model gives the logits."""
    if _keras_class(metric) in (None, *_OF_ANY_SCORES) or _from_logits(metric):
        return metric
    return OnProbabilities(metric, activation)
