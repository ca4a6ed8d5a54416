"""How `skewless new` tells what it found: a table of the classes, facts in a line each, and advice."""

from __future__ import annotations

import numpy as np
from rich.markup import escape
from rich.table import Table

from data.images.headers import ALPHA, REMARKS
from data.ingest.shards import Ingest
from data.names import printable
from pipeline.report.summary import format_counts
from pipeline.scaffold.choose import Choice
from pipeline.scaffold.survey import Survey

SHOWN = 20  # classes in the table
FEW = 20  # pictures of a class
UNEVEN = 3  # times as many pictures in the largest class as in the smallest
_SPLITS = {"train": "train", "eval": "evaluation", "test": "test", "": "pictures"}


def class_table(survey: Survey) -> Table:
    """The classes, with the pictures of each split and their share of it; the largest and smallest of many."""
    found = Table(title=f"{survey.total:,} pictures of {len(survey.by_class)} classes", title_justify="left")
    found.add_column("class")
    splits = [split for split in ("", "train", "eval", "test") if split in survey.counts]
    for split in splits:
        found.add_column(_SPLITS[split], justify="right")
        found.add_column("share", justify="right", style="dim")
    names = sorted(survey.by_class)
    if len(names) > SHOWN:
        ordered = [name for name, _ in survey.by_class.most_common()]
        names = [*ordered[: SHOWN - 5], "", *ordered[-5:]]
    for name in names:
        cells = []
        for split in splits if name else ():
            count, all_of_them = survey.counts[split].get(name, 0), sum(survey.counts[split].values())
            cells += [f"{count:,}", f"{count / all_of_them:.1%}"]
        found.add_row(escape(name) or f"... {len(survey.by_class) - SHOWN} more", *cells)
    return found


def describe_facts(survey: Survey) -> dict[str, str]:
    """Facts by name, a short line each."""
    return {
        "pictures": _counts(survey),
        "classes": _classes(survey),
        "formats": _formats(survey),
        "size": _sizes(np.array(survey.sizes)),
        "looked at": f"{survey.looked_at:,} of {survey.total:,}, {_unreadable(survey)}",
    }


def _counts(survey: Survey) -> str:
    if "" in survey.counts:
        ingest = Ingest()
        parts = ingest.train_buckets + ingest.eval_buckets
        return f"{survey.total:,}; the content's hash keeps one in {parts} for evaluation"
    return ", ".join(
        f"{sum(survey.counts[split].values()):,} {_SPLITS[split]} from {printable(survey.layout[split])}/"
        for split in survey.counts
    )


def _classes(survey: Survey) -> str:
    ordered = survey.by_class.most_common()
    (largest, most), (smallest, least) = ordered[0], ordered[-1]
    if most == least:
        return f"{len(ordered)} of {most:,} pictures each"
    times = f", {most / least:.{0 if most > 10 * least else 1}f} times as many" if most > 1.2 * least else ""
    return f"{len(ordered)}, from {least:,} pictures ({smallest}) to {most:,} ({largest}){times}"


def _formats(survey: Survey) -> str:
    formats = ", ".join(name.upper() for name, _ in survey.formats.most_common())
    if survey.is_grey:
        stored = "" if set(survey.channels) <= {1, 2} else ", stored as colour"
        return f"{formats}; grey{stored}"
    alpha = survey.remarks[ALPHA]
    opaque = "with transparent parts" if survey.see_through else "opaque"
    return f"{formats}; colour{f', with an alpha channel ({opaque}), which is dropped' if alpha else ''}"


def _sizes(sizes: np.ndarray) -> str:
    """Height x width: the median, the extremes where there are others, and the range of the shapes."""
    tall, wide = np.median(sizes, axis=0)
    if len(np.unique(sizes, axis=0)) == 1:
        return f"{tall:.0f}x{wide:.0f} pixels (height x width), all of them"
    (low_tall, low_wide), (high_tall, high_wide) = sizes.min(axis=0), sizes.max(axis=0)
    aspects = sizes[:, 1] / sizes[:, 0]
    return (
        f"{tall:.0f}x{wide:.0f} pixels (height x width) in the median, from {low_tall}x{low_wide} to"
        f" {high_tall}x{high_wide}; width / height {aspects.min():.2f} to {aspects.max():.2f}"
    )


def _unreadable(survey: Survey) -> str:
    return f"{len(survey.bad)} of them cannot be decoded" if survey.bad else "all of them can be decoded"


def give_advice(survey: Survey, choice: Choice) -> list[str]:
    """What to know before a run, and what to do about it."""
    found = []
    if survey.bad:
        path, reason = survey.bad[0]
        found.append(f"a run leaves out what it cannot decode: {path} ({reason}){_and_more(len(survey.bad) - 1)}")
        limit = Ingest().max_quarantine
        if len(survey.bad) > limit * survey.looked_at:
            found.append(f"a run stops where more than {limit:.0%} are broken: replace or remove them first")
    counts = survey.by_class.most_common()
    if counts[0][1] >= UNEVEN * counts[-1][1]:
        found.append("the classes are of uneven size: look at the accuracy of each, which a run reports, too")
    few = [name for name, _ in counts if survey.split["train"][name] < FEW]
    if few:
        found.append(f"fewer than {FEW} pictures to train on: {few[0]}{_and_more(len(few) - 1)}; expect little of them")
    untested = [name for name, _ in counts if not survey.split["eval"][name]]
    if untested:
        found.append(f"no picture to evaluate: {untested[0]}{_and_more(len(untested) - 1)}")
    if choice.height == choice.width and np.ptp(np.array(survey.sizes) @ [1, -1]):
        found.append(f"the pictures' shapes differ; all are stretched to {choice.height}x{choice.width}")
    if survey.see_through:
        found.append("transparency is dropped: what lies beneath it, often black, is what the model sees")
    for name, count in survey.remarks.items():
        if name != ALPHA:  # told above, where a part is transparent
            found.append(f"{count} of those looked at {REMARKS[name]}")
    found += survey.notes
    if survey.unused:
        found.append(f"{survey.unused.total():,} pictures are passed over: {format_counts(survey.unused)}")
    if survey.not_pictures:
        found.append(f"passed over, as no pictures: {format_counts(survey.not_pictures)}")
    if choice.augment:
        mirrored = " and mirrors" if choice.flip else ""
        found.append(f"few pictures: training turns, shifts, zooms{mirrored} them at random (augment)")
    return found


def _and_more(count: int) -> str:
    return f" and {count:,} more" if count else ""
