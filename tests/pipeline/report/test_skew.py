"""The skew gate's report: in the terminal, in one line of the summary, and as a figure."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.paths import Paths
from pipeline.report import plots, skew
from pipeline.report.client_skew_plot import LEAST_SCALE, draw_client_skew
from pipeline.report.record import DataSummary, EvaluationSummary, PushedVersion, RunRecord, TrainingSummary
from pipeline.report.summary import print_summary
from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Answers, Comparison, compare_answers
from serving.parity.report import Diagnosis, SkewReport

REFERENCE = "training, batches of 73"


def _cost(client: str, flipped: int, accuracy: float | None, largest: float = 0.5) -> ClientSkewCost:
    served = None if accuracy is None else 0.9375
    return ClientSkewCost(client, 256, flipped, accuracy, served, largest)


# Of 256: 240 right as served; 229, 239, 241 and 240 as the clients would have it.
COSTS = [
    _cost("EXIF turned", 0, 0.9375, 0.0),
    _cost("BGR", 1, 239 / 256, 0.0123),
    _cost("PIL nearest", 31, 229 / 256, 0.71),
    _cost("OpenCV area", 1, 241 / 256, 0.2),
]
WORST_FIRST = ["PIL nearest", "BGR", "OpenCV area", "EXIF turned"]


def _route(name: str, largest: float, fault: str = "", record: int = 12, flipped: int = 0) -> Comparison:
    return Comparison(name, REFERENCE, largest, record, flipped, True, 1.9e-6, fault)


def _report(**changes: Any) -> SkewReport:
    report = SkewReport(
        records=73,
        synthetic=9,
        server="the [embedded] one",
        reference=REFERENCE,
        tolerance=1.9e-6,
        seconds=1.25,
        routes=[_route("serving_default, one by one", 0.0, record=0), _route("gRPC, one by one", 4.2e-7)],
        client_skew=COSTS,
    )
    return dataclasses.replace(report, **changes)


def _printed(report: SkewReport, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    skew.print_skew(report, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


# The terminal


@pytest.mark.parametrize("width", [80, 120])
def test_a_passed_verdict_tells_the_routes_what_they_were_asked_and_what_was_avoided(width: int) -> None:
    lines = _printed(_report(), width)
    for line in (
        "against training, batches of 73",
        "serving_default, one by one 0 - 0 same",
        "gRPC, one by one 4.2e-7 12 0 same",
        "73 records, 9 of them generated edge cases; tolerance 1.9e-6; live server: the [embedded] one; 1.2 s",
        "same 2 routes agree on 73 records within 1.9e-6",
        "graph no findings",
        "client skew avoided: 256 answers served with an accuracy of 93.8%",
        "PIL nearest 31 12.1% 89.5% -4.3 0.71",
        "BGR 1 0.4% 93.4% -0.4 0.012",
        "OpenCV area 1 0.4% 94.1% +0.4 0.2",
        "EXIF turned 0 0% 93.8% 0.0 0",
    ):
        assert line in lines, line
    rows = [line for line in lines if line.startswith(tuple(WORST_FIRST))]
    assert [row.startswith(name) for row, name in zip(rows, WORST_FIRST, strict=True)] == [True] * 4
    assert not any(line.startswith("first") for line in lines)


def test_mixed_precision_is_shown_with_its_own_tolerance() -> None:
    mixed = dataclasses.replace(_route("training in mixed_bfloat16, batches of 73", 3e-3), tolerance=2**-4)
    report = _report(routes=[mixed, _route("gRPC, one by one", 4.2e-7)], client_skew=[])
    lines = _printed(report)
    assert "training in mixed_bfloat16, batches of 73 0.003 12 0 same, within 0.062" in lines
    agree = "1 route agrees on 73 records within 1.9e-6, training in mixed_bfloat16 within 0.062"
    assert f"same {agree}" in lines and skew.summary_line(report) == agree


def test_a_skew_is_told_with_its_fault_its_stage_and_its_picture() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
    found = compare_answers(Answers(REFERENCE, scores), Answers("gRPC, one by one", scores[:, ::-1].copy()), 1.9e-6)
    diagnosis = Diagnosis(
        stage="resize",
        skew="nearest instead of bilinear",
        record=12,
        why="smallest, png",
        source="horses/[b]01.png",
        route="gRPC, one by one",
        detail="pixels differ by up to 90",
    )
    finding = Finding("serving_default", "random", "RandomUniform in a/[b]")
    routes = [_route("serving_examples, one by one", 0.0), found]
    report = _report(routes=routes, structure=[finding], diagnosis=diagnosis, client_skew=[])
    assert not report.passed
    lines = _printed(report, 160)
    for line in (
        f"gRPC, one by one 0.8 0 2 {found.fault}",
        "skew 1 of 2 routes differs from training, batches of 73",
        "random serving_default: RandomUniform in a/[b]",
        "first resize: nearest instead of bilinear",
        "gRPC, one by one: record 12 (smallest, png), horses/[b]01.png",
        "pixels differ by up to 90",
    ):
        assert line in lines, line
    assert found.fault and not any("avoided" in line or "no findings" in line for line in lines)
    narrow = " ".join(_printed(report, 80))
    assert all(word in narrow for word in found.fault.split())


def test_names_that_differ_count_no_classes() -> None:
    names = np.array([[b"cat", b"dog"]], object)
    scores = np.array([[0.9, 0.1]], np.float32)
    other = Answers("REST, one by one", scores, names[:, ::-1])
    found = compare_answers(Answers(REFERENCE, scores, names), other, 1e-6)
    lines = _printed(_report(routes=[found]), 160)
    assert f"REST, one by one 0 0 - classes are dog, cat; in {REFERENCE} they are cat, dog" in lines


def test_without_labels_there_is_no_column_of_accuracy() -> None:
    lines = _printed(_report(client_skew=[_cost("PIL nearest", 31, None)]))
    assert "client skew avoided: 256 answers served" in lines and "PIL nearest 31 12.1% 0.5" in lines
    assert not any("accuracy" in line or "points" in line for line in lines)


def test_pictures_that_a_client_cannot_read_are_told_as_that() -> None:
    assert "PIL nearest 256 100% 0% -93.8 reads none" in _printed(
        _report(client_skew=[_cost("PIL nearest", 256, 0.0, 0.0)])
    )


def test_what_no_client_changes_is_said() -> None:
    lines = _printed(_report(client_skew=COSTS[:1]))
    assert lines[-1] == "no client would have changed an answer of this model"


# Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0%"), (1, "100%"), (4e-4, "<0.1%"), (0.9996, ">99.9%"), (0.001, "0.1%"), (0.125, "12.5%")],
)
def test_a_share_is_none_or_all_only_where_it_is(value: float, text: str) -> None:
    assert skew.format_share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.9e-6, "1.9e-6"), (0.0, "0"), (0.62, "0.62"), (1e-10, "1e-10"), (2.5e12, "2.5e12"), (np.inf, "inf")],
)
def test_a_number_has_two_digits(value: float, text: str) -> None:
    assert skew.format_number(value) == text


# The line


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        (COSTS, "; a client with PIL nearest would have changed 31 of 256 answers (-4.3 points)"),
        ([_cost("BGR", 3, None)], "; a client with BGR would have changed 3 of 256 answers"),
        ([COSTS[0], _cost("BGR", 0, 0.9375)], "; none of 2 common clients would have changed any of 256 answers"),
        (COSTS[:1], "; a client with EXIF turned would not have changed any of 256 answers"),
        ([], ""),
    ],
)
def test_the_line_picks_the_worst_client(costs: list[ClientSkewCost], text: str) -> None:
    assert skew.summary_line(_report(client_skew=costs)) == f"2 routes agree on 73 records within 1.9e-6{text}"


def test_several_labels_have_an_exact_match() -> None:
    lines = _printed(_report(is_multi_label=True))
    assert "client skew avoided: 256 answers served, exact match 93.8%" in lines
    headings = " ".join(lines[:4])
    assert "other" in headings and "labels" in headings and "class" not in headings
    assert any("exact" in line for line in lines) and not any("accuracy" in line for line in lines)
    text = "a client with PIL nearest would have changed 31 of 256 answers (-4.3 points of exact match)"
    assert skew.summary_line(_report(is_multi_label=True)).endswith(text)


SKEWED = _report(routes=[_route("gRPC, one by one", 0.5, "scores differ")])


@pytest.mark.parametrize(("report", "is_printed"), [(_report(), True), (SKEWED, False), (None, False)])
def test_the_summary_has_the_line_after_the_quality(report: SkewReport | None, is_printed: bool) -> None:
    metric = {"sparse_categorical_accuracy": 0.9, "example_count": 256.0}
    record = RunRecord(
        "tiny",
        "1",
        "",
        {},
        "",
        "",
        "pushed",
        data=DataSummary(),
        training=TrainingSummary(epochs=1, best_epoch=1, images_per_second=1.0),
        evaluation=EvaluationSummary("sparse_categorical_accuracy", slices={"overall": metric}),
        skew=report,
        pushed=PushedVersion(1, "/m/1"),
    )
    console = Console(file=io.StringIO(), width=300)
    print_summary(record, Paths("/root", "tiny"), console)
    lines = [line for line in console.file.getvalue().splitlines() if line]  # type: ignore[attr-defined]
    names = [line.split()[0] for line in lines]
    assert ("proof" in names) == is_printed
    if report is not None and is_printed:
        place = names.index("proof")
        assert names[place - 1 : place + 2] == ["quality", "proof", "pushed"]
        assert lines[place] == f"proof     {skew.summary_line(report)}"


# The figure


def _record(costs: list[ClientSkewCost], task: str = "my_task") -> RunRecord:
    return RunRecord(task, "1", "", {}, "", "", skew=_report(client_skew=costs))


def _texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_bars_are_the_changed_shares_worst_first_with_the_accuracy_beside() -> None:
    figure = draw_client_skew(_record(COSTS))
    assert figure is not None
    axes: Any = figure.axes[0]
    assert len(figure.axes) == 1
    bars: list[Any] = list(axes.patches)
    assert [bar.get_width() for bar in bars] == [31 / 256, 1 / 256, 1 / 256, 0]
    rows = [bar.get_y() for bar in bars]
    assert rows == sorted(rows) and axes.yaxis_inverted()
    texts = _texts(axes)
    assert [text for text in texts if text in WORST_FIRST] == WORST_FIRST
    assert texts[:3] == ["PIL nearest", "31 (12.1%)", "-4.3 points"]
    assert texts[9:12] == ["EXIF turned", "none", "0.0 points"]
    title = "my_task: answers that a common client would have changed\n256 pictures, served with an accuracy of 93.8%"
    assert figure.get_suptitle() == title


def test_the_figure_of_several_labels_has_their_exact_match() -> None:
    record = _record(COSTS)
    assert record.skew is not None
    record.skew.is_multi_label = True
    figure = draw_client_skew(record)
    assert figure is not None
    assert figure.get_suptitle().endswith("\n256 pictures, served with an exact match of 93.8%")
    texts = _texts(figure.axes[0])
    assert texts[2] == "-4.3 points" and "exact match" in texts and "accuracy" not in texts


def test_little_looks_like_little_and_no_change_like_none() -> None:
    (axes,) = draw_client_skew(_record([_cost("BGR", 1, 0.93)])).axes  # type: ignore[union-attr]
    assert axes.get_xlim() == (0, LEAST_SCALE)
    figure = draw_client_skew(_record(COSTS[:1]))
    assert figure is not None and figure.axes[0].get_xlim() == (0, LEAST_SCALE)
    assert "no common client would have changed an answer" in figure.get_suptitle()


def test_without_labels_the_figure_tells_no_accuracy() -> None:
    figure = draw_client_skew(_record([_cost("BGR", 3, None)]))
    assert figure is not None and figure.get_suptitle().endswith("\n256 pictures")
    assert _texts(figure.axes[0]) == ["BGR", "3 (1.2%)", "changed"]


@pytest.mark.parametrize(
    "costs",
    [
        COSTS,
        COSTS[:1],
        [_cost("PIL nearest", 256, 0.0, 0.0), _cost("BGR", 256, 0.0, 0.0)],
        [_cost("$x^$ is a name far too long for a row of this figure", 12, None)],
    ],
)
def test_the_file_clips_nothing_and_keeps_its_colour(tmp_path: Path, costs: list[ClientSkewCost]) -> None:
    (path,) = plots.draw_plots(_record(costs, "a_task_of_a_long_name" * 4), str(tmp_path))
    assert path == str(tmp_path / "client_skew.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    blue = (np.abs(pixels - [0x00, 0x72, 0xB2]).max(axis=-1) <= 8).sum()
    assert (blue > 1000) == any(cost.flipped for cost in costs)


def test_tasks_of_numbers_have_no_such_figure(tmp_path: Path) -> None:
    assert draw_client_skew(_record([])) is None and plots.draw_plots(_record([]), str(tmp_path)) == []
