"""The section on the proof: the verdict, the routes, the map by records, the clients, and what may be missing."""

from __future__ import annotations

import copy
import re

import pytest

from components.review.record import Picture, ProofReview, ProvedRecord, Review, RoutePicture
from pipeline.report.page.difference_map import SHOWN, difference_map, level
from pipeline.report.page.render import render_page
from pipeline.report.page.sections.proof import ProofView, build_proof
from pipeline.report.record import RunRecord
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison
from serving.parity.report import SkewReport
from tests.pipeline.report.page.samples import class_run, failed_run, number_run, old_run, skewed_run


def route(name: str, largest: float, record: int = 0, fault: str = "", tolerance: float = 1e-5) -> Comparison:
    return Comparison(name, "training, batches of 4", largest, record, 0, True, tolerance, fault)


def view_of(skew: SkewReport | None, proof: ProofReview | None = None, **fields: object) -> ProofView | None:
    record = RunRecord("pets", "1", "/data", {}, "", "")
    record.skew = skew
    for name, value in fields.items():
        setattr(record, name, value)
    return build_proof(record, Review(proof=proof))


def report_of(*routes: Comparison, costs: list[ClientSkewCost] | None = None) -> SkewReport:
    found = SkewReport(4, "the embedded one", "training, batches of 4", 1e-5, routes=list(routes))
    found.client_skew = costs or []
    return found


def test_a_run_that_ended_before_the_gate_has_no_section() -> None:
    assert build_proof(*failed_run()) is None
    assert build_proof(*old_run()) is None


def test_a_rejected_model_has_a_line_in_place_of_the_proof() -> None:
    view = build_proof(*number_run())
    assert view and view.passed is None and "the Evaluator had rejected it" in view.headline
    assert "Routes" not in section_of(render_page(*number_run()))


def section_of(html: str) -> str:
    (found,) = re.findall(r'<section id="proof".*?</section>', html, flags=re.DOTALL)
    return str(found)


def test_a_route_as_a_share_of_its_own_tolerance() -> None:
    skew = report_of(
        route("gRPC, one by one", 2e-6, 1),
        route("REST, batches of 4", 3.2e-5, 2, "scores differ"),
        route("training in mixed_bfloat16, batches of 4", 0.01, 0, tolerance=0.04),
        route("serving_default, one by one", 0.0),
        route("serving_examples, one by one", float("inf"), 3, "refuses a record"),
    )
    view = view_of(skew, ProofReview(records=[ProvedRecord(f"{row}.png") for row in range(4)]))
    assert view and view.passed is False
    shown = [(one.name, one.batches, one.largest, one.share_text, one.record, one.tolerance) for one in view.routes]
    assert shown == [
        ("gRPC", "one by one", "2e-06", "20%", "1.png", ""),
        ("REST", "batches of 4", "3.2e-05", "3.2 times", "2.png", ""),
        ("Training in mixed_bfloat16", "batches of 4", "0.01", "25%", "0.png", "0.04"),
        ("serving_default", "one by one", "0", "0%", "", ""),
        ("serving_examples", "one by one", "-", "-", "3.png", ""),
    ]
    assert [one.share for one in view.routes] == pytest.approx([0.2, 1.0, 0.25, 0.0, 1.0])


def test_without_a_review_records_have_numbers() -> None:
    view = view_of(report_of(route("gRPC, one by one", 2e-6, 1)))
    assert view and view.routes[0].record == "record 1"
    assert (view.map, view.records, view.clients) == (None, [], None)
    assert view.headline == "Serving answers as training does: 1 route agrees on 4 records."


def test_a_record_is_shown_once_with_its_largest_difference() -> None:
    one, other = Picture("a.png"), Picture("b.png")
    skew = report_of(route("gRPC, one by one", 2e-6), route("REST, one by one", 5e-6), route("x", 1e-6, 1))
    proof = ProofReview(
        [RoutePicture("x", other), RoutePicture("gRPC, one by one", one), RoutePicture("REST, one by one", one)]
    )
    view = view_of(skew, proof)
    assert view
    assert [(found.picture.source, found.caption) for found in view.records] == [
        ("a.png", "5e-06, 2 routes"),
        ("b.png", "1e-06, x"),
    ]


def test_the_cause_and_the_findings_are_shown() -> None:
    html = section_of(render_page(*skewed_run()))
    for text in ("nearest instead of bilinear", "RandomUniform in dropout", "scores differ by up to 0.4", "✕"):
        assert text in html


