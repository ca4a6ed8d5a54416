"""What two runs recorded, side by side: settings, data, training, proof, metrics and times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.report.page.metric_text import format_difference, format_metric, is_improvement, metric_title
from pipeline.report.page.text import format_bytes, format_duration, format_number, format_share
from pipeline.report.record import ComponentRun, DataSummary, EvaluationSummary, RunRecord, TrainingSummary
from pipeline.report.skew import worst_first

MISSING = "-"
OWN = "the task's own"  # a setting that a run does not change


@dataclass(frozen=True)
class ComparedRow:
    """A value of both runs.

    Attributes:
      name: What it is.
      one: Of run A, as text.
      other: Of run B.
      difference: B minus A, as text; may be empty.
      kind: good if B is better, bad if it is worse; otherwise empty.
      is_number: Whether the values are numbers.
    """

    name: str
    one: str
    other: str
    difference: str = ""
    kind: str = ""
    is_number: bool = False

    @property
    def differs(self) -> bool:
        """Whether the runs differ."""
        return self.one != self.other


def compare_settings(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return the settings that differ, and the folder of the data if it does."""
    names = sorted({*one.settings, *other.settings})
    rows = [ComparedRow(name, one.settings.get(name, OWN), other.settings.get(name, OWN)) for name in names]
    rows.append(ComparedRow("data", one.data_folder or MISSING, other.data_folder or MISSING))
    return [row for row in rows if row.differs]


def compare_metrics(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return the metrics over all held-out examples of each run, the one that decides first."""
    first, second = (record.evaluation or EvaluationSummary() for record in (one, other))
    names = list(dict.fromkeys([second.metric, first.metric, *sorted({*first.overall, *second.overall})]))
    known = [name for name in names if name in first.overall or name in second.overall]
    return [compare_values(name, first.overall.get(name), second.overall.get(name)) for name in known]


def compare_values(metric: str, one: float | None, other: float | None) -> ComparedRow:
    """Return two values of a metric with their difference."""
    before, now = (MISSING if value is None else format_metric(metric, value) for value in (one, other))
    row = ComparedRow(metric_title(metric), before, now, is_number=True)
    if one is None or other is None or one == other:
        return row
    better = is_improvement(metric, other - one)
    kind = "" if better is None else "good" if better else "bad"
    return dataclasses.replace(row, difference=format_difference(metric, other - one), kind=kind)


def compare_data(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return what both runs know about their data."""
    return _rows(one, other, _describe_data)


def compare_training(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return how both models were trained."""
    return _rows(one, other, _describe_training)


def compare_proof(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return how both runs ended, and what the skew gate measured."""
    return _rows(one, other, _describe_proof)


def compare_components(one: RunRecord, other: RunRecord) -> list[ComparedRow]:
    """Return the state and the time of each component."""
    first, second = ({part.name: part for part in record.components} for record in (one, other))
    names = list(dict.fromkeys([*second, *first]))
    return [ComparedRow(name, _describe_part(first.get(name)), _describe_part(second.get(name))) for name in names]


def _describe_part(part: ComponentRun | None) -> str:
    if part is None:
        return MISSING
    return f"{part.state}, {format_duration(part.seconds)}" if part.state != "cached" else "from the cache"


def _rows(one: RunRecord, other: RunRecord, describe: Callable[[RunRecord], Mapping[str, str]]) -> list[ComparedRow]:
    """Return a row for each fact that a run has."""
    first, second = describe(one), describe(other)
    names = dict.fromkeys([*second, *first])
    return [ComparedRow(name, first.get(name, MISSING), second.get(name, MISSING)) for name in names]


def _describe_data(record: RunRecord) -> dict[str, str]:
    data = record.data
    if data is None:
        return {}
    names = {name for counts in data.labels.values() for name in counts}
    found = {f"{split} examples": format_number(count) for split, count in data.examples.items()}
    found |= {"classes or labels": format_number(len(names))} if names else {}
    return found | {"size of the shards": format_bytes(data.bytes)} | _left_out(data)


def _left_out(data: DataSummary) -> dict[str, str]:
    counts = {
        "in quarantine": sum(data.quarantined.values()),
        "files that are no picture": sum(data.not_pictures.values()),
        "not used": sum(data.unused.values()),
        "evaluation pictures in the training data": data.duplicate_count,
        "pictures with two labels": data.contradiction_count,
        "copies removed": data.removed,
    }
    return {name: format_number(count) for name, count in counts.items() if count}


def _describe_training(record: RunRecord) -> dict[str, str]:
    training = record.training
    if training is None:
        return {}
    found = {"epochs": format_number(training.epochs), "exported epoch": format_number(training.best_epoch)}
    found |= {"stopped": training.stopped} if training.stopped else {}
    found |= _parameters(training)
    if training.images_per_second:
        found["examples per second"] = f"{training.images_per_second:,.0f}"
        found["waiting for input"] = format_share(training.waiting_share)
    thresholds = training.thresholds
    return found | {f"threshold of {name}": format_number(value) for name, value in list(thresholds.items())[:20]}


def _parameters(training: TrainingSummary) -> dict[str, str]:
    layers = training.layers
    if not layers:
        return {}
    return {"layers": format_number(len(layers)), "parameters": format_number(sum(one.params for one in layers))}


def _describe_proof(record: RunRecord) -> dict[str, str]:
    found = {"status": record.status, "duration": format_duration(record.seconds)}
    if record.error:
        found["error"] = record.error.partition("\n")[0]
    if record.blessed is not None:
        found["Evaluator"] = "blessed" if record.blessed else "not blessed"
    if record.pushed:
        found["version"] = str(record.pushed.version)
    skew = record.skew
    if skew is None:
        return found
    finite = [route.largest for route in skew.routes if math.isfinite(route.largest)]
    found["proof"] = "all routes agree" if skew.passed else "skew"
    found["routes"] = format_number(len(skew.routes))
    found["records sent"] = format_number(skew.records)
    found["largest difference of a score"] = format_number(max(finite), 2) if finite else MISSING
    found["tolerance"] = format_number(skew.tolerance, 2)
    for cost in worst_first(skew.client_skew)[:1]:
        found["worst client"] = f"{cost.client}: {cost.flipped:,} of {cost.pictures:,} answers changed"
    return found
