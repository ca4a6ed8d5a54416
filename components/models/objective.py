"""What training minimizes and measures: the loss, the metrics, and the labels that they need.

The labels of classes are class numbers [B], as the reader has them, unless something needs a row for each example,
one-hot [B, C]: label smoothing, an augmentation that mixes labels, and Keras' losses and metrics that are not sparse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from components.models.adapted import AdaptedLoss, AdaptedMetric, columns, same
from components.task import keras_text
from components.task.keras_config import config_of, copy_of
from components.task.metric_names import added_metrics, metric_name
from components.task.task import Task
from data.errors import UsageError

SPARSE = {
    keras.losses.SparseCategoricalCrossentropy: keras.losses.CategoricalCrossentropy,
    keras.metrics.SparseCategoricalCrossentropy: keras.metrics.CategoricalCrossentropy,
    keras.metrics.SparseCategoricalAccuracy: keras.metrics.CategoricalAccuracy,
    keras.metrics.SparseTopKCategoricalAccuracy: keras.metrics.TopKCategoricalAccuracy,
}
"""Losses and metrics of class numbers, and their counterparts for one-hot labels."""
OF_NUMBERS = {*SPARSE, keras.losses.Circle, keras.losses.CategoricalGeneralizedCrossEntropy}
_OF_CLASSES = ("Sparse", "Categorical", "TopK", "OneHot", "Circle")  # first words of what compares several outputs
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
    one_hot: bool = False


def objective_of(task: Task, width: int, logits: bool = False, mixes: bool = False) -> Objective:
    """Return the objective of a task.

    Args:
      task: With the label and the settings of training.
      width: Width of the model's output.
      logits: Whether the output is logits.
      mixes: Whether the augmentation mixes the labels of several examples.

    Raises:
      UsageError: If a loss or metric does not fit the label or the output.
    """
    usual, own = _default_metrics(task, width), _own_metrics(task)
    loss = _own_loss(task, width, logits)
    for one in (loss, *own):
        _check_fit(one, task, width)
    found = Objective(loss or _default_loss(task, width, logits), (*usual, *own))
    smoothing, is_wide = task.train.label_smoothing, task.is_classification and width > 1
    if _is_one_hot(task, width, mixes, [loss, *own]):
        found = Objective(_of_rows(found.loss), tuple(map(_of_rows, found.metrics)), one_hot=True)
    if smoothing:
        found = replace(found, loss=copy_of(found.loss, "train.loss", label_smoothing=smoothing))
    probabilities = _activation(is_wide) if logits else same
    labels = columns if width == 1 else same
    ours, theirs = found.metrics[: len(usual)], found.metrics[len(usual) :]
    metrics = [_adapted(one, same, probabilities) for one in ours]
    metrics += [_adapted(one, labels, probabilities) for one in theirs]
    return replace(found, metrics=tuple(metrics))


def needs_one_hot(task: Task, width: int, mixes: bool = False) -> bool:
    """Return whether the labels of training are one-hot: `Objective.one_hot`.

    Args:
      task: With the label and the settings of training.
      width: Width of the model's output.
      mixes: Whether the augmentation mixes the labels of several examples.
    """
    return _is_one_hot(task, width, mixes, [_own_loss(task, width, False), *_own_metrics(task)])


def _is_one_hot(task: Task, width: int, mixes: bool, own: Iterable[Any]) -> bool:
    wanted = mixes or task.train.label_smoothing > 0 or any(map(_needs_rows, own))
    return wanted and task.is_classification and width > 1


def check_results(results: Mapping[str, Any]) -> None:
    """Check that each metric gives one number.

    Args:
      results: Of the metrics by name.

    Raises:
      UsageError: If one gives a number for each class.
    """
    for name, value in results.items():
        if len(getattr(value, "shape", ())):
            raise UsageError(
                f"train.metrics: {name} gives {value.shape[0]} numbers, one for each class",
                hint="A metric of training is one number: f1_score(average='macro'), for example.",
            )


def _own_loss(task: Task, width: int, logits: bool) -> Any:
    loss: Any = task.train.loss
    if loss == "":
        return None
    if isinstance(loss, str):
        return keras_text.make_object(loss, "train.loss", keras_text.losses(), from_logits=logits)
    loss = _created(loss, keras_text.losses())
    is_own = isinstance(loss, keras.losses.Loss) and _keras_class(loss) is None
    return AdaptedLoss(loss) if is_own and width == 1 else loss  # Keras' own do so, and its wrapper of functions


def _own_metrics(task: Task) -> list[keras.metrics.Metric]:
    return [_metric(one) for one in added_metrics(task.metrics, task.train.metrics)]


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
    """Return the class of Keras that an object is or derives from; None for a function, or a class of the user's."""
    found = next((one for one in type(value).__mro__ if one.__module__.startswith("keras.")), None)
    return None if found is None or found.__name__ in _GENERIC else found


