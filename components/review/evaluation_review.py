"""The evaluation part of a review: mistakes, likely label errors, curves, slices, what changed."""

from __future__ import annotations

from components.release.predictions import Predictions, read_predictions
from components.review.change import change_of
from components.review.class_quality import class_qualities
from components.review.confusion import confusion_cells
from components.review.decisions import Decisions
from components.review.held_out import fill_pictures
from components.review.inputs import ReviewInputs
from components.review.intervals import share
from components.review.mistakes import worst_mistakes
from components.review.record import EvaluationReview


def review_evaluation(inputs: ReviewInputs) -> EvaluationReview | None:
    """Return the evaluation part; None if the evaluation has no answers.

    Args:
      inputs: The artifacts of the run.
    """
    found = read_predictions(inputs.evaluation)
    if found is None:
        return None
    review = _of_names(Decisions(found, inputs.task.is_multi_label)) if found.names else _of_numbers(found)
    fill_pictures(inputs, review.all_pictures())
    return review


def _of_names(decisions: Decisions) -> EvaluationReview:
    right, before = decisions.right, decisions.right_before
    return EvaluationReview(
        len(right),
        share(int(right.sum()), len(right)),
        share(int(before.sum()), len(before)) if before is not None else None,
        class_qualities(decisions),
        confusion=[] if decisions.several else confusion_cells(decisions),
        mistakes=worst_mistakes(decisions),
        mistake_count=int((~right).sum()),
        change=change_of(decisions),
    )


def _of_numbers(found: Predictions) -> EvaluationReview:
    return EvaluationReview(len(found.sources))
