"""Which metrics a limit may name, and how TFMA computes them for each kind of label."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_types import registered_metrics
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.release import direction
from components.release.class_metrics import top_k
from components.release.label_metrics import F1, MEAN_AVERAGE_PRECISION
from components.release.one_vs_rest import OneVsRest
from components.release.score_metrics import decision_metrics
from components.task.keras_text import Catalog, class_of, parse_text, snake_case
from components.task.limits import MetricName
from components.task.task import Task
from data.errors import UsageError, first_line, unknown

ACCURACY = "sparse_categorical_accuracy"
ERROR = "mean_squared_error"
_OF_SCORES = (
    *("AUC", "AUCPrecisionRecall", "BinaryCrossEntropy", "Calibration", "CoefficientOfDiscrimination", "MaxRecall"),
    *("MeanAbsoluteError", "MeanLabel", "MeanPrediction", "MeanSquaredError", "PrecisionAtRecall"),
    *("RecallAtFalsePositiveRate", "RecallAtPrecision", "RelativeCoefficientOfDiscrimination"),
    *("SensitivityAtSpecificity", "SpecificityAtSensitivity", "ThresholdAtRecall"),
)
_OF_NUMBERS = (
    *("Calibration", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanLabel", "MeanPrediction"),
    *("MeanSquaredError", "MeanSquaredLogarithmicError", "SquaredPearsonCorrelation"),
)
_KERAS_OF_NUMBERS = ("LogCoshError", "RootMeanSquaredError")
_KERAS_OF_CLASSES = ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy")
_REFUSED = dict.fromkeys(("class_id", "top_k"), "One class is METRIC/CLASS, the right one of k answers top_5_accuracy.")
_OURS = {
    "classes": ("brier_score", "expected_calibration_error"),
    "several labels": (
        *("binary_crossentropy", "brier_score", "exact_match", "expected_calibration_error", MEAN_AVERAGE_PRECISION),
    ),
    "numbers": (),
}
_OURS_OF_EACH = {
    "classes": ("auc", "average_precision"),
    "several labels": ("auc", "average_precision"),
    "numbers": (),
}
_ALIASES = {
    "classes": {"accuracy": ACCURACY, F1: "f1_score", "crossentropy": "sparse_categorical_crossentropy"},
    "several labels": {F1: "f1_score"},
    "numbers": {"mse": ERROR, "mae": "mean_absolute_error", "rmse": "root_mean_squared_error"},
}


@dataclass(frozen=True)
class Measure:
    """A metric that has a limit.

    Attributes:
      key: Its name in TFMA's results.
      config: TFMA's metric; None: `ClassMetrics` or `LabelMetrics` have it.
      one_vs_rest: Whether the value of all classes or labels is the mean of their own values.
    """

    key: str
    config: tfma.MetricConfig | None = field(default=None, hash=False)
    one_vs_rest: bool = False

    @property
    def has_direction(self) -> bool:
        """Whether a higher or a lower value is better."""
        return direction.has_direction(self.key)

    @property
    def is_relative(self) -> bool:
        """Whether a change is a share of the value before: of errors and losses, which have no largest value."""
        return direction.is_relative(self.key)

    @property
    def is_higher_better(self) -> bool:
        """Whether a higher value is better."""
        return direction.is_higher_better(self.key)


def measure_of(task: Task, setting: str, name: MetricName) -> Measure:
    """Return the metric that a limit names.

    Args:
      task: Of the limit.
      setting: "minimum", for errors.
      name: Of the limit.

    Raises:
      UsageError: If the kind of label has no such metric, or no such metric of one class.
    """
    kind = _kind(task)
    found = _find(kind, f"evaluate.{setting}", name)
    if name.label and not found.one_vs_rest:
        raise UsageError(
            f"evaluate.{setting}: {name.metric} is a metric of all {kind} together, not of one as in '{name.text}'",
            hint=f"Of one, e.g.: recall/{name.label} is the share of its examples that are right.",
        )
    return found


def _kind(task: Task) -> str:
    return "several labels" if task.is_multi_label else "classes" if task.is_classification else "numbers"


def _find(kind: str, setting: str, name: MetricName) -> Measure:
    metric = _ALIASES[kind].get(name.metric, name.metric)
    if kind == "several labels" and metric == "average_precision" and not name.label:
        metric = MEAN_AVERAGE_PRECISION
    if metric in _OURS[kind] or kind == "classes" and top_k(metric):
        return Measure(metric)
    if metric in _OURS_OF_EACH[kind]:
        return Measure(metric, one_vs_rest=True)
    return _find_in_tfma(kind, setting, metric)


def _find_in_tfma(kind: str, setting: str, metric: str) -> Measure:
    parsed, catalog = parse_text(metric, setting), _catalog(kind)
    if catalog.find_class(parsed.name) is None:
        raise unknown(f"metric of {kind} for {setting}", parsed.name, metric_names(kind))
    cls = class_of(parsed, setting, catalog)
    key, arguments = snake_case(cls.__name__), dict(parsed.settings)
    if kind != "numbers" and key in decision_metrics() and not arguments:
        return Measure(F1 if key == "f1_score" else key, one_vs_rest=True)
    try:
        cls(**arguments)
    except (TypeError, ValueError) as error:
        hint = "Names and arguments are those of Keras."
        raise UsageError(f"{setting}: {metric} is not legal: {first_line(error)}", hint=hint) from error
    key = f"{key}({', '.join(f'{one}={value!r}' for one, value in arguments.items())})" if arguments else key
    if kind == "numbers" or issubclass(cls, tf_keras.metrics.Metric):
        return Measure(key, _config(cls.__name__, {**arguments, "name": key}))
    rest = {"metric": cls.__name__, "arguments": arguments, "name": key}
    return Measure(key, _config(OneVsRest.__name__, rest, OneVsRest.__module__), one_vs_rest=True)


def _config(name: str, settings: Mapping[str, Any], module: str = "") -> tfma.MetricConfig:
    return tfma.MetricConfig(class_name=name, module=module, config=json.dumps(settings))


def metric_names(kind: str) -> list[str]:
    """Return the names of all metrics that a limit may name.

    Args:
      kind: "classes", "several labels" or "numbers".
    """
    own = [*_OURS[kind], *_OURS_OF_EACH[kind], *_ALIASES[kind], *["top_5_accuracy"] * (kind == "classes")]
    return sorted({*own, *_catalog(kind).classes})


@functools.cache
def _catalog(kind: str) -> Catalog:
    """Return the classes of TFMA, and the few of Keras that it lacks, for a kind of label."""
    registered = registered_metrics()
    if kind == "numbers":
        found = {name: registered[name] for name in _OF_NUMBERS}
        found |= {name: getattr(tf_keras.metrics, name) for name in _KERAS_OF_NUMBERS}
    else:
        found = {name: registered[name] for name in _OF_SCORES}
        found |= {cls.__name__: cls for cls in decision_metrics().values()}
    if kind == "classes":
        found |= {name: getattr(tf_keras.metrics, name) for name in _KERAS_OF_CLASSES}
    return Catalog("metric", {snake_case(name): cls for name, cls in found.items()}, {}, _REFUSED)
