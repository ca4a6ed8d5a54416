"""The names that the history of training gives to a task's own metrics."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from components.task import keras_text
from components.task.keras_config import without_number
from data.errors import UsageError

_WHERE = "train.metrics"


def metric_name(metric: Any) -> str:
    """Return the name of one of a task's metrics: a text, a Keras metric or its class, or a function.

    A name that Keras numbers has no number here: the same task would have other names in another process.

    Raises:
      UsageError: If a text names no metric of Keras.
    """
    if isinstance(metric, str):
        parsed, catalog = keras_text.parse_text(metric, _WHERE), keras_text.metrics()
        cls = keras_text.class_of(parsed, _WHERE, catalog)
        _check_average(cls, parsed)
        usual = parsed.name if parsed.name in catalog.aliases else _default_name(cls)  # "mse", as in Keras
        return str(parsed.settings.get("name") or usual)
    if inspect.isclass(metric):
        return _default_name(metric)
    if not hasattr(metric, "name"):
        return str(getattr(metric, "__name__", type(metric).__name__))
    return without_number(metric.name, type(metric).__name__)


def name_metrics(of_label: Sequence[str], own: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of all metrics of a training, besides the loss.

    Args:
      of_label: Names of the metrics that the kind of label has anyway.
      own: `Train.metrics`.

    Raises:
      UsageError: If two of them have the same name, or if a text names no metric.
    """
    names = [*of_label]
    for one in added_metrics(of_label, own):
        name = metric_name(one)
        if name in (*names, "loss"):
            raise UsageError(
                f"{_WHERE} has two metrics '{name}'; {', '.join(of_label)} are there without being listed",
                hint=f"Give it another name, such as {name}(name='own_{name}').",
            )
        names.append(name)
    return tuple(names)


def added_metrics(of_label: Sequence[str], own: Sequence[Any]) -> list[Any]:
    """Return a task's metrics without the texts that name exactly what the label has anyway, as in a notebook.

    Raises:
      UsageError: If "accuracy" is not what the label has.
    """
    if "accuracy" in own and "accuracy" not in of_label:
        raise UsageError(
            f"{_WHERE}: accuracy is for classes; here it would count outputs that equal the label exactly",
            hint=f"{', '.join(of_label)} are there without being listed.",
        )
    return [one for one in own if not (isinstance(one, str) and one in ("accuracy", "mae") and one in of_label)]


def _check_average(cls: type, parsed: keras_text.KerasText) -> None:
    """Check that a score of each class is averaged, before anything runs.

    Raises:
      UsageError: If it is not.
    """
    if cls.__name__ in ("F1Score", "FBetaScore") and parsed.settings.get("average") is None:
        raise UsageError(
            f"{_WHERE}: {parsed.name} gives a number for each class without an average",
            hint=f"For example {parsed.name}(average='macro')",
        )


def _default_name(cls: type) -> str:
    parameter = inspect.signature(cls).parameters.get("name")
    default = parameter.default if parameter else None
    return default if isinstance(default, str) else keras_text.snake_case(cls.__name__)
