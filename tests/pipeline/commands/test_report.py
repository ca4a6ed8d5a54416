"""`skewless report`: the page of a run again, from its record and its review, and the page that compares two runs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

from components.review.record import REVIEW, Review
from data.errors import UsageError
from data.files.atomic import write_aside
from pipeline.cli import paths_of_runs
from pipeline.commands.report import ReportOptions, draw_report, open_page
from pipeline.paths import Paths
from pipeline.report.page.render import render_page
from pipeline.report.record import RunRecord, write_record
from tests.pipeline.conftest import Skewless
from tests.pipeline.report.page.samples import SAMPLES, failed_run, thumbnail

RECORDS = Path(__file__).parents[1] / "report" / "records"
FIRST, SECOND = "20260101-080000-11", "20260102-080000-22"


def _store(paths: Paths, sample: str, run_id: str) -> tuple[RunRecord, Review]:
    """Store a run made by hand as a run does; return its record and review."""
    record, review = SAMPLES[sample]()
    started = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T08:00:00+00:00"
    folder = f"{paths.artifacts}/ReportGen/review/{run_id[-2:]}"
    assert record.data is not None
    data = dataclasses.replace(record.data, folder=f"{paths.artifacts}/ExampleGen/examples/1")
    record = dataclasses.replace(record, run_id=run_id, started=started, review=folder, data=data)
    review.write(folder)
    write_record(record, f"{paths.run(run_id)}/run.json", paths.latest)
    return record, review


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A task with two runs, on a machine without a browser."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    found = Paths(str(tmp_path / "root"), "tiny")
    _store(found, "classes", FIRST)
    _store(found, "labels", SECOND)
    return found


def test_the_page_is_drawn_from_record_and_review(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    record, review = SAMPLES["classes"]()
    expected = render_page(_store(paths, "classes", FIRST)[0], review)
    assert thumbnail(1) in expected
    path = draw_report(paths, ReportOptions(FIRST))
    assert path == f"{paths.run(FIRST)}/report.html" and Path(path).read_text() == expected
    assert capsys.readouterr().out == f"{path}\n"


def test_the_latest_run_is_the_default_and_a_file_can_be_named(paths: Paths, tmp_path: Path) -> None:
    assert draw_report(paths, ReportOptions()) == f"{paths.run(SECOND)}/report.html"
    output = tmp_path / "pages" / "page.html"
    assert draw_report(paths, ReportOptions(output=str(output))) == str(output)
    assert output.read_text() == Path(paths.run(SECOND), "report.html").read_text()


def test_two_runs_are_compared_the_earlier_one_first(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    _store(paths, "classes", SECOND)
    path = draw_report(paths, ReportOptions(against="previous"))
    assert path == f"{paths.run(SECOND)}/against-{FIRST}.html"
    page = Path(path).read_text()
    assert FIRST in page and SECOND in page and page.index(FIRST) < page.index(SECOND)
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_run_of_an_earlier_version_has_the_page_of_what_it_recorded(
    version: str, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((RECORDS / f"{version}.json").read_text())
    path = draw_report(paths, ReportOptions(str(RECORDS / f"{version}.json"), output=f"{paths.folder}/old.html"))
    page = Path(path).read_text()
    assert "0.8079" in page or "80.8" in page or "80.79" in page, "its accuracy"
    assert f"serving/digits/{record['pushed']['version']}" in page
    out, err = capsys.readouterr()
    assert (
        out == f"{path}\n"
        and f"note no pictures: {record['run_id']} ended before ReportGen, or is of an earlier" in err
    )
    both = draw_report(paths, ReportOptions(against=str(RECORDS / f"{version}.json")))
    assert record["run_id"] in Path(both).read_text()


def test_a_failed_run_has_a_page(paths: Paths) -> None:
    record, _ = failed_run()
    record = dataclasses.replace(record, run_id="20260103-080000-33", review="")
    write_record(record, f"{paths.run(record.run_id)}/run.json", paths.latest)
    page = Path(draw_report(paths, ReportOptions())).read_text()
    assert "failed" in page and record.error.split("'")[0][:30] in page


@pytest.mark.parametrize("text", [None, "{", '{"data": 3}', '{"evaluation": {"examples": 1, "confusion": [{}]}}'])
def test_a_review_that_is_gone_or_broken_is_a_note(
    text: str | None, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    record, _ = _store(paths, "classes", SECOND)
    if text is None:
        shutil.rmtree(record.review)
    else:
        write_aside(f"{record.review}/{REVIEW}", text)
    path = draw_report(paths, ReportOptions())
    out, err = capsys.readouterr()
    assert out == f"{path}\n" and "note no pictures: " in err and record.review in err
    assert thumbnail(1) not in Path(path).read_text() and "Traceback" not in err


def test_a_root_that_was_moved_has_its_pictures(paths: Paths, tmp_path: Path) -> None:
    before = Path(draw_report(paths, ReportOptions(FIRST))).read_text()
    shutil.move(paths.root, tmp_path / "elsewhere")
    moved = Paths(str(tmp_path / "elsewhere"), "tiny")
    path = draw_report(moved, ReportOptions(FIRST))
    assert path.startswith(moved.folder)
    assert Path(path).read_text() == before.replace(paths.folder, moved.folder)
    assert thumbnail(1) in before
    latest = draw_report(moved, ReportOptions(str(moved.latest), output=str(tmp_path / "x.html")))
    assert thumbnail(3) in Path(latest).read_text()


def test_the_page_of_a_remote_run_is_drawn_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths("ram://bucket/reports", "tiny")
    _, review = _store(paths, "classes", FIRST)
    _store(paths, "classes", SECOND)
    path = draw_report(paths, ReportOptions(FIRST, opens=False))
    assert path == f"{paths.local_folder}/runs/{FIRST}/report.html"
    assert thumbnail(1) in Path(path).read_text()
    assert paths_of_runs("tiny", paths.root) == paths, "no module of that name is needed"
    assert draw_report(paths, ReportOptions(against=FIRST, opens=False)).endswith(f"{SECOND}/against-{FIRST}.html")


def test_it_is_opened_with_the_browser_that_there_is(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f"#!{sys.executable}\nimport sys\nopen({str(opened)!r}, 'a').write(sys.argv[1] + '\\n')\n")
    browser.chmod(0o755)
    path = draw_report(paths, ReportOptions())
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    draw_report(paths, ReportOptions(opens=False))
    assert not opened.exists()
    draw_report(paths, ReportOptions())
    assert opened.read_text() == f"{Path(path).as_uri()}\n"
    assert not open_page("gs://bucket/report.html")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (ReportOptions("x"), "no run 'x' of 'tiny'", SECOND),
        (ReportOptions(against=SECOND), f"{SECOND} is the run itself", "skewless runs pets"),
        (ReportOptions(output="/proc/page.html"), "cannot write /proc/page.html: ", "-o FILE"),
        (ReportOptions(FIRST, "previous"), f"no run of 'tiny' before {FIRST}", SECOND),
    ],
)
def test_a_user_s_mistake_is_one_line(paths: Paths, options: ReportOptions, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        draw_report(paths, options)
    assert message in str(caught.value) and "\n" not in str(caught.value) and hint in caught.value.hint


def test_the_command_draws_and_prints_the_path(paths: Paths, skewless: Skewless) -> None:
    outcome = skewless("report", "tiny", "--run", "2026010", "--no-open", root=Path(paths.root))
    assert outcome.status == 2 and outcome.err.startswith("error: 2 runs begin with '2026010'\n")
    outcome = skewless("report", "tiny", "--run", FIRST, "--against", "20260102", "--no-open", root=Path(paths.root))
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"{paths.run(FIRST)}/against-{SECOND}.html\n"
