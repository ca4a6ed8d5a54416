"""The evaluation part of a review: mistakes, likely label errors, curves, slices, what changed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.release.limits import sliced_features
from components.release.predictions import Predictions, read_predictions
from components.review.change import change_of, change_of_numbers
from components.review.class_quality import class_qualities
from components.review.confusion import confusion_cells
from components.review.curves import threshold_curves
from components.review.decisions import Decisions
from components.review.held_out import fill_pictures
from components.review.inputs import ReviewInputs
from components.review.intervals import share
from components.review.label_errors import likely_label_errors
from components.review.mistakes import worst_mistakes
from components.review.record import EvaluationReview, Interval, Picture
from components.review.regression import picture_of_number, residuals_of, squared_error
from components.review.slices import slice_qualities
from components.review.unusual import unusual_rows
from components.task.task import Task
from data.spec import LABEL


def review_evaluation(inputs: ReviewInputs) -> EvaluationReview | None:
    """Return the evaluation part; None if the evaluation has no answers.

    Args:
      inputs: The artifacts of the run.
    """
    found = read_predictions(inputs.evaluation)
    if found is None:
        return None
    rows, among = unusual_rows(inputs, found)
    if found.names:
        decisions = Decisions(found, inputs.task.is_multi_label)
        review = _of_names(decisions, inputs.task)
        review.unusual = [decisions.picture(row, detail) for row, detail in rows]
    else:
        review = _of_numbers(found)
        review.unusual = [picture_of_number(found, row, detail) for row, detail in rows]
    review.unusual_among = among
    fill_pictures(inputs, _pictures(review))
    return review


def _of_names(decisions: Decisions, task: Task) -> EvaluationReview:
    right, before = decisions.right, decisions.right_before
    qualities = class_qualities(decisions)
    errors, error_count = likely_label_errors(decisions)

    def on(rows: npt.NDArray[np.intp]) -> Interval | None:
        return share(int(right[rows].sum()), len(rows))

    by_label = task.is_classification and LABEL in sliced_features(task)
    return EvaluationReview(
        len(right),
        share(int(right.sum()), len(right)),
        share(int(before.sum()), len(before)) if before is not None else None,
        qualities,
        threshold_curves(decisions, qualities),
        confusion=[] if decisions.several else confusion_cells(decisions),
        mistakes=worst_mistakes(decisions),
        mistake_count=int((~right).sum()),
        label_errors=errors,
        label_error_count=error_count,
        slices=slice_qualities(decisions.found, on, by_label=by_label, is_higher_better=True),
        change=change_of(decisions),
    )


def _of_numbers(found: Predictions) -> EvaluationReview:
    def on(rows: npt.NDArray[np.intp]) -> Interval | None:
        return squared_error(found.scores[rows], found.numbers[rows])

    return EvaluationReview(
        len(found.sources),
        squared_error(found.scores, found.numbers),
        squared_error(found.before, found.numbers) if found.before is not None else None,
        slices=slice_qualities(found, on, by_label=False, is_higher_better=False),
        change=change_of_numbers(found),
        residuals=residuals_of(found),
    )


def _pictures(review: EvaluationReview) -> list[Picture]:
    """Return all pictures of the review."""
    found = [*review.mistakes, *review.label_errors, *review.unusual]
    found += [picture for cell in review.confusion for picture in cell.pictures]
    if review.change:
        found += [*review.change.pictures_won, *review.change.pictures_lost]
    return [*found, *(review.residuals.worst if review.residuals else ())]
