"""The evaluation part of a review: mistakes, likely label errors, curves, slices, what changed."""

from __future__ import annotations

from components.release.predictions import read_predictions
from components.review.inputs import ReviewInputs
from components.review.record import EvaluationReview


def review_evaluation(inputs: ReviewInputs) -> EvaluationReview | None:
    """Return the evaluation part; None if the evaluation has no answers.

    Args:
      inputs: The artifacts of the run.
    """
    found = read_predictions(inputs.evaluation)
    return EvaluationReview(len(found.sources)) if found else None
