"""The verdict of a benchmark, on given figures."""

from __future__ import annotations

import dataclasses
import math

import pytest

from benchmarks.report import Goal, judge
from tests.benchmarks.verdict import follows

GOALS: dict[str, Goal] = {"ours/theirs": (">=", 10.0), "memory after/before": ("<=", 0.5)}
FIGURES = [
    (10, 0.5, True),  # a limit itself is kept
    (11.5, 0.1, True),
    (9.999, 0.1, False),
    (11.5, 0.501, False),
    (1, 2, False),
    (math.nan, 0.1, False),
    (11.5, math.nan, False),
]


@pytest.mark.parametrize(("ours", "memory", "met"), FIGURES)
def test_all_goals_must_be_met(ours: float, memory: float, met: bool) -> None:
    ratios = {"ours/theirs": ours, "memory after/before": memory, "without a goal": 0.0}
    verdict = judge("serving", ratios, GOALS, {"rounds": 3})
    assert verdict.goal_met is met and follows(dataclasses.asdict(verdict)) is met
    assert verdict.goals == {"ours/theirs": ">= 10", "memory after/before": "<= 0.5"}
    assert (verdict.benchmark, verdict.ratios, verdict.facts) == ("serving", ratios, {"rounds": 3})


@pytest.mark.parametrize(("ours", "memory", "met"), FIGURES)
def test_every_data_set_must_meet_the_goals(ours: float, memory: float, met: bool) -> None:
    good = {"ours/theirs": 20.0, "memory after/before": 0.1}
    ratios = {"pets": good, "photographs": {"ours/theirs": ours, "memory after/before": memory}}
    verdict = judge("input", ratios, GOALS)
    assert verdict.goal_met is met and follows(dataclasses.asdict(verdict)) is met


def test_a_goal_that_a_data_set_does_not_measure_does_not_count() -> None:
    assert judge("input", {"pets": {"ours/theirs": 20.0}}, GOALS).goal_met is True
    assert judge("input", {"pets": {"ours/theirs": 2.0}}, GOALS).goal_met is False
