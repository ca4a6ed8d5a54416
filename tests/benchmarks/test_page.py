"""The benchmark of the page compares medians with the limits of each task."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.page import TASKS, _report, main
from benchmarks.report import Terminal
from tests.benchmarks.verdict import follows


@pytest.mark.parametrize(("seconds", "megabytes", "is_met"), [(1.5, 1.0, True), (2.5, 1.0, False), (1.5, 6.0, False)])
def test_the_verdict_follows_from_the_medians(seconds: float, megabytes: float, is_met: bool) -> None:
    rounds = [
        {"review": seconds - 0.5 + slow, "page": 0.5, "bytes": megabytes * 1e6, "held_out": 380.0} for slow in (0, 9, 0)
    ]
    shown = io.StringIO()
    verdict = _report({"digits": rounds}, 3, Terminal(shown, Path("log")))
    assert TASKS["digits"].limit == 2.0
    assert verdict.ratios == {"digits": {"seconds": seconds / 2, "size": megabytes / 5}}
    assert verdict.goal_met is follows(dataclasses.asdict(verdict)) is is_met
    assert f"{megabytes:.2f} MB" in shown.getvalue()


def test_fashion_mnist_needs_its_data() -> None:
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 2 and "no data for fashion_mnist" in done.output
