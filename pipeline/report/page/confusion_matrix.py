"""The confusion matrix of the page; of many classes the pairs that are confused most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.review.record import ConfusionCell, EvaluationReview, Picture
from data.sources.labels import label_order
from pipeline.report.confusion_plot import Confusion, list_confused
from pipeline.report.page.text import format_share
from pipeline.report.record import EvaluationSummary

MOST_CLASSES = 30  # of a matrix
MOST_PAIRS = 30  # that are shown at once
LISTED_PAIRS = 300  # with those that a click shows
LEVELS = 10  # shades of a cell


@dataclass(frozen=True)
class MatrixCell:
    """A cell of the matrix.

    Attributes:
      count: Number of examples.
      text: What it is, in words: "12 of cat taken for dog, 3.4%".
      level: Shade, 0..LEVELS.
      is_right: Whether it is on the diagonal.
      panel: ID of the element that has its pictures; "" without pictures.
    """

    count: int
    text: str
    level: int
    is_right: bool
    panel: str


@dataclass(frozen=True)
class MatrixRow:
    """A class with its cells, in the order of the classes."""

    name: str
    examples: int
    cells: list[MatrixCell]


@dataclass(frozen=True)
class CellPanel:
    """The pictures of a cell, or of a pair of classes.

    Attributes:
      panel: ID of the element.
      label: The right class.
      answer: The model's answer.
      count: Number of examples.
      share: Of the examples of the class, as text.
      pictures: Some of them; may be empty.
    """

    panel: str
    label: str
    answer: str
    count: int
    share: str
    pictures: list[Picture]

    @property
    def is_right(self) -> bool:
        """Whether the answer is right."""
        return self.label == self.answer


@dataclass(frozen=True)
class ConfusionView:
    """The confusion of the classes.

    Attributes:
      names: The classes in the order of the matrix; empty if there are too many for one.
      rows: Of the matrix.
      panels: Pictures of its cells, the most frequent mistake first.
      pairs: Instead of a matrix: the pairs of classes that are confused most.
      pair_count: Number of all such pairs.
      class_count: Number of all classes.
    """

    names: list[str]
    rows: list[MatrixRow]
    panels: list[CellPanel]
    pairs: list[CellPanel]
    pair_count: int
    class_count: int


def view_confusion(evaluation: EvaluationSummary | None, review: EvaluationReview | None) -> ConfusionView | None:
    """Return the view; None without classes.

    Args:
      evaluation: The Evaluator's counts.
      review: The pictures, and the counts if the Evaluator has none.
    """
    cells = review.confusion if review else []
    confusion = _counts(evaluation, cells)
    if not confusion:
        return None
    names = label_order({*confusion, *(answer for answers in confusion.values() for answer in answers)})
    pictures = {(one.label, one.answer): one.pictures for one in cells}
    totals = {label: sum(answers.values()) for label, answers in confusion.items()}
    pairs = list_confused(confusion)
    if len(names) > MOST_CLASSES:
        shown = [
            _panel(place, pair, totals, pictures.get(pair[:2], [])) for place, pair in enumerate(pairs[:LISTED_PAIRS])
        ]
        return ConfusionView([], [], [], shown, len(pairs), len(names))
    right = sorted(((name, name, answers[name]) for name, answers in confusion.items() if name in answers), key=_order)
    every = [one for one in [*pairs, *right] if pictures.get(one[:2])]
    panels = [_panel(place, one, totals, pictures[one[:2]]) for place, one in enumerate(every)]
    ids = {(one.label, one.answer): one.panel for one in panels}
    rows = [
        MatrixRow(
            label,
            totals.get(label, 0),
            [_cell(label, answer, confusion, totals.get(label, 0), ids.get((label, answer), "")) for answer in names],
        )
        for label in names
    ]
    return ConfusionView(names, rows, panels, [], len(pairs), len(names))


def _counts(evaluation: EvaluationSummary | None, cells: Sequence[ConfusionCell]) -> Confusion:
    if evaluation and evaluation.confusion:
        return evaluation.confusion
    found: dict[str, dict[str, int]] = {}
    for one in cells:
        found.setdefault(one.label, {})[one.answer] = one.count
    return found


def _order(pair: tuple[str, str, int]) -> tuple[int, str]:
    return -pair[2], pair[0]


def _panel(place: int, pair: tuple[str, str, int], totals: dict[str, int], pictures: list[Picture]) -> CellPanel:
    label, answer, count = pair
    return CellPanel(f"cell-{place}", label, answer, count, format_share(count / max(totals[label], 1)), pictures)


def _cell(label: str, answer: str, confusion: Confusion, total: int, panel: str) -> MatrixCell:
    count = confusion.get(label, {}).get(answer, 0)
    share = count / max(total, 1)
    is_right = label == answer
    # A mistake is a small share: the root shows that there is one, and still which of two is larger.
    level = math.ceil(LEVELS * (share if is_right else math.sqrt(share)))
    text = f"{count:,} of {label} {'right' if is_right else f'taken for {answer}'}, {format_share(share)}"
    return MatrixCell(count, text, level, is_right, panel)
