"""The score of a trial: which metric decides, and whether a higher value of it is better."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from components.task import keras_text
from components.task.metric_names import metric_name
from components.task.task import Task
from data.errors import UsageError, unknown

DIRECTIONS = ("max", "min")
_OF_LABELS = {"accuracy": "max", "binary_accuracy": "max", "auc": "max", "pr_auc": "max", "mae": "min", "loss": "min"}
_OF_KERAS = {"up": "max", "down": "min"}  # `_direction` of its metrics
_CHANGE_THE_LOSS = ("train.loss", "train.label_smoothing")


def objective_of(task: Task, text: str) -> tuple[str, str]:
    """Return the name of the metric that decides, and whether its "max" or "min" is best.

    Args:
      task: The task.
      text: NAME or NAME:max or NAME:min; empty: the main metric of the task's label on the evaluation split.

    Raises:
      UsageError: If the training has no such metric, or Keras does not know whether higher is better.
    """
    main = "pr_auc" if task.is_multi_label else task.metrics[0]
    name, colon, direction = (text or f"val_{main}").partition(":")
    names = [f"{split}{one}" for split in ("val_", "") for one in ("loss", *task.metrics)]
    if name not in names:
        raise unknown("objective", name, names)
    if colon and direction not in DIRECTIONS:
        raise UsageError(f"--objective {text}: expected NAME:max or NAME:min")
    found = direction or _direction(task, name.removeprefix("val_"))
    if not found:
        raise UsageError(
            f"--objective {name}: it is not known whether a higher value of this metric is better",
            hint=f"Give it as {name}:max or {name}:min.",
        )
    return name, found


def check_comparable(name: str, tuned: Collection[str]) -> None:
    """Check that all trials measure the same.

    Args:
      name: Of the metric that decides.
      tuned: Names of the tuned settings.

    Raises:
      UsageError: If it is the loss, and the trials have different ones.
    """
    for key in _CHANGE_THE_LOSS if name.removeprefix("val_") == "loss" else ():
        if key in tuned:
            raise UsageError(
                f"--objective {name}: trials with another {key} have another loss, so it cannot compare them",
                hint="Let another metric decide: --objective val_accuracy, for example.",
            )


def _direction(task: Task, name: str) -> str:
    """Return "max" or "min"; empty if the metric does not say."""
    if name in _OF_LABELS:
        return _OF_LABELS[name]
    (metric,) = (one for one in task.train.metrics if metric_name(one) == name)
    return _OF_KERAS.get(getattr(_created(metric), "_direction", None) or "", "")


def _created(metric: Any) -> Any:
    if isinstance(metric, str):
        return keras_text.make_object(metric, "train.metrics", keras_text.metrics())
    return metric() if inspect.isclass(metric) else metric
