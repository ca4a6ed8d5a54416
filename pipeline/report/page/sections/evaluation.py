"""The section `evaluation` of the page."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import Review
from pipeline.report.record import RunRecord


@dataclass(frozen=True)
class EvaluationView:
    """What the template `evaluation.html.j2` shows.

    Attributes:
      status: Of the run.
    """

    status: str


def build_evaluation(record: RunRecord, review: Review) -> EvaluationView | None:
    """Return the view; None if the run has nothing to show here.

    Args:
      record: Of the run.
      review: The pictures.
    """
    return EvaluationView(record.status)
