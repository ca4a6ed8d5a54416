"""The classes or labels of the data on the page: their sizes by split, and pictures of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from components.review.record import DataReview, Picture
from pipeline.report.page.text import count_noun
from pipeline.report.record import DataSummary

FEW = 24  # classes up to which each has a row with its pictures
CARDS = 36  # pictures of more classes that are shown at first
ROWS = 20  # of the table of more classes that are shown at first
MOST_ROWS = 2000  # of that table
_ORDER = ("train", "eval", "test")


@dataclass(frozen=True)
class ClassRow:
    """A class or label with its pictures.

    Attributes:
      name: Of the class; untrusted text.
      counts: Number of examples by split, in the order of `ClassesView.splits`.
      segments: Left end and width of the part of each split in the bar, in percent of the largest class.
      pictures: Some of them; may be empty.
    """

    name: str
    counts: list[int]
    segments: list[tuple[float, float]]
    pictures: list[Picture]


@dataclass(frozen=True)
class ClassesView:
    """The classes or labels.

    Attributes:
      title: Classes or labels.
      lead: How many there are, and how large.
      splits: Names of the splits.
      rows: All classes in the order of the model's outputs, if they are few; otherwise empty.
      cards: Pictures of different classes, if they are many.
      table: Name and counts of each class, if they are many, the largest first.
      cut: What the table leaves out; "" if nothing.
      shown_cards, shown_rows: How many are shown at first.
    """

    title: str
    lead: str
    splits: list[str]
    rows: list[ClassRow]
    cards: list[Picture]
    table: list[list[str]]
    cut: str
    shown_cards: int = CARDS
    shown_rows: int = ROWS


def view_classes(data: DataSummary, found: DataReview, is_several: bool) -> ClassesView | None:
    """Return the classes or labels; None if the data have none.

    Args:
      data: Their numbers.
      found: Their pictures.
      is_several: Whether an example has several labels.
    """
    by_split = data.labels or _labels_of(found)
    splits = [split for split in _ORDER if by_split.get(split)]
    names = list(dict.fromkeys(name for split in splits for name in by_split[split]))
    if not names:
        return None
    counts = {name: [by_split[split].get(name, 0) for split in splits] for name in names}
    ordered = sorted(names, key=lambda name: -sum(counts[name]))
    pictures = {one.name: one.pictures for one in found.classes}
    is_few = len(names) <= FEW
    listed = [] if is_few else _ends(ordered)
    table = [[name, *(f"{count:,}" for count in counts[name])] for name in listed]
    is_cut = 0 < len(listed) < len(names)
    return ClassesView(
        *_words(counts, is_several),
        splits,
        _rows(names, counts, pictures) if is_few else [],
        [] if is_few else _cards(ordered, counts, splits, pictures),
        table,
        f"The table has the {MOST_ROWS // 2:,} largest and the {MOST_ROWS // 2:,} smallest of them." if is_cut else "",
    )


def _labels_of(found: DataReview) -> dict[str, dict[str, int]]:
    """Return the number of examples by split and class as the review knows them, for a record without the numbers."""
    splits = dict.fromkeys(split for one in found.classes for split in one.examples)
    return {split: {one.name: one.examples.get(split, 0) for one in found.classes} for split in splits}


def _words(counts: Mapping[str, list[int]], is_several: bool) -> tuple[str, str]:
    """Return the title and the lead."""
    train = sorted(found[0] for found in counts.values())
    noun, plural = ("label", "labels") if is_several else ("class", "classes")
    sizes = f"{train[0]:,} to {train[-1]:,}" if train[0] != train[-1] else f"{train[0]:,}"
    lead = f"{count_noun(len(train), noun, plural)} with {sizes} training examples each."
    several = " An example counts for each of its labels." if is_several else ""
    return plural.capitalize(), lead + several


def _rows(names: list[str], counts: Mapping[str, list[int]], pictures: Mapping[str, list[Picture]]) -> list[ClassRow]:
    largest = max(1, *(sum(one) for one in counts.values()))
    rows = []
    for name in names:
        segments, left = [], 0.0
        for count in counts[name]:
            width = 100 * count / largest
            segments.append((round(left, 2), round(width, 2)))
            left += width
        rows.append(ClassRow(name, counts[name], segments, pictures.get(name, [])))
    return rows


def _cards(
    names: list[str],
    counts: Mapping[str, list[int]],
    splits: list[str],
    pictures: Mapping[str, list[Picture]],
) -> list[Picture]:
    """Return one picture of each class that has any, with its counts."""
    return [
        dataclasses.replace(
            pictures[name][0],
            label=name,
            detail=", ".join(f"{count:,} {split}" for count, split in zip(counts[name], splits, strict=True)),
        )
        for name in names
        if pictures.get(name)
    ]


def _ends(names: list[str]) -> list[str]:
    """Return the names, of very many the first and the last."""
    half = MOST_ROWS // 2
    return names if len(names) <= MOST_ROWS else names[:half] + names[-half:]
