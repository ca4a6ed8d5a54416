"""The last line of a benchmark is a verdict that a script can read and that follows from its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.verdict import follows
from tests.preloaded import call_module


@pytest.mark.slow
def test_ingest_ends_with_its_verdict(tmp_path: Path, picture_folder: Callable[..., Path]) -> None:
    folder = picture_folder(tmp_path / "pets", {"cats": 20, "dogs": 20})
    done = call_module("benchmarks.ingest", "--data", str(folder), "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["benchmark"] == "ingest"
    assert verdict["goal_met"] is follows(verdict)
    assert set(verdict["goals"]) == {"ours/stock", "ours/bare_checked"}
    assert set(verdict["ratios"]) == {"pets"}
    assert set(verdict["ratios"]["pets"]) == {"ours/stock", "ours/bare_checked", "ours/bare_unchecked"}
    assert verdict["ratios"]["pets"]["ours/stock"] > 0  # the others round to 0 if the start takes seconds
    assert "WARNING" not in done.stdout
