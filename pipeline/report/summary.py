"""The last lines of a run: data, training speed, quality of the model, and where it is served from."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from data.images.headers import REMARKS
from data.names import printable
from pipeline.paths import Paths
from pipeline.report.confusion_plot import list_confused
from pipeline.report.record import DataSummary, EvaluationSummary, RunRecord, TrainingSummary
from pipeline.report.skew import summary_line

_ACCURACY = "sparse_categorical_accuracy"  # TFMA's names, as in components.release.evaluator, which loads TFMA
_PRECISION = "mean_average_precision"
_NAMES = {_ACCURACY: "accuracy", _PRECISION: "mean average precision", "mean_squared_error": "mean squared error"}
_SHOWN = {
    "auc": "AUC",
    "f1": "F1",
    "exact_match": "exact match",
    "brier_score": "Brier score",
    "expected_calibration_error": "calibration error",
}
_LISTED = 5  # thresholds that a line lists
_REMOVE = "; --set ingest.duplicates=remove takes them out"
_STAGES = {"read": "read the files", "parse": "parse the records", "transform": "decode and resize"}


def print_summary(record: RunRecord, paths: Paths, console: Console) -> None:
    """Print the summary of a run that pushed or kept a model, and warnings about its data."""
    console.print()
    for warning in list_warnings(record):
        console.print(f"[yellow]note[/]      {escape(printable(warning))}")
    for name, text in list_facts(record).items():
        console.print(f"[bold]{name:<9}[/] {escape(text)}")
    if record.plots:
        folder = posixpath.dirname(record.plots[0])
        console.print(f"[dim]plots     {escape(folder)}/: {', '.join(map(posixpath.basename, record.plots))}[/]")
    if record.page:
        console.print(f"[bold]page[/]      {escape(record.page)}")
    console.print(f"[dim]record    {escape(paths.latest)}[/]")


def format_counts(kinds: Mapping[str, int], most: int = 5) -> str:
    """Return counts by kind, the largest first; kinds beyond `most` are one number."""
    ordered = sorted(kinds.items(), key=lambda pair: -pair[1])
    rest = sum(count for _, count in ordered[most:])
    first = ", ".join(f"{count:,} {kind}" for kind, count in ordered[:most])
    return f"{first} and {rest:,} of {len(ordered) - most} more kinds" if rest else first


def list_facts(record: RunRecord) -> dict[str, str]:
    """Return the lines of the summary by their name."""
    facts = {
        "data": _examples(record.data) if record.data else "",
        "training": _training(record.training) if record.training else "",
        "labels": _thresholds(record.training.thresholds) if record.training else "",
        "quality": _quality(record.evaluation) if record.evaluation else "",
        "metrics": _metrics(record.evaluation) if record.evaluation else "",
        "proof": summary_line(record.skew) if record.skew and record.skew.passed else "",
    }
    state = "already serving" if record.status == "unchanged" else "pushed"
    pushed = f"version {record.pushed.version} in {record.pushed.path}" if record.pushed else ""
    return {name: text for name, text in {**facts, state: pushed}.items() if text}


def _examples(data: DataSummary) -> str:
    return ", ".join(
        f"{data.examples[split]:,} {split}" + (f" from {data.layout[split]}" if split in data.layout else "")
        for split in ("train", "eval", "test")
        if split in data.examples
    )


def _thresholds(thresholds: Mapping[str, float]) -> str:
    """Return how many labels there are and their thresholds, of many only the lowest and the highest."""
    if not thresholds:
        return ""
    names = sorted(thresholds, key=lambda name: thresholds[name]) if len(thresholds) > _LISTED else list(thresholds)
    texts = [f"{name} {thresholds[name]:.2f}" for name in names]
    listed = ", ".join(texts) if len(texts) <= _LISTED else f"{texts[0]} to {texts[-1]}"
    return f"{len(texts):,} with thresholds {listed} (largest F1 on the evaluation split)"


def _quality(evaluation: EvaluationSummary) -> str:
    metric, overall = evaluation.metric, evaluation.overall
    if evaluation.baseline is not None:
        before = f", {evaluation.baseline:.4f} before"
    elif evaluation.no_baseline:
        before = f"; no baseline: {evaluation.no_baseline}"
    else:
        before = ", no model before"
    return (
        f"{_NAMES[metric]} {overall[metric]:.4f} on {_count_examples(evaluation)} held-out examples"
        f" through the exported signature{before}"
    )


def _count_examples(evaluation: EvaluationSummary) -> str:
    """Return the number of evaluated examples; of a sample, also of how many."""
    count = f"{int(evaluation.overall['example_count']):,}"
    return f"{count} of {evaluation.held_out:,}" if evaluation.held_out else count


def _metrics(evaluation: EvaluationSummary) -> str:
    """Return the metrics of classes or labels besides the one that decides, and the pair that is confused most."""
    found = evaluation.overall
    shown = {name: found[name] for name in _SHOWN if name in found}
    top = sorted((name for name in found if name.startswith("top_")), key=lambda name: (len(name), name))
    texts = [f"{name.replace('_', ' ')} {found[name]:.4f}" for name in top]
    texts += [f"{_SHOWN[name]} {value:.4f}" for name, value in shown.items()]
    pairs = list_confused(evaluation.confusion)
    if pairs:
        label, answer, count = pairs[0]
        texts.append(f"most confused: {count:,} of {label} taken for {answer}")
    return ", ".join(texts)


def _training(training: TrainingSummary) -> str:
    epochs, best = training.epochs, training.best_epoch
    text = f"{epochs} epochs" + (f" (the best, {best}, is exported)" if best != epochs else "")
    text += f", {training.images_per_second:,.0f} examples/s, "
    text += f"{training.waiting_share:.0%} of the time waiting for input"
    stages = training.input_stages
    if stages:
        slowest = max(stages, key=lambda name: stages[name])
        text += f", of which {stages[slowest]:.0%} is to {_STAGES[slowest]}"
    text += f"; resumed at {training.resumed_at}" if training.resumed_at else ""
    return text + (f"; stopped: {training.stopped}" if training.stopped else "")


def list_warnings(record: RunRecord) -> list[str]:
    """Return what a user should know about the data, one line each."""
    data = record.data or DataSummary()
    metric = record.evaluation.metric if record.evaluation else ""
    found = [*_left_out(data), *_repeated(data, is_multi_label=metric == _PRECISION)]
    unseen = sorted(set(data.labels.get("train", ())) - set(data.labels.get("eval", ())))
    if metric == _ACCURACY and unseen:  # several labels: the ingestion has a note on them
        names = ", ".join(unseen[:5])
        found.append(f"no held-out example of {names}: the accuracy says nothing about such classes")
    return found + [f"{count} pictures {REMARKS.get(name, name)}" for name, count in data.remarks.items()]


def _left_out(data: DataSummary) -> list[str]:
    """Return warnings about files and examples that the run does not use."""
    found = []
    quarantined = sum(data.quarantined.values())
    if quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in data.quarantined.items())
        found.append(f"{quarantined} examples in quarantine ({reasons}): {data.folder}/quarantine.jsonl")
    found += data.notes
    if data.unused:
        total = sum(data.unused.values())
        found.append(f"{total:,} pictures or data files are not used: {format_counts(data.unused)}")
    if data.not_pictures:
        total = sum(data.not_pictures.values())
        found.append(f"{total:,} files are not a picture ({format_counts(data.not_pictures)})")
    return found


def _repeated(data: DataSummary, is_multi_label: bool) -> list[str]:
    """Return warnings about pictures that are there more than once."""
    found = []
    remedy = "" if data.removed else _REMOVE
    if data.contradiction_count:
        (label, path), (other, twin) = list(data.contradictions[0].items())
        found.append(
            f"{data.contradiction_count} pictures have {'other labels elsewhere' if is_multi_label else 'two labels'},"
            f" e.g. {path} ({label}) = {twin} ({other}){remedy}"
        )
    if data.duplicate_count:
        split, other = list(data.duplicates[0].items())[1]
        found.append(
            f"{data.duplicate_count} evaluation pictures are also in the training data, e.g. {other} ({split})"
            f" = {data.duplicates[0]['train']}{remedy}"
        )
    if data.removed:
        found.append(f"{data.removed} copies were removed (ingest.duplicates=remove)")
    return found
