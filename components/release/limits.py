"""The limits of a task as TFMA's thresholds, and back: which limits TFMA found violated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from google.protobuf import wrappers_pb2

from components.release.label_metrics import MEAN_AVERAGE_PRECISION
from components.release.measures import ACCURACY, ERROR, Measure, measure_of
from components.task.limits import EACH, MetricName, parse_name
from components.task.task import Task
from data.errors import UsageError
from data.spec import LABEL

ROUNDING = 1e-6  # TFMA's metrics are float32: 7 of 10 is 0.69999999, which must pass a limit of 0.7
DECIDING = {ACCURACY: "min_accuracy", MEAN_AVERAGE_PRECISION: "min_average_precision", ERROR: "max_error"}


def metric_of(task: Task) -> str:
    """Return TFMA's name of the metric that decides without limits by metric."""
    if task.is_multi_label:
        return MEAN_AVERAGE_PRECISION
    return ACCURACY if task.is_classification else ERROR


@dataclass(frozen=True)
class Limit:
    """One limit of a task.

    Attributes:
      measure: The metric.
      name: What it applies to.
      setting: The setting that has it: "minimum", "min_accuracy".
      kind: "minimum", "maximum" or "max_drop".
      value: As in the settings.
      is_by_metric: Whether the setting has limits by metric.
    """

    measure: Measure
    name: MetricName
    setting: str
    kind: str
    value: float
    is_by_metric: bool = False

    def threshold(self) -> tfma.MetricThreshold:
        """Return TFMA's threshold, with a margin for rounding."""
        if self.kind == "max_drop":
            return tfma.MetricThreshold(change_threshold=self._change())
        margin = ROUNDING * (abs(self.value) if self.measure.is_relative else max(1.0, abs(self.value)))
        if self.kind == "minimum":
            bound = {"lower_bound": wrappers_pb2.DoubleValue(value=self.value - margin)}
        else:
            bound = {"upper_bound": wrappers_pb2.DoubleValue(value=self.value + margin)}
        return tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(**bound))

    def _change(self) -> tfma.GenericChangeThreshold:
        drop = wrappers_pb2.DoubleValue(value=self.value + ROUNDING)
        if self.measure.is_relative:
            return tfma.GenericChangeThreshold(direction=tfma.MetricDirection.LOWER_IS_BETTER, relative=drop)
        if self.measure.is_higher_better:
            drop.value *= -1
            return tfma.GenericChangeThreshold(direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute=drop)
        return tfma.GenericChangeThreshold(direction=tfma.MetricDirection.LOWER_IS_BETTER, absolute=drop)

    def slices(self, features: Sequence[str]) -> list[tfma.SlicingSpec]:
        """Return the slices that it applies to.

        Args:
          features: By which the evaluation is sliced.
        """
        if not self.name.feature:
            return [tfma.SlicingSpec()]
        if self.name.feature != EACH:
            return [tfma.SlicingSpec(feature_values={self.name.feature: self.name.value})]
        # In a slice of one class, there are no examples of other classes to compare with.
        return [tfma.SlicingSpec(feature_keys=[name]) for name in features if name != LABEL or self.is_in_one_class]

    @property
    def is_in_one_class(self) -> bool:
        """Whether the metric means something for the examples of a single class."""
        return not self.measure.one_vs_rest


def sliced_features(task: Task) -> list[str]:
    """Return the features by which TFMA slices.

    "label" is the default, but numbers have no slices by it. Of several labels, each has metrics on all examples: a
    slice of the examples with the label would have no negative one.
    """
    return [name for name in task.slices if task.is_classification or name != LABEL]


def limits_of(task: Task) -> list[Limit]:
    """Return the limits; the first is the lowest (largest) value of the metric that decides.

    Raises:
      UsageError: If a metric does not exist for the kind of label, or cannot have the limit.
    """
    found = [*_shorthands(task), *_by_metric(task)]
    features = sliced_features(task)
    for limit in found:
        _check(limit, features)
    return found


def _shorthands(task: Task) -> Iterator[Limit]:
    metric, settings = metric_of(task), task.evaluate
    name, setting = parse_name(metric, "evaluate"), DECIDING[metric]
    measure = measure_of(task, setting, name)
    if metric == ERROR:
        largest = float("inf") if settings.max_error is None else settings.max_error
        yield Limit(measure, name, setting, "maximum", largest)
    else:
        yield Limit(measure, name, setting, "minimum", getattr(settings, setting))
    if not isinstance(settings.max_drop, Mapping):
        yield Limit(measure, name, "max_drop", "max_drop", settings.max_drop)


def _by_metric(task: Task) -> Iterator[Limit]:
    for setting, name in task.evaluate.names():
        value = getattr(task.evaluate, setting)[name.text]
        yield Limit(measure_of(task, setting, name), name, setting, setting, value, is_by_metric=True)


def _check(limit: Limit, features: Sequence[str]) -> None:
    name, setting = limit.name, f"evaluate.{limit.setting}"
    if limit.kind == "max_drop" and not limit.measure.has_direction:
        raise UsageError(
            f"{setting}: neither higher nor lower is better for {name.metric}", hint="Give it a minimum and a maximum."
        )
    if name.feature == LABEL and not limit.is_in_one_class:
        raise UsageError(
            f"{setting}: {name.metric} compares classes, and a slice of one class has no other, as in '{name.text}'",
            hint=f"For one class against all others write {name.metric}/{name.value}",
        )
    if name.feature == EACH and not limit.slices(features):
        raise UsageError(
            f"{setting}: there are no slices for '{name.text}'",
            hint="Name features, e.g. --set evaluate.slices=label,image/format",
        )
