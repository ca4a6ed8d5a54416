"""The section `overview` of the page."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import Review
from pipeline.report.record import RunRecord


@dataclass(frozen=True)
class OverviewView:
    """What the template `overview.html.j2` shows.

    Attributes:
      status: Of the run.
    """

    status: str


def build_overview(record: RunRecord, review: Review) -> OverviewView | None:
    """Return the view; None if the run has nothing to show here.

    Args:
      record: Of the run.
      review: The pictures.
    """
    return OverviewView(record.status)
