"""The clients part of a review: what clients with their own preprocessing would cost, once the model is pushed."""

from __future__ import annotations

from components.prepare.schema import classes_of, read_schema
from components.review.client_pictures import is_measured, measure_client_skew
from components.review.client_pixels import client_picture
from components.review.inputs import ReviewInputs
from components.review.record import ClientPicture
from components.training.trained_model import restore_model
from serving.parity.client_skew import ClientSkewCost


def review_clients(inputs: ReviewInputs) -> tuple[list[ClientSkewCost], list[ClientPicture]]:
    """Return the cost of each client, and a picture of each that changes an answer; nothing if it is not pushed.

    Args:
      inputs: The artifacts of the run.
    """
    classes = classes_of(read_schema(inputs.schema)) if inputs.is_pushed else ()
    if not is_measured(inputs.task, len(classes)):
        return [], []
    costs, changed = measure_client_skew(restore_model(inputs.task, classes, inputs.model_run), inputs.examples)
    return costs, [client_picture(one) for one in changed]
