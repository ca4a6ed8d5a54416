"""The section `data` of the page: splits, pictures of each class, sizes, copies, the quarantine, anomalies."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import Anomaly, DataReview, Picture, Quarantined, Review, Twin
from data.images.headers import REMARKS
from pipeline.report.page.charts import Chart
from pipeline.report.page.class_rows import ClassesView, view_classes
from pipeline.report.page.data_charts import draw_sizes, size_facts
from pipeline.report.page.metric_text import PRECISION
from pipeline.report.page.text import count_noun, format_share
from pipeline.report.record import DataSummary, RunRecord
from pipeline.report.summary import format_counts

SPLITS = ("train", "eval", "test")
SHOWN = 12  # copies and inputs in quarantine that are shown at first
_REMOVE = "Run with --set ingest.duplicates=remove to take them out."


@dataclass(frozen=True)
class SplitRow:
    """A split of the data.

    Attributes:
      name: train, eval or test.
      examples: Number of examples.
      share: Of all examples, 0..1.
      place: Folder or files that it was read from; "" if the content decided.
    """

    name: str
    examples: int
    share: float
    place: str


@dataclass(frozen=True)
class CopiesView:
    """Pictures that are there twice.

    Attributes:
      title: What they have in common.
      lead: How many there are, and what that means.
      twins: Some of them.
    """

    title: str
    lead: str
    twins: list[Twin]


@dataclass(frozen=True)
class QuarantineView:
    """Inputs that were left out.

    Attributes:
      lead: How many of how many, and why.
      file: The whole list; "" if its place is unknown.
      shown: Some of them, those with a picture first.
      rest: Number of those that are not shown.
    """

    lead: str
    file: str
    shown: list[Quarantined]
    rest: int


@dataclass(frozen=True)
class DataView:
    """What the template `data.html.j2` shows.

    Attributes:
      splits: In the order train, eval, test.
      classes: Classes or labels with their pictures; None for numbers.
      samples_title: What the pictures that are in no class are.
      samples: These pictures.
      facts: Names and values: sizes, formats.
      facts_lead: Of which examples they are.
      charts: Histograms.
      remarks: What decoding ignores silently, a line each.
      copies: In training and another split; with two labels.
      quarantine: None if nothing was left out.
      ignored: Files that are not used, a line each.
      anomalies: What TFDV found.
      is_checked: Whether TFDV's findings are known.
      label_errors: Number of likely label errors that the section on the evaluation shows.
      unusual: Number of unusual pictures there.
      shown: Number of copies and of inputs in quarantine that are shown at first.
    """

    splits: list[SplitRow]
    classes: ClassesView | None
    samples_title: str
    samples: list[Picture]
    facts: list[tuple[str, str]]
    facts_lead: str
    charts: list[Chart]
    remarks: list[str]
    copies: list[CopiesView]
    quarantine: QuarantineView | None
    ignored: list[str]
    anomalies: list[Anomaly]
    is_checked: bool
    label_errors: int
    unusual: int
    shown: int = SHOWN


def build_data(record: RunRecord, review: Review) -> DataView | None:
    """Return the view; None if the run has nothing to show here.

    Args:
      record: Of the run.
      review: The pictures.
    """
    if record.data is None and review.data is None:
        return None
    data, found, answers = record.data or DataSummary(), review.data or DataReview(), review.evaluation
    classes = view_classes(data, found, _is_several(record, data))
    return DataView(
        _splits(data),
        classes,
        "Pictures without a label" if classes else "Pictures in the order of their number",
        found.samples,
        size_facts(data, found),
        _facts_lead(data, found),
        draw_sizes(found),
        [f"{count_noun(count, 'picture')} {REMARKS.get(name, name)}" for name, count in data.remarks.items()],
        _copies(data, found),
        _quarantine(data, found),
        _ignored(data),
        found.anomalies,
        review.data is not None,
        len(answers.label_errors) if answers else 0,
        len(answers.unusual) if answers else 0,
    )


def _facts_lead(data: DataSummary, found: DataReview) -> str:
    """Return of which examples the sizes and formats are; TFDV's statistics may be of a sample."""
    measured, total = sum(found.formats.values()), sum(data.examples.values())
    if 0 < measured < total:
        return f"Of a sample of {measured:,} of {total:,} pictures; sizes are those of the training data."
    return "Sizes are those of the training data."


def _is_several(record: RunRecord, data: DataSummary) -> bool:
    """Return whether an example may have several labels: by the metric; before the Evaluator has run, by the counts."""
    if record.evaluation:
        return record.evaluation.metric == PRECISION
    counts = data.labels.get("train", {})
    return bool(counts) and sum(counts.values()) != data.examples.get("train")


def _splits(data: DataSummary) -> list[SplitRow]:
    total = sum(data.examples.values())
    names = sorted(data.examples, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS))
    return [SplitRow(name, data.examples[name], data.examples[name] / max(1, total), data.layout.get(name, ""))
            for name in names]  # fmt: skip


def _copies(data: DataSummary, found: DataReview) -> list[CopiesView]:
    """Return the pictures in training and in another split, and those with two labels."""
    views = []
    remedy = "" if data.removed else f" {_REMOVE}"
    removed = f" {count_noun(data.removed, 'copy was', 'copies were')} removed." if data.removed else ""
    duplicates = max(data.duplicate_count, len(found.duplicates))
    contradictions = max(data.contradiction_count, len(found.contradictions))
    if duplicates:
        has = count_noun(duplicates, "example outside of training has", "examples outside of training have")
        lead = f"{has} a copy in training, so that the evaluation looks better than it is.{removed}{remedy}"
        views.append(CopiesView("In training and in another split", lead, found.duplicates or _twins(data.duplicates)))
    if contradictions:
        has = count_noun(contradictions, "example has", "examples have")
        lead = f"{has} the same content as one with another label: one of the labels is wrong.{removed}{remedy}"
        twins = found.contradictions or _twins(data.contradictions)
        views.append(CopiesView("The same content with two labels", lead, twins))
    return views


def _twins(pairs: list[dict[str, str]]) -> list[Twin]:
    """Return copies without pictures, of a run without a review."""
    return [Twin(Picture(next(iter(pair.values()), "")), pair) for pair in pairs]


def _quarantine(data: DataSummary, found: DataReview) -> QuarantineView | None:
    count = max(sum(data.quarantined.values()), len(found.quarantine))
    if not count:
        return None
    total = count + sum(data.examples.values())
    were = count_noun(count, "input was", "inputs were")
    reasons = f": {format_counts(data.quarantined)}" if data.quarantined else ""
    lead = f"{were} left out, {format_share(count / total)} of the data{reasons}."
    file = f"{data.folder}/quarantine.jsonl" if data.folder else ""
    return QuarantineView(lead, file, found.quarantine, count - len(found.quarantine))


def _ignored(data: DataSummary) -> list[str]:
    lines = []
    if data.unused:
        total = count_noun(sum(data.unused.values()), "picture or data file is", "pictures or data files are")
        lines.append(f"{total} not used: {format_counts(data.unused)}")
    if data.not_pictures:
        total = count_noun(sum(data.not_pictures.values()), "file is not a picture", "files are not pictures")
        lines.append(f"{total}: {format_counts(data.not_pictures)}")
    return lines
