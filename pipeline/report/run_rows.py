"""What a list of runs shows of each: settings, metrics, duration, version, and what changed since the run before.

Reads the JSON of the records as it is: their types would load TensorFlow.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.task.limits import parse_name
from data.errors import UsageError, unknown
from pipeline.report.run_files import RunFile

ALIASES = {"accuracy": "sparse_categorical_accuracy", "mse": "mean_squared_error"}
"""Short names of metrics, besides TFMA's."""
RUNNING, KILLED, UNREADABLE = "running", "killed", "unreadable"

# Reasons that follow from another component's, or that are none.
_DERIVED = re.compile(r"new [a-z ]+|first run|it did not finish before|its earlier outputs are gone")
_NO_REASON = ("nothing that it depends on has changed", "looks up the latest blessed model", "")
_TASKS = "(the task's)"  # in the place of a setting that the run did not change
# How `pipeline.report.metadata` names a change of TFMA's configuration, first in records of 0.2.0 and before.
_OF_EVALUATE = ("evaluate.metrics_specs", "a limit in evaluate", "the limits in evaluate", "evaluate has changed")


@dataclass
class RunRow:
    """A run in the list.

    Attributes:
      run: Its id.
      started: When it began; None if unknown.
      status: As in the record, or "killed" (it has "running", but no run is active), or "unreadable".
      seconds: Duration; None if it is not known.
      version: The pushed version; None if nothing was pushed.
      settings: Settings that differ from the task's, as text.
      metric: Name of the metric that decides; "" before the evaluation.
      metrics: Metrics over all held-out examples by name.
      slices: Metrics by slice: "label:cat".
      training: The training's metrics after the epoch whose weights are exported.
      examples: Number of examples by split.
      error: Why the run failed, or why its record cannot be read; "" otherwise.
      changes: What changed since the run before it, a phrase each.
      record: Path of its record.
      page: Path of its page; "" without one.
    """

    run: str
    started: datetime.datetime | None
    status: str
    seconds: float | None = None
    version: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    slices: dict[str, dict[str, float]] = field(default_factory=dict)
    training: dict[str, float] = field(default_factory=dict)
    examples: dict[str, int] = field(default_factory=dict)
    error: str = ""
    changes: list[str] = field(default_factory=list)
    record: str = ""
    page: str = ""

    def measured(self, name: str) -> float | None:
        """Return a metric of the evaluation; None if the run does not have it.

        Args:
          name: As in the limits of a task: "auc", "recall/rose", "accuracy@image/format=PNG".

        Raises:
          UsageError: If it is not the name of a metric.
        """
        parsed = parse_name(name, "--metric")
        metric = ALIASES.get(parsed.metric, parsed.metric)
        if parsed.label and parsed.feature:
            problem = f"--metric {name}: a record has no metrics of one class in a slice"
            raise UsageError(problem, hint=f"Ask for one of them: --metric {parsed.metric}/{parsed.label}")
        if parsed.label:
            return self.slices.get(f"label:{parsed.label}", {}).get(metric)
        if parsed.feature:
            return self.slices.get(f"{parsed.feature}:{parsed.value}", {}).get(metric)
        return self.metrics.get(metric)


def metric_reader(name: str, rows: Sequence[RunRow]) -> Callable[[RunRow], float | None]:
    """Return what reads a metric: of the evaluation, or of the training if no evaluation has it.

    Never of both in one column: "accuracy" on the training examples is another figure.

    Args:
      name: "auc", "recall/rose", "val_loss".
      rows: All runs.

    Raises:
      UsageError: If it is not the name of a metric.
    """
    if name in ALIASES or any(row.measured(name) is not None for row in rows):
        return lambda row: row.measured(name)
    return lambda row: row.training.get(name)


def short_metric(name: str) -> str:
    """Return the short name of a metric: "accuracy" for "sparse_categorical_accuracy"."""
    return next((short for short, whole in ALIASES.items() if whole == name), name)


def row_of(run: RunFile, is_active: bool, now: datetime.datetime) -> RunRow:
    """Return the row of a run, without `changes`.

    Args:
      run: Its file.
      is_active: Whether a run of the task may be running: then the status "running" is right.
      now: The time up to which the seconds of a running one count.
    """
    problem = run.problem
    if not problem:
        try:
            return _readable_row(run, is_active, now)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            problem = f"it is no record of a run ({error!r})"
    return RunRow(run.run_id, run.started, UNREADABLE, error=problem, record=run.path)


