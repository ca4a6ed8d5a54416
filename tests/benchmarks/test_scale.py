"""The benchmark of scale compares the largest number of pictures with the smallest, and checks its sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.report import judge
from benchmarks.scale import GOALS, STAGES, _ratios, main, write_pictures
from tests.benchmarks.verdict import follows


def _found(count: int, microseconds: float, peak: float, graph: int) -> dict[str, Any]:
    """What a process prints of a size whose stages all take the same time for each of their pictures."""
    examples = {"train": count * 4 // 5, "eval": count // 5}
    counts = {name: examples["eval"] if name == "evaluation" else count for name in STAGES}
    stages = {name: {"seconds": 1.0, "processor": counts[name] * microseconds / 1e6, "peak": peak} for name in STAGES}
    return {"stages": stages, "graph_bytes": graph, "shards": 8, "examples": examples}


@pytest.mark.parametrize(
    ("microseconds", "peak", "graph", "is_met"),
    [
        (10.0, 1000.0, 10**5, True),
        (12.0, 1000.0, 10**5, False),
        (10.0, 1200.0, 10**5, False),
        (10.0, 1000.0, 2 * 10**6, False),
    ],
)
def test_the_verdict_follows_from_the_first_and_the_last_size(
    microseconds: float, peak: float, graph: int, is_met: bool
) -> None:
    found = {10**4: _found(10**4, 10.0, 1000.0, 10**4), 10**6: _found(10**6, microseconds, peak, graph)}
    ratios = _ratios(found)
    verdict = judge("scale", ratios, GOALS)
    assert verdict.goal_met is follows(dataclasses.asdict(verdict)) is is_met
    assert ratios["job"] == {"graph_mb": graph / 1e6}
    for name in STAGES:
        assert ratios[name] == {"rate": round(10 / microseconds, 3), "memory": round(peak / 1000, 3)}


@pytest.mark.parametrize("sizes", ["1000", "2000,1000", "1000,x", "10,1000", "1000,1000"])
def test_sizes_that_cannot_be_compared_are_refused(sizes: str) -> None:
    done = CliRunner().invoke(main, ["--sizes", sizes])
    assert done.exit_code and "--sizes must be two or more growing numbers of at least 1,000" in str(done.output)


def test_the_pictures_differ(tmp_path: Path) -> None:
    write_pictures(tmp_path, 300)
    files = sorted(tmp_path.glob("*/*.png"))
    assert len({file.read_bytes() for file in files}) == len(files) == 300 and len(list(tmp_path.iterdir())) == 20
    with Image.open(files[0]) as picture:
        assert picture.size == (8, 8)
