"""Precision and recall of each class or label."""

from __future__ import annotations

import math

from components.review.decisions import Decisions
from components.review.intervals import share
from components.review.record import ClassQuality


def class_qualities(decisions: Decisions) -> list[ClassQuality]:
    """Return the quality of each class or label, the worst recall first, and those without an example last.

    Args:
      decisions: Of the model.
    """
    truth, chosen = decisions.truth, decisions.chosen
    columns = (one.sum(axis=0).tolist() for one in (truth, chosen, truth & chosen))
    found = [_quality(*values) for values in zip(decisions.names, *columns, strict=True)]
    return sorted(found, key=lambda one: (one.recall.value if one.recall else math.inf, -one.examples))


def _quality(name: str, examples: int, answers: int, right: int) -> ClassQuality:
    f1 = 2 * right / (examples + answers) if examples + answers else None
    return ClassQuality(name, examples, answers, right, share(right, answers), share(right, examples), f1)
