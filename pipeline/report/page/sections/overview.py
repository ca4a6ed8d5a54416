"""The section `overview` of the page: the verdict in one glance, what to know about the data, the pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from components.review.record import EvaluationReview, Interval, Review
from pipeline.report.page.metric_text import (
    ACCURACY,
    ERROR,
    PRECISION,
    format_difference,
    format_metric,
    format_points,
    format_range,
    is_improvement,
    metric_title,
)
from pipeline.report.page.pipeline_picture import PipelinePicture, draw_pipeline
from pipeline.report.page.text import count_noun, format_duration, format_number, format_share
from pipeline.report.record import EvaluationSummary, RunRecord
from pipeline.report.skew import worst_first
from pipeline.report.summary import list_facts, list_warnings


@dataclass(frozen=True)
class Verdict:
    """How the run ended.

    Attributes:
      kind: good, warn, bad or plain.
      headline: In a few words.
      reason: Why, or what that means; may be empty and have several lines.
      hint: What to do next; may be empty.
    """

    kind: str
    headline: str
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """A number that one looks for first.

    Attributes:
      name: What it is.
      text: The number.
      detail: One more line; may be empty.
      change: Against the model before; may be empty.
      kind: good if the change is for the better, bad if it is for the worse; may be empty.
    """

    name: str
    text: str
    detail: str = ""
    change: str = ""
    kind: str = ""


@dataclass(frozen=True)
class OverviewView:
    """What the template `overview.html.j2` shows.

    Attributes:
      verdict: How the run ended.
      figures: The numbers that one looks for first.
      notes: What one should know about the data, and why parts of the page are missing.
      pipeline: The picture of the pipeline; None if the record has no components.
      settings: Names and values of this run that differ from the task's.
      facts: Names and values of what else identifies the run.
    """

    verdict: Verdict
    figures: list[KeyFigure]
    notes: list[str]
    pipeline: PipelinePicture | None
    settings: list[tuple[str, str]]
    facts: list[tuple[str, str]]


def build_overview(record: RunRecord, review: Review) -> OverviewView:
    """Return the view.

    Args:
      record: Of the run.
      review: The pictures.
    """
    return OverviewView(
        _verdict(record),
        list(_figures(record, review.evaluation or EvaluationReview())),
        [*list_warnings(record), *review.problems],
        draw_pipeline(record),
        sorted(record.settings.items()),
        _facts(record),
    )


def _verdict(record: RunRecord) -> Verdict:
    """Return how the run ended."""
    keeps = "The model before keeps serving." if record.evaluation and record.evaluation.baseline is not None else ""
    version = f"version {record.pushed.version}" if record.pushed else "the model"
    failed = next((one.name for one in record.components if one.state == "failed"), "the pipeline")
    found = {
        "pushed": Verdict("good", f"Pushed: {version} is served", "It met every limit, and every route agrees."),
        "unchanged": Verdict("good", f"Unchanged: {version} is still served", "Everything came from the cache."),
        "not pushed": Verdict("bad", "Not pushed", _why_not(record), keeps),
        "failed": Verdict("bad", f"Failed in {failed}", record.error),
        "interrupted": Verdict("warn", "Interrupted", hint="The same command continues where it stopped."),
        "running": Verdict("plain", "Running", "The page shows what the run has so far."),
    }
    return found.get(record.status, Verdict("plain", record.status.capitalize(), record.error))


def _why_not(record: RunRecord) -> str:
    """Return why the model was not pushed, without the words that the headline has."""
    reason = record.error.removeprefix("not pushed: ")
    if not reason and record.blessed is False:
        return "The Evaluator did not bless the model: a limit is not met."
    return reason or "The skew gate did not bless the model."


def _figures(record: RunRecord, review: EvaluationReview) -> Iterator[KeyFigure]:
    """Yield the quality, the data, the training and the proof."""
    if record.evaluation and record.evaluation.overall:
        yield from _quality(record.evaluation, review)
    if record.data and record.data.examples:
        rest = [f"{count:,} {split}" for split, count in record.data.examples.items() if split != "train"]
        yield KeyFigure("Training examples", f"{record.data.examples.get('train', 0):,}", ", ".join(rest))
    if record.training and record.training.epochs:
        trainer = next((one for one in record.components if one.name == "Trainer" and one.state == "executed"), None)
        rate = record.training.images_per_second
        speed = f"{rate:,.0f} examples/s" if rate else ""
        took = f"{format_duration(trainer.seconds)}, {speed}" if trainer and speed else speed
        yield KeyFigure("Training", count_noun(record.training.epochs, "epoch"), took)
    yield from _proof(record)


def _evaluated(evaluation: EvaluationSummary) -> str:
    """Return the number of evaluated examples; of a sample, also of how many."""
    count = int(evaluation.overall.get("example_count", 0))
    if evaluation.held_out:
        return f"{count:,} of {count_noun(evaluation.held_out, 'held-out example')}"
    return count_noun(count, "held-out example")


def _quality(evaluation: EvaluationSummary, review: EvaluationReview) -> Iterator[KeyFigure]:
    """Yield the metric that decides, and of several labels also the exact match, which has an interval."""
    metric, overall = evaluation.metric, evaluation.overall
    value = overall.get(metric, math.nan)
    examples = _evaluated(evaluation)
    interval = review.quality if metric in (ACCURACY, ERROR) else None
    detail = f"95% interval {format_range(metric, interval)}" if interval else f"on {examples}"
    change = review.change.difference if review.change and metric == ACCURACY else None
    yield _compared(metric, value, evaluation.baseline, detail, change)
    if metric == PRECISION and review.quality:
        yield _exact_match(review.quality, review.quality_before)
    if evaluation.baseline is None and evaluation.no_baseline:
        yield KeyFigure("Model before", "none", evaluation.no_baseline)


def _compared(
    metric: str, value: float, before: float | None, detail: str, change: Interval | None = None
) -> KeyFigure:
    """Return a metric with its difference to the model before; one that chance explains is neither good nor bad."""
    title = metric_title(metric)
    name, text = title[:1].upper() + title[1:], format_metric(metric, value)
    if before is None or not math.isfinite(before):
        return KeyFigure(name, text, detail, "no model before to compare with")
    better = is_improvement(metric, value - before)
    difference = format_difference(metric, value - before)
    if change:
        difference += f" ({format_points(change.low)} to {format_points(change.high)})"
        better = better if change.low > 0 or change.high < 0 else None
    against = f"{difference} against {format_metric(metric, before)} before"
    return KeyFigure(name, text, detail, against, {True: "good", False: "bad", None: ""}[better])


def _exact_match(found: Interval, before: Interval | None) -> KeyFigure:
    detail = f"95% interval {format_range('exact_match', found)}"
    return _compared("exact_match", found.value, before.value if before else None, detail)


def _proof(record: RunRecord) -> Iterator[KeyFigure]:
    """Yield whether serving agrees with training, and what the worst client would have changed."""
    skew = record.skew
    if skew is None:
        return
    faults = sum(bool(route.fault) for route in skew.routes)
    records = f"on {count_noun(skew.records, 'record')}, within {format_number(skew.tolerance, 2)}"
    if faults:
        yield KeyFigure("Routes that differ", f"{faults} of {len(skew.routes)}", records, kind="bad")
    else:
        yield KeyFigure("Routes that agree", f"{len(skew.routes)} of {len(skew.routes)}", records)
    for cost in worst_first(skew.client_skew)[:1]:
        share = format_share(cost.flipped / cost.pictures) if cost.pictures else "-"
        yield KeyFigure("Client skew avoided", share, f"of the answers would change with {cost.client}")


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    """Return what else identifies the run."""
    found = {
        "run": record.run_id,
        "duration": format_duration(record.seconds) if record.seconds else "",
        **{name: text for name, text in list_facts(record).items() if name in ("data", "labels", "metrics")},
        "data folder": record.data_folder,
        "served from": record.pushed.path if record.pushed else "",
        "log": record.log,
        "exit status": "" if record.exit_code is None else str(record.exit_code),
    }
    return [(name, text) for name, text in found.items() if text]
