"""The section `serving` of the page."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import Review
from pipeline.report.record import RunRecord


@dataclass(frozen=True)
class ServingView:
    """What the template `serving.html.j2` shows.

    Attributes:
      status: Of the run.
    """

    status: str


def build_serving(record: RunRecord, review: Review) -> ServingView | None:
    """Return the view; None if the run has nothing to show here.

    Args:
      record: Of the run.
      review: The pictures.
    """
    return ServingView(record.status)
