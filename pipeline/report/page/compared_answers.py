"""The answers of two runs to the examples that both have: which model is right where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.release.predictions import Predictions, read_predictions
from components.review.change import change_of, change_of_numbers
from components.review.decisions import Decisions
from components.review.held_out import fill_thumbnails
from components.review.intervals import share
from components.review.record import Change, EvaluationReview, Interval, Picture
from components.review.regression import squared_error
from data.spec import Image
from pipeline.report.page.metric_text import ACCURACY, ERROR, PRECISION
from pipeline.report.record import RunRecord

_NEVER = float("inf")  # threshold of a label that a model does not know
_TRAIN = "train"


@dataclass(frozen=True)
class ComparedAnswers:
    """The answers of run A and run B to the same examples.

    Attributes:
      shared: Number of examples that both runs have, with the same label.
      examples: Number of held-out examples of A and of B.
      metric: The metric of what follows.
      before: Its value for A, on the shared examples; None if it is not defined.
      now: The same for B.
      change: From A to B; None if it is not defined. Its pictures have B's answer, A's in `detail`, and thumbnails.
    """

    shared: int
    examples: tuple[int, int]
    metric: str
    before: Interval | None = None
    now: Interval | None = None
    change: Change | None = None


def compare_answers(
    one: RunRecord, other: RunRecord, reviews: Sequence[EvaluationReview | None] = ()
) -> ComparedAnswers | None:
    """Return the comparison; None if a run has no answers, or if the models answer different questions.

    Args:
      one: Record of run A.
      other: Record of run B.
      reviews: Where thumbnails are looked for before the data are read.
    """
    first, second = _answers_of(one), _answers_of(other)
    if first is None or second is None or not _are_comparable(first, second):
        return None
    several = bool(other.evaluation and other.evaluation.metric == PRECISION)
    joined = join_answers(first, second)
    examples = len(first.sources), len(second.sources)
    if not joined.sources:
        return ComparedAnswers(0, examples, _metric(joined, several))
    found = _compare_numbers(joined, examples) if not joined.names else _compare_names(joined, several, examples)
    pictures = [*found.change.pictures_won, *found.change.pictures_lost] if found.change else []
    for picture in pictures:
        picture.detail = "; ".join(part for part in (f"A: {picture.before}", picture.detail) if part)
        picture.before = ""
    if not joined.vectors.shape[1]:
        _copy_thumbnails(pictures, reviews)
        for record in (other, one):
            _read_thumbnails(record, [picture for picture in pictures if not picture.thumbnail])
    return found


def join_answers(first: Predictions, second: Predictions) -> Predictions:
    """Return the answers to the examples that both have with the same label: those of `first` as the baseline.

    Examples are the same if their sources are, or without a source their numbers; one that is not unique is left out.

    Args:
      first: The answers of one model.
      second: The answers of another one, whose labels or numbers are of the same kind.
    """
    rows, others = _unique_rows(second), _unique_rows(first)
    pairs = [(row, others[key]) for key, row in rows.items() if key in others]
    pairs = [(row, place) for row, place in pairs if _same_label(second, row, first, place)]
    now, before = [row for row, _ in pairs], [place for _, place in pairs]
    names = (*second.names, *(name for name in first.names if name not in second.names))
    return Predictions(
        names,
        [second.sources[row] for row in now],
        [second.labels[row] for row in now],
        second.numbers[now] if len(second.numbers) else second.numbers,
        _columns(second, names)[now],
        _columns(first, names)[before],
        second.vectors[now],
        _thresholds(second.names, second.thresholds, names),
        _thresholds(first.names, first.thresholds, names),
    )


def _answers_of(record: RunRecord) -> Predictions | None:
    """Return the answers that the Evaluator kept; None if they are not there."""
    if not record.evaluation or not record.evaluation.folder:
        return None
    try:
        return read_predictions(record.evaluation.folder)
    except tf.errors.OpError:
        return None


def _are_comparable(first: Predictions, second: Predictions) -> bool:
    """Return whether both answer with names or both with numbers, from inputs of the same size."""
    return bool(first.names) == bool(second.names) and first.vectors.shape[1:] == second.vectors.shape[1:]


def _unique_rows(found: Predictions) -> dict[str | bytes, int]:
    """Return the row of each example that is there once, by its source, or by its numbers if it has no source."""
    keys = [source or found.vectors[row].tobytes() for row, source in enumerate(found.sources)]
    counts = Counter(keys)
    return {key: row for row, key in enumerate(keys) if key and counts[key] == 1}


def _same_label(one: Predictions, row: int, other: Predictions, place: int) -> bool:
    if len(one.numbers):
        return bool(one.numbers[row] == other.numbers[place])
    return set(one.labels[row]) == set(other.labels[place])


def _columns(found: Predictions, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the scores in another order of the names; a name that the model does not know has the score 0."""
    if not names:
        return found.scores
    scores = np.zeros((len(found.scores), len(names)), np.float32)
    scores[:, [names.index(name) for name in found.names]] = found.scores
    return scores


def _thresholds(known: Sequence[str], values: Sequence[float], names: Sequence[str]) -> tuple[float, ...]:
    found = dict(zip(known, values, strict=False))
    return tuple(found.get(name, _NEVER) for name in names) if values else ()


def _metric(joined: Predictions, several: bool) -> str:
    return "exact_match" if several else ACCURACY if joined.names else ERROR


def _compare_names(joined: Predictions, several: bool, examples: tuple[int, int]) -> ComparedAnswers:
    decisions = Decisions(joined, several)
    count = len(joined.sources)
    right, before = decisions.right, decisions.right_before
    return ComparedAnswers(
        count,
        examples,
        _metric(joined, several),
        share(int(before.sum()), count) if before is not None else None,
        share(int(right.sum()), count),
        change_of(decisions),
    )


def _compare_numbers(joined: Predictions, examples: tuple[int, int]) -> ComparedAnswers:
    assert joined.before is not None
    before, now = (squared_error(answers, joined.numbers) for answers in (joined.before, joined.scores))
    change = change_of_numbers(joined)
    return ComparedAnswers(len(joined.sources), examples, ERROR, before, now, change)


# Thumbnails


def _copy_thumbnails(pictures: Sequence[Picture], reviews: Sequence[EvaluationReview | None]) -> None:
    """Take the thumbnails that a review already has."""
    known = {one.source: one for review in reviews if review for one in review.all_pictures() if one.thumbnail}
    for picture in pictures:
        if picture.source in known:
            twin = known[picture.source]
            picture.thumbnail, picture.height, picture.width = twin.thumbnail, twin.height, twin.width


def _read_thumbnails(record: RunRecord, pictures: Sequence[Picture]) -> None:
    """Make the other thumbnails from the held-out data of a run, if they are still there."""
    if not pictures or not record.data or not record.data.folder:
        return
    spec = Image(1, 1)  # the size is not used: pictures are decoded in their own
    for split in record.data.examples:
        if split != _TRAIN:
            try:
                fill_thumbnails(record.data.folder, split, spec, pictures)
            except tf.errors.OpError:
                return
