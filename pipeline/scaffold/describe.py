"""Describe the findings of `skewless new`: a table of the classes, one line for each fact, and advice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.markup import escape
from rich.table import Table

from data.images.headers import ALPHA, EXIF_ROTATION, REMARKS
from data.ingest.shards import Ingest
from data.names import printable
from data.spec import Labels
from pipeline.report.summary import format_counts
from pipeline.scaffold.choose import Choice, is_uneven
from pipeline.scaffold.pretrained import PATIENCE, keras_cache
from pipeline.scaffold.survey import Survey
from pipeline.scaffold.table import PictureTable

SHOWN = 20  # classes in the table
FEW = 20  # pictures of a class
_SPLITS = {"train": "train", "eval": "evaluation", "test": "test", "": "pictures"}


def class_table(survey: Survey) -> Table:
    """Return a table of the classes with their pictures in each split; of many classes, the largest and smallest."""
    what = "with {} labels" if survey.is_multi_label else "of {} classes"
    title = f"{survey.total:,} pictures {what.format(len(survey.by_class))}"
    found = Table(title=title, title_justify="left")
    found.add_column("label" if survey.is_multi_label else "class")
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
            count, all_of_them = survey.counts[split].get(name, 0), survey.count_of(split)
            cells += [f"{count:,}", f"{count / all_of_them:.1%}"]
        found.add_row(escape(name) or f"... {len(survey.by_class) - SHOWN} more", *cells)
    return found


def describe_facts(survey: Survey) -> dict[str, str]:
    """Return facts by name, a short line for each."""
    return {
        "pictures": _counts(survey),
        **({"table": _table(survey.table)} if survey.table else {}),
        ("labels" if survey.is_multi_label else "classes"): _classes(survey),
        "formats": _formats(survey),
        "size": _sizes(np.array(survey.sizes)),
        "decoded": f"{survey.looked_at:,} of {survey.total:,}, {_unreadable(survey)}",
    }


def describe_model(choice: Choice) -> str:
    """Return one line about the network."""
    found = choice.pretrained
    if not found:
        return f"a small network from random weights, {len(choice.filters)} convolutions"
    width = f" {found.alpha:g}" if found.alpha != 1 else ""
    if not found.file:
        place = "which the first run downloads"
    else:
        place = f"from {'the cache of Keras' if found.in_cache else 'the file'} {printable(found.file)}"
    return f"{found.backbone}{width} with pretrained weights, {place}"


def _counts(survey: Survey) -> str:
    if "" in survey.counts:
        ingest = Ingest()
        parts = ingest.train_buckets + ingest.eval_buckets
        return f"{survey.total:,}; a hash of the content puts one in {parts} into the evaluation split"
    return ", ".join(
        f"{survey.count_of(split):,} {_SPLITS[split]} from {printable(survey.layout[split])}"
        f"{'' if survey.table else '/'}"
        for split in survey.counts
    )


def _table(table: PictureTable) -> str:
    source = table.source
    several = isinstance(table.label, Labels)
    columns = [f"paths in {source.path}", f"{'labels' if several else 'classes'} in {', '.join(source.labels[:3])}"]
    if len(source.labels) > 3:
        columns[-1] += f" and {len(source.labels) - 3} more"
    columns += [f"splits in {source.split}"] if source.split else []
    return f"{printable(table.name)}: {', '.join(columns)}"


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
    return f"{formats}; colour{f', with an alpha channel ({opaque})' if alpha else ''}"


def _sizes(sizes: np.ndarray) -> str:
    """Return the median of height x width; if the sizes differ, also their range and that of the aspect ratios."""
    tall, wide = np.median(sizes, axis=0)
    if len(np.unique(sizes, axis=0)) == 1:
        return f"{tall:.0f}x{wide:.0f} pixels (height x width) for all"
    (low_tall, low_wide), (high_tall, high_wide) = sizes.min(axis=0), sizes.max(axis=0)
    aspects = sizes[:, 1] / sizes[:, 0]
    return (
        f"{tall:.0f}x{wide:.0f} pixels (height x width) in the median, {low_tall}x{low_wide} to"
        f" {high_tall}x{high_wide}; width / height {aspects.min():.2f} to {aspects.max():.2f}"
    )


def _unreadable(survey: Survey) -> str:
    return f"{len(survey.bad)} cannot be decoded" if survey.bad else "all without errors"


def give_advice(survey: Survey, choice: Choice, missed_weights: bool = False) -> list[str]:
    """Return what to know before a run, and what to do about it.

    Args:
      survey: What was found.
      choice: The values in the task.
      missed_weights: Whether pretrained weights would help, and were looked for in vain.
    """
    return [
        *_about_broken(survey),
        *_about_classes(survey),
        *_about_pictures(survey, choice),
        *_about_others(survey),
        *(_about_weights() if missed_weights else ()),
    ]


def _about_broken(survey: Survey) -> Iterator[str]:
    if survey.bad_rows:
        row, reason = survey.bad_rows[0]
        yield f"runs leave out rows that cannot be used: {row} ({reason}){_and_more(len(survey.bad_rows) - 1)}"
        share = len(survey.bad_rows) / (len(survey.bad_rows) + survey.total)
        if share > Ingest().max_quarantine:
            yield f"runs stop if more than {Ingest().max_quarantine:.0%} cannot be used: repair or remove them first"
    if not survey.bad:
        return
    path, reason = survey.bad[0]
    yield f"runs leave out pictures that cannot be decoded: {path} ({reason}){_and_more(len(survey.bad) - 1)}"
    limit = Ingest().max_quarantine
    if len(survey.bad) > limit * survey.looked_at:
        yield f"runs stop if more than {limit:.0%} are broken: replace or remove them first"


def _about_classes(survey: Survey) -> Iterator[str]:
    counts = survey.by_class.most_common()
    if is_uneven(survey):
        yield 'the class sizes differ a lot: training gives each class the same weight (class_weight="balanced")'
    few = [name for name, _ in counts if survey.split["train"][name] < FEW]
    if few:
        yield f"fewer than {FEW} training pictures: {few[0]}{_and_more(len(few) - 1)}; expect a low accuracy for them"
    untested = [name for name, _ in counts if not survey.split["eval"][name]]
    if untested:
        yield f"no picture for evaluation: {untested[0]}{_and_more(len(untested) - 1)}"


def _about_pictures(survey: Survey, choice: Choice) -> Iterator[str]:
    if choice.height == choice.width and np.ptp(np.array(survey.sizes) @ [1, -1]):
        size = f"{choice.height}x{choice.width}"
        yield f"the pictures have different shapes; all are stretched to {size}: fit='pad' or 'crop' keeps their shape"
    if survey.see_through:
        yield f'transparent parts become {choice.background}, also in serving: background="{choice.background}"'
    turned = survey.remarks[EXIF_ROTATION]
    if turned:
        yield f'{turned} of the decoded pictures carry an EXIF rotation: orientation="exif" turns them, also in serving'
    for name, count in survey.remarks.items():
        if name not in (ALPHA, EXIF_ROTATION):  # `see_through` reports those that matter
            yield f"{count} of the decoded pictures {REMARKS[name]}"
    if choice.augment:
        mirrored = " and mirrors" if choice.flip else ""
        yield f"training rotates, shifts, zooms{mirrored} the pictures at random (augment)"


def _about_weights() -> Iterator[str]:
    yield (
        f"pretrained weights would help, but {keras_cache()} has none and the network did not answer within"
        f" {PATIENCE:.0f} s: --weights FILE takes those of a backbone of keras.applications, without its top"
    )


def _about_others(survey: Survey) -> Iterator[str]:
    yield from survey.notes
    if survey.unused:
        yield f"{survey.unused.total():,} pictures are not used: {format_counts(survey.unused)}"
    if survey.not_pictures:
        yield f"ignored, because they are no pictures: {format_counts(survey.not_pictures)}"


def _and_more(count: int) -> str:
    return f" and {count:,} more" if count else ""
