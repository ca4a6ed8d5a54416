"""The benchmarks of whole runs: the bare script, and the verdicts on given figures."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gate, run
from benchmarks.report import Terminal
from benchmarks.run import Finished
from benchmarks.timing import Span
from pipeline.report.record import ComponentRun, RunRecord
from tests.benchmarks.verdict import follows
from tests.pipeline.report.page.samples import class_run
from tests.preloaded import call_module


def finished(seconds: float, components: dict[str, float] | None = None) -> list[Finished]:
    """Return two runs of which the second takes 1.1 times as long."""
    return [Finished(Span(1, seconds * slow, seconds / 2), 0.98, 1, components or {}) for slow in (1.0, 1.1)]


@pytest.mark.parametrize(
    ("ours", "cached", "start", "is_met"),
    [(20.0, 7.0, 0.2, True), (26.0, 7.0, 0.2, False), (20.0, 8.0, 0.2, False), (20.0, 7.0, 0.31, False)],
)
def test_a_run_is_compared_with_the_script_and_the_stock_pipeline(
    ours: float, cached: float, start: float, is_met: bool
) -> None:
    results = {
        "ours": finished(ours, {"Trainer": 5.0}),
        "stock": finished(60.0, {"Trainer": 10.0}),
        "bare": finished(10.0),
        "cached": finished(cached, {"Trainer": 0.0}),
    }
    commands = {name: [Span(1, start, 0.1)] * 3 for name in ("tasks", "runs", "predict", "help", "python")}
    shown = io.StringIO()
    verdict = run._report(results, commands, Terminal(shown, Path("log")))
    assert verdict.ratios["ours/bare"] == pytest.approx(ours / 10)
    assert verdict.ratios["ours/stock"] == pytest.approx(ours / 60, abs=1e-3)
    assert verdict.ratios["cached, seconds"] == pytest.approx(cached * 1.05, abs=0.01)  # the mean of the two
    assert verdict.goal_met is follows(dataclasses.asdict(verdict)) is is_met
    assert f"{ours * 1.05 - 5:.1f}" in shown.getvalue()  # imports, and between the components


@pytest.mark.parametrize(
    ("seconds", "of_gate", "ratio", "is_met"),
    [
        (30.0, 4.9, {"seconds": 4.9}, True),
        (30.0, 5.1, {"seconds": 5.1}, False),
        (100.0, 9.0, {"share": 0.09}, True),
        (100.0, 11.0, {"share": 0.11}, False),
    ],
)
def test_short_runs_have_a_goal_in_seconds(
    seconds: float, of_gate: float, ratio: dict[str, float], is_met: bool
) -> None:
    record: RunRecord = dataclasses.replace(
        class_run()[0],
        seconds=seconds,
        components=[
            ComponentRun("SkewGate", "executed", "", of_gate),
            ComponentRun("ReportGen", "executed", "", 1.5),
        ],
    )
    shown = io.StringIO()
    verdict = gate._report({"digits": record}, Terminal(shown, Path("log")))
    assert verdict.ratios == {"digits": ratio}
    assert verdict.goal_met is follows(dataclasses.asdict(verdict)) is is_met
    assert "1.5 s" in shown.getvalue()


@pytest.mark.slow
def test_the_bare_script_exports_what_it_evaluates(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 20, "dogs": 20})
    done = call_module("benchmarks.bare_keras", str(data), str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert set(printed["classes"]) == {"cats", "dogs"} and 0 <= printed["accuracy"] <= 1
    assert (tmp_path / "model" / "saved_model.pb").is_file()
