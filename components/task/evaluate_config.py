"""The settings of the Evaluator: what a model must reach to be pushed, and the slices of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from components.task.limits import EACH, MetricName, parse_name
from data.errors import UsageError, unknown
from data.fields import check_fields
from data.records import FACTS
from data.spec import LABEL, Classes, Feature, Image, Label, Labels, Number

SOURCE = "image/source"
_SHORTHANDS = {
    Classes: ("classes", "min_accuracy"),
    Labels: ("several labels", "min_average_precision"),
    Number: ("a number", "max_error"),
}
_MAPPINGS = ("minimum", "maximum", "max_drop")


@dataclass(frozen=True)
class Evaluate:
    """Limits that a model must meet to be pushed.

    The names in `minimum`, `maximum` and `max_drop` are TFMA's metrics in snake case ("auc", "precision", "f1_score"),
    with arguments in parentheses where a metric has some ("recall_at_precision(precision=0.9)"). After
    a metric, "/CLASS" means one class or label against all others; without it, the mean over all of them. After that,
    "@FEATURE=VALUE" means the examples with this value, "@*" each slice; without it, all examples together. A slice of
    a few pictures can block a better model by chance: limit only slices that are large enough. Metrics are reported for
    every slice.

    Attributes:
      min_accuracy: Lowest accuracy, 0 to 1, for classes: the same as `minimum={"accuracy": ...}`.
      min_average_precision: Lowest mean average precision, 0 to 1, for several labels: the mean over the labels that
        have an example.
      max_error: Largest mean squared error, for numbers; None: no limit.
      minimum: Lowest value by metric: {"auc": 0.9, "recall/rose": 0.8, "accuracy@image/format=PNG": 0.7}.
      maximum: Largest value by metric: {"expected_calibration_error": 0.05}.
      max_drop: How much worse than the last blessed model the new one may be: the difference of the values, or, for
        errors and losses, which have no largest value, the increase as a share of the last model's value. A number
        limits the accuracy, the mean average precision, or the mean squared error. By metric, {"auc": 0.01,
        "recall/rose": 0.05}, only the metrics that are named are compared.
      slices: Features whose values define the slices: "label" for classes, and for pictures the facts in their
        records: "image/format", "image/channels", "image/width", "image/height" and "image/bytes". With several labels,
        "label" gives the metrics of each label on all examples. A number has no slices by label: each value would be a
        slice, so the default means none. The default adds the columns that the source keeps (`ImageTable.slices`). A
        feature of a limit is added, too.
      split: "eval", or "test" if the data have this split.
    """

    min_accuracy: float = 0.0
    min_average_precision: float = 0.0
    max_error: float | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    max_drop: float | Mapping[str, float] = 0.0
    slices: tuple[str, ...] = (LABEL,)
    split: Literal["eval", "test"] = "eval"

    def __post_init__(self) -> None:
        check_fields(self, "evaluate")
        for name in ("min_accuracy", "min_average_precision"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"evaluate.{name} must be 0 to 1, got {getattr(self, name)}")
        if (self.max_error or 0) < 0:
            raise UsageError(f"evaluate.max_error must not be below 0, got {self.max_error}")
        drops = self.max_drop if isinstance(self.max_drop, Mapping) else {"": self.max_drop}
        for metric, drop in drops.items():
            if drop < 0:
                of = f" of {metric}" if metric else ""
                raise UsageError(f"evaluate.max_drop{of} must not be below 0, got {drop}")
        for metric in self.minimum.keys() & self.maximum.keys():
            if self.minimum[metric] > self.maximum[metric]:
                raise UsageError(
                    f"evaluate.minimum of {metric} is above its maximum: no model could meet both",
                    hint="Correct one of them.",
                )
        self.names()

    def names(self) -> list[tuple[str, MetricName]]:
        """Return the names in `minimum`, `maximum` and `max_drop`, each with its setting ("minimum").

        Raises:
          UsageError: If one of them is not of the form.
        """
        mappings = {name: getattr(self, name) for name in _MAPPINGS}
        return [
            (name, parse_name(text, f"evaluate.{name}"))
            for name, texts in mappings.items()
            if isinstance(texts, Mapping)
            for text in texts
        ]

    @property
    def limited_labels(self) -> tuple[str, ...]:
        """Classes or labels that a limit names; whether they exist shows only in the data."""
        found = [name.label for _, name in self.names() if name.label]
        found += [name.value for _, name in self.names() if name.feature == LABEL]
        return tuple(dict.fromkeys(found))

    @property
    def limited_features(self) -> tuple[str, ...]:
        """Features of the slices that a limit names."""
        return tuple(dict.fromkeys(name.feature for _, name in self.names() if name.feature not in ("", EACH)))

    def check_limits(self, label: Label) -> None:
        """Check that the limits belong to the kind of label.

        Args:
          label: The task's.

        Raises:
          UsageError: If one of them would never apply.
        """
        kind, limit = _SHORTHANDS[type(label)]
        foreign = ("min_accuracy", "max_error") if isinstance(label, Labels) else ("min_average_precision",)
        for one in foreign:
            if getattr(self, one) != getattr(Evaluate, one):
                raise UsageError(
                    f"evaluate.{one} does not apply to {kind}", hint=f"The limit for {kind} is evaluate.{limit}."
                )
        for setting, name in self.names():
            if name.label and isinstance(label, Number):
                raise UsageError(
                    f"evaluate.{setting}: '{name.text}' names a class, but the label is a number",
                    hint="Leave the class out.",
                )
            if name.feature == LABEL and isinstance(label, Labels):
                raise UsageError(
                    f"evaluate.{setting}: several labels have no slices by label, as in '{name.text}'",
                    hint=f"For the metric of one label write {name.metric}/{name.value}",
                )

    def check_slices(self, feature: Feature, label: Label, extras: tuple[str, ...] = ()) -> None:
        """Check that the records of a task have the features of `slices` and of the limits.

        Args:
          feature: The task's.
          label: The task's.
          extras: Further features of the records, from the task's source.

        Raises:
          UsageError: If no record has one of the features, or if each record has another value of it.
        """
        facts = FACTS if isinstance(feature, Image) else ()
        legal = [*([] if isinstance(label, Number) else [LABEL]), *(one for one in facts if one != SOURCE), *extras]
        unique = {LABEL: "the label is a number", **({SOURCE: "it names the record"} if facts else {})}
        wanted = [] if self.slices == Evaluate.slices else [("slices", name) for name in self.slices]
        wanted += [(setting, name.feature) for setting, name in self.names() if name.feature not in ("", EACH)]
        for setting, name in wanted:
            if name in legal:
                continue
            if name in unique:
                raise UsageError(
                    f"evaluate.{setting}: no slices by {name}: {unique[name]}, so each slice would be one record",
                    hint=f"Legal: {', '.join(legal) or 'none for this task'}",
                )
            raise unknown(f"feature for evaluate.{setting}", name, legal)
        if len(set(self.slices)) != len(self.slices):
            raise UsageError(f"evaluate.slices has a name twice: {', '.join(self.slices)}", hint="Remove one of them.")
