"""The verdict as JSON: the keys of existing files, and back to the same report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import Diagnosis, SkewReport

INFINITE = Comparison("gRPC, one by one", "training", float("inf"), 3, 0, False, 1e-6, "refuses a record: no PNG")
EQUAL = Comparison("REST, one by one", "training", 1e-7, 0, 0, True, 1e-6, "")
FINDING = Finding("serving_default", "random", "RandomUniform in a")


def _report(**fields: Any) -> SkewReport:
    return SkewReport(records=4, server="the embedded one", reference="training", tolerance=1e-6, **fields)


def test_a_report_comes_back_from_json_as_it_was() -> None:
    report = _report(
        feature="image",
        synthetic=2,
        routes=[INFINITE, EQUAL],
        structure=[FINDING],
        diagnosis=Diagnosis("resize", "nearest", 3, "all but 0", "gRPC", "png", "a.png"),
        client_skew=[ClientSkewCost("BGR", 9, 3, 0.5, None, 0.25)],
        seconds=1.5,
        is_multi_label=True,
    )
    assert SkewReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_the_keys_are_those_of_existing_files() -> None:
    written = _report(routes=[INFINITE]).to_json()
    assert set(written) == {
        *("feature", "records", "made", "server", "reference", "tolerance", "routes", "structure", "diagnosis"),
        *("avoided", "seconds", "is_multi_label", "passed"),
    }
    assert written["routes"][0]["largest"] is None and written["passed"] is False


def test_fields_that_are_missing_take_their_defaults() -> None:
    assert SkewReport.from_json({"records": 4, "server": "x", "reference": "y", "tolerance": 0.5}) == SkewReport(
        4, "x", "y", 0.5
    )


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        ({"routes": [EQUAL]}, True),
        ({"routes": [EQUAL, INFINITE]}, False),
        ({"routes": [EQUAL], "structure": [FINDING]}, False),
    ],
)
def test_a_fault_of_a_route_or_a_finding_fails_the_report(fields: dict[str, Any], passed: bool) -> None:
    assert _report(**fields).passed is passed