def add_changes(rows: Sequence[RunRow], runs: Sequence[RunFile]) -> None:
    """Fill in `changes` of each row.

    Args:
      rows: The newest first.
      runs: Their files.
    """
    for row, run, before in itertools.zip_longest(rows, runs, rows[1:]):
        if row.status == UNREADABLE:
            continue
        earlier = before if before and before.status != UNREADABLE else None
        row.changes = list(dict.fromkeys(_changes(row, run.found.get("components", ()), earlier)))


def has_metric(name: str, rows: Sequence[RunRow]) -> bool:
    """Return whether one of the runs has a metric."""
    try:
        return any(value is not None for value in map(metric_reader(name, rows), rows))
    except UsageError:  # the name of another column
        return False


def check_metrics(names: Iterable[str], rows: Sequence[RunRow]) -> None:
    """Check that a run has each metric.

    Raises:
      UsageError: If none has one of them.
    """
    known = {short_metric(name) for row in rows for name in (*row.metrics, *row.training)}
    for name in names:
        if all(value is None for value in map(metric_reader(name, rows), rows)):
            raise unknown("metric", name, known - {"example_count"})


def _readable_row(run: RunFile, is_active: bool, now: datetime.datetime) -> RunRow:
    found = run.found
    status = str(found["status"])
    if status == RUNNING and not is_active:
        status = KILLED
    evaluation, training = found.get("evaluation") or {}, found.get("training") or {}
    slices = {name: _numbers(values) for name, values in (evaluation.get("slices") or {}).items()}
    pushed = found.get("pushed") or {}
    row = RunRow(str(found["run_id"]), run.started, status, record=run.path)
    row.seconds = _duration(run, status, now)
    row.version = int(pushed["version"]) if pushed else None
    row.settings = {name: str(text) for name, text in found["settings"].items()}
    row.metric, row.metrics, row.slices = str(evaluation.get("metric", "")), slices.get("overall", {}), slices
    row.training = _of_epoch(training.get("history") or {}, int(training.get("best_epoch") or 0))
    examples = (found.get("data") or {}).get("examples") or {}
    row.examples = {str(name): int(count) for name, count in examples.items()}
    row.error, row.page = str(found.get("error", "")), str(found.get("page", ""))
    return row


def _duration(run: RunFile, status: str, now: datetime.datetime) -> float | None:
    if status == KILLED:
        return None
    if status == RUNNING:
        return (now - run.started).total_seconds() if run.started else None
    return float(run.found["seconds"])


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None}


def _of_epoch(history: Mapping[str, Sequence[float]], epoch: int) -> dict[str, float]:
    """Return each metric's value after an epoch, from 1; after the last if it is 0."""
    return {name: float(values[epoch - 1]) for name, values in history.items() if len(values) >= max(1, epoch)}


def _changes(row: RunRow, components: Iterable[Mapping[str, Any]], before: RunRow | None) -> Iterator[str]:
    """Yield what changed: the settings, then what the components found: code, data, packages."""
    old = before.settings if before else {}
    changed = [name for name in sorted(old.keys() | row.settings.keys()) if old.get(name) != row.settings.get(name)]
    if before:
        for name in changed:
            yield f"{name} {old.get(name, _TASKS)} -> {row.settings.get(name, _TASKS)}"
    for reason in _reasons(components):
        if reason.startswith(_OF_EVALUATE):
            if not any(name.startswith("evaluate.") for name in changed):
                yield "evaluate has changed"
        elif reason == "the data have changed" and before and before.examples != row.examples:
            yield f"{reason}: {_counts(before.examples)} -> {_counts(row.examples)}"
        elif reason.split(" ")[0] not in changed:
            yield reason


def _reasons(components: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for component in components:
        why = str(component.get("why", ""))
        if why in _NO_REASON:
            continue
        yield from (one for one in why.split("; ") if not _DERIVED.fullmatch(one))


def _counts(examples: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in sorted(examples.items())) or "none"
