"""The proof part of a review: the pictures on which routes differ most, and those that clients change."""

from __future__ import annotations

from components.review.inputs import ReviewInputs
from components.review.record import ProofReview


def review_proof(inputs: ReviewInputs) -> ProofReview | None:
    """Return the proof part; None if the gate did not check the model.

    Args:
      inputs: The artifacts of the run.
    """
    return ProofReview() if inputs.gate else None
