"""Plots of the run before, copied where the results are the same."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pipeline.report import plots
from pipeline.report.record import RunRecord, TrainingSummary, write_record
from pipeline.report.same_plots import copy_plots, read_before


def _record(run: str, loss: float = 0.5) -> RunRecord:
    training = TrainingSummary(history={"loss": [1.0, loss], "val_loss": [math.nan, 0.75]})
    return RunRecord("roses", run, "/data", {}, f"{run}.log", run, training=training)


@pytest.fixture
def latest(tmp_path: Path) -> str:
    before = _record("one")
    before.plots = plots.draw_plots(before, str(tmp_path / "one"))
    write_record(before, str(tmp_path / "run.json"))
    return str(tmp_path / "run.json")


def test_the_same_results(latest: str, tmp_path: Path) -> None:
    """Run, times and status differ; what is drawn does not."""
    record = _record("two")
    record.status, record.seconds, record.review = "unchanged", 3.0, "/review"
    copied = copy_plots(record, read_before(latest), str(tmp_path / "two"))
    assert copied == [str(tmp_path / "two" / "history.png")]
    drawn = plots.draw_plots(record, str(tmp_path / "drawn"))
    assert [Path(one).read_bytes() for one in copied] == [Path(one).read_bytes() for one in drawn]


def test_other_results(latest: str, tmp_path: Path) -> None:
    assert copy_plots(_record("two", 0.25), read_before(latest), str(tmp_path / "two")) == []
    other = _record("two")
    other.task = "tulips"
    assert copy_plots(other, read_before(latest), str(tmp_path / "two")) == []


def test_a_plot_that_is_gone_or_older_than_the_code(latest: str, tmp_path: Path) -> None:
    plot = tmp_path / "one" / "history.png"
    os.utime(plot, (1, 1))
    assert copy_plots(_record("two"), read_before(latest), str(tmp_path / "two")) == []
    plot.unlink()
    assert copy_plots(_record("two"), read_before(latest), str(tmp_path / "two")) == []


def test_no_run_before(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("[1")
    for path in (tmp_path / "none.json", tmp_path / "broken.json", "gs://bucket/run.json"):
        assert copy_plots(_record("one"), read_before(str(path)), str(tmp_path)) == []