# The map


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0.0, 0), (1e-9, 1), (1e-7, 1), (1.1e-7, 2), (1e-6, 2), (2e-6, 3), (1e-5, 3), (1.1e-5, 4), (None, 4)],
)
def test_levels_are_shares_of_the_tolerance(difference: float | None, expected: int) -> None:
    assert level(difference, 1e-5) == expected


def test_the_map_has_a_cell_for_each_difference_and_a_row_for_each_record_that_differs() -> None:
    routes = [route("a", 1e-5), route("b", 0.0), route("not compared", float("inf"), fault="x")]
    records = [ProvedRecord("0.png", "smallest"), ProvedRecord("1.png"), ProvedRecord("<b>.png")]
    chart = difference_map(routes, {"a": [0.0, 1e-8, 1e-5], "b": [0.0, 0.0, None]}, records)
    assert chart
    cells = re.findall(r'<rect x="(\d)" y="0" width="1" height="1" class="map-(\d)"><title>(.*?)</title>', chart.svg)
    assert cells == [
        ("1", "1", "a, 1.png: 1e-08"),
        ("2", "3", "a, &lt;b&gt;.png: 1e-05"),
        ("2", "4", "b, &lt;b&gt;.png: infinite"),
    ]
    assert chart.columns == ["record", "why it is in the sample", "a", "b"]
    assert chart.rows == [["1.png", "", "1e-08", "0"], ["<b>.png", "", "1e-05", "infinite"]]


def test_of_very_many_records_those_that_differ_most_are_shown_in_their_order() -> None:
    records = [ProvedRecord(f"{row}.png") for row in range(1010)]
    differences: list[float | None] = [0.0] * 1010
    differences[700], differences[5], differences[1009] = 1e-6, None, 1e-9
    chart = difference_map([route("a", 1.0)], {"a": differences}, records)
    assert chart and chart.title.startswith(f"Difference from training on {SHOWN} of 1,010 records")
    assert [row[0] for row in chart.rows] == ["5.png", "700.png", "1009.png"]


def test_an_early_gate_has_no_map() -> None:
    assert difference_map([route("a", 0.0)], {}, []) is None
    assert difference_map([route("a", 0.0)], {"a": [0.0]}, []) is None


# Clients


def test_clients_are_shown_the_worst_first() -> None:
    costs = [
        ClientSkewCost("PIL nearest", 200, 4, 0.9, 0.95, 0.5),
        ClientSkewCost("BGR", 200, 8, 0.8, 0.95, 0.9),
        ClientSkewCost("PIL bilinear", 200, 0, 0.95, 0.95, 0.0),
    ]
    view = view_of(report_of(costs=costs))
    assert view and view.clients and view.clients.chart
    assert view.clients.summary == (
        "On 200 held-out pictures, BGR, the worst of 3 common clients, changes 8 answers, -15.0 points."
    )
    assert view.clients.columns[:6] == [
        *("client", "changed", "of the answers", "accuracy", "points", "largest change of a score")
    ]
    assert [row[:6] for row in view.clients.rows] == [
        ["BGR", "8", "4.0%", "80.0%", "-15.0", "0.9"],
        ["PIL nearest", "4", "2.0%", "90.0%", "-5.0", "0.5"],
        ["PIL bilinear", "0", "0.0%", "95.0%", "0.0", "0"],
    ]
    assert view.clients.rows[0][6] == "Sends the right pixels in OpenCV's channel order"
    assert [row[:2] for row in view.clients.chart.rows] == [["BGR", "8 of 200"], ["PIL nearest", "4 of 200"]]


def test_clients_that_change_nothing_and_those_without_labels() -> None:
    view = view_of(report_of(costs=[ClientSkewCost("a", 50, 0, None, None, 0.0)] * 2))
    assert view and view.clients and view.clients.chart is None
    assert view.clients.summary == "None of 2 common clients would have changed an answer on 50 held-out pictures."
    assert view.clients.columns == ["client", "changed", "of the answers", "largest change of a score"]


def test_the_pictures_of_clients_say_what_they_are() -> None:
    record, review = class_run()
    html = section_of(render_page(record, review))
    assert html.count('class="client"') == 2
    alts = re.findall(r'<img class="pixels"[^>]* alt="([^"]*)"', html)
    assert alts[0] == "What the model wants (the 96 × 96 pixels that differ most): label cat, answer dog, score 0.93"
    assert "What the client sends (the 96 × 96 pixels that differ most): label cat, answer fox, score 0.6" in alts
    assert all(alts)
    several = copy.deepcopy(review)
    assert several.proof
    several.proof.clients[0].score_name = "fox"
    assert "answer fox, score of fox 0.6" in section_of(render_page(record, several))
