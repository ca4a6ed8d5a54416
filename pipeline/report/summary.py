"""The last lines of a run: what it read, how it trained, how good the model is, and where it is served from."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from data.images.headers import REMARKS
from data.names import printable
from pipeline.paths import Paths
from pipeline.report.record import RunRecord
from pipeline.report.skew import summary_line

_NAMES = {"sparse_categorical_accuracy": "accuracy", "mean_squared_error": "mean squared error"}


_REMOVE = "; --set ingest.duplicates=remove takes them out"
_STAGES = {"read": "read the files", "parse": "parse the records", "transform": "decode and resize"}


def print_summary(record: RunRecord, paths: Paths, console: Console) -> None:
    """Prints a few lines and the warnings that the data call for."""
    console.print()
    for warning in _warnings(record):
        console.print(f"[yellow]note[/]      {escape(printable(warning))}")
    for name, text in _facts(record).items():
        console.print(f"[bold]{name:<9}[/] {escape(text)}")
    if record.plots:
        folder = posixpath.dirname(record.plots[0])
        console.print(f"[dim]plots     {escape(folder)}/: {', '.join(map(posixpath.basename, record.plots))}[/]")
    console.print(f"[dim]record    {escape(paths.latest)}[/]")
    console.print(f"[dim]serve it  skewless serve {record.task} --root {escape(paths.root)}[/]")


def format_counts(kinds: Mapping[str, int], most: int = 5) -> str:
    """Counts by kind, the largest first, the kinds beyond `most` in one number."""
    ordered = sorted(kinds.items(), key=lambda pair: -pair[1])
    rest = sum(count for _, count in ordered[most:])
    shown = ", ".join(f"{count:,} {kind}" for kind, count in ordered[:most])
    return f"{shown} and {rest:,} of {len(ordered) - most} more kinds" if rest else shown


def _facts(record: RunRecord) -> dict[str, str]:
    examples, layout = record.data.get("examples", {}), record.data.get("layout", {})
    training, metric = record.training, record.evaluation["metric"]
    overall = record.evaluation["slices"]["overall"]
    baseline = record.evaluation["baseline"]
    why = record.evaluation.get("no_baseline")
    before = (
        f", {baseline:.4f} before" if baseline is not None else f"; no baseline: {why}" if why else ", no model before"
    )
    state = "already serving" if record.status == "unchanged" else "pushed"
    return {
        "data": ", ".join(
            f"{examples[split]:,} {split}" + (f" from {layout[split]}" if split in layout else "")
            for split in ("train", "eval", "test")
            if split in examples
        ),
        "training": _training(training),
        "quality": f"{_NAMES[metric]} {overall[metric]:.4f} on {int(overall['example_count']):,} held-out examples"
        f" through the exported signature{before}",
        **({"proof": summary_line(record.skew)} if record.skew.get("passed") else {}),
        state: f"version {record.pushed['version']} in {record.pushed['path']}",
    }


def _training(training: dict[str, Any]) -> str:
    epochs, best = training["epochs"], training["best_epoch"]
    text = f"{epochs} epochs" + (f" (the best, {best}, is exported)" if best != epochs else "")
    text += f", {training['images_per_second']:,.0f} examples/s, "
    text += f"{training['waiting_share']:.0%} of the time waiting for input"
    stages = training.get("input_stages")
    if stages:
        binding = max(stages, key=lambda name: stages[name])
        text += f", of which {stages[binding]:.0%} is to {_STAGES[binding]}"
    text += f"; went on at {training['resumed_at']}" if training["resumed_at"] else ""
    return text + (f"; stopped: {training['stopped']}" if training["stopped"] else "")


def _warnings(record: RunRecord) -> list[str]:
    data, found = record.data, []
    quarantined = sum(data.get("quarantined", {}).values())
    if quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in data["quarantined"].items())
        found.append(f"{quarantined} examples in quarantine ({reasons}): {data['folder']}/quarantine.jsonl")
    found += data.get("notes", [])
    if data.get("unused"):
        found.append(
            f"{sum(data['unused'].values()):,} pictures or data files were passed over: {format_counts(data['unused'])}"
        )
    if data.get("not_pictures"):
        total = sum(data["not_pictures"].values())
        found.append(f"{total:,} files are not a picture ({format_counts(data['not_pictures'])})")
    if data.get("contradiction_count"):
        (label, path), (other, twin) = list(data["contradictions"][0].items())
        found.append(
            f"{data['contradiction_count']} pictures stand under two labels, e.g. {path} ({label}) = {twin} ({other})"
            + (_REMOVE if not data.get("removed") else "")
        )
    if data.get("duplicate_count"):
        split, other = list(data["duplicates"][0].items())[1]
        found.append(
            f"{data['duplicate_count']} evaluation pictures lie in training, too, e.g. {other} ({split})"
            f" = {data['duplicates'][0]['train']}" + (_REMOVE if not data.get("removed") else "")
        )
    if data.get("removed"):
        found.append(f"{data['removed']} copies were removed (ingest.duplicates=remove)")
    unseen = sorted(set(data["labels"].get("train", ())) - set(data["labels"].get("eval", ())))
    if record.evaluation.get("metric") == "sparse_categorical_accuracy" and unseen:
        found.append(f"no held-out example of {', '.join(unseen[:5])}: nothing is known of how well it is told apart")
    found += [f"{count} pictures {REMARKS[name]}" for name, count in data.get("remarks", {}).items()]
    return found