def _check_fit(value: Any, task: Task, width: int) -> None:
    """Check that a loss or metric of Keras fits the label.

    Raises:
      UsageError: If it compares the outputs of several classes, but there is one output; or if it needs class numbers,
        but the label is several labels.
    """
    cls = _keras_class(value)
    name = cls.__name__ if cls else ""
    setting = "train.loss" if isinstance(value, keras.losses.Loss) else "train.metrics"
    if width == 1 and name.startswith(_OF_CLASSES):
        raise UsageError(
            f"{setting}: {name} compares the outputs of several classes, but the model of '{task.name}' has one output",
            hint="For two classes with one output, what begins with Binary fits, and for example auc.",
        )
    if cls in OF_NUMBERS and not task.is_classification:
        raise UsageError(
            f"{setting}: {name} needs one class number for each example, but the label of '{task.name}' has several"
            " labels",
            hint="For several labels, what begins with Binary fits, and for example auc(multi_label=True).",
        )


def _needs_rows(value: Any) -> bool:
    """Return whether a loss or metric needs one-hot labels of several classes."""
    found = _keras_class(value)
    return found is not None and found not in OF_NUMBERS


def _of_rows(value: Any) -> Any:
    """Return the counterpart for one-hot labels of a loss or metric of Keras for class numbers; others as they are.

    Raises:
      UsageError: If it has none, or a setting that the counterpart does not have.
    """
    if _keras_class(value) not in OF_NUMBERS:
        return value
    twin, config = SPARSE.get(type(value)), config_of(value)
    if twin is None or config.pop("ignore_class", None) is not None:
        raise UsageError(
            f"{value.name} needs class numbers, but another loss, metric or setting of training needs one-hot labels",
            hint="One-hot labels are needed by label_smoothing, by an augmentation that mixes pictures, and by Keras'"
            " losses and metrics that are not sparse.",
        )
    legal = inspect.signature(twin).parameters
    return twin(**{name: setting for name, setting in config.items() if name in legal})


def _activation(is_wide: bool) -> Callable[[Any], Any]:
    """Return the function from logits to probabilities, float32."""
    function = keras.ops.softmax if is_wide else keras.ops.sigmoid
    return lambda logits: function(keras.ops.cast(logits, "float32"))


def _adapted(
    metric: keras.metrics.Metric, labels: Callable[[Any], Any], probabilities: Callable[[Any], Any]
) -> keras.metrics.Metric:
    """Return a metric that converts the labels, and if it is one of Keras', the outputs.

    Raises:
      UsageError: If it expects logits, but the outputs are probabilities.
    """
    reads_logits = getattr(metric, "from_logits", getattr(metric, "_from_logits", False))
    if reads_logits and probabilities is same:
        raise UsageError(
            f"train.metrics: {metric.name} has from_logits=True, but the model gives probabilities",
            hint="Remove from_logits=True.",
        )
    outputs = same if reads_logits or _keras_class(metric) is None else probabilities
    return metric if labels is same and outputs is same else AdaptedMetric(metric, labels, outputs)
