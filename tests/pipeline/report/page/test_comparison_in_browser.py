"""The page that compares two runs in Chromium: as the page of a run, nothing is fetched, and everybody can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.report.page.compare import render_comparison
from tests.pipeline.report.page.browser import Browser, Tab
from tests.pipeline.report.page.samples import SAMPLES
from tests.pipeline.report.page.test_compare import run_that_answers

OpenComparison = Callable[..., Tab]


@pytest.fixture(scope="session")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of two comparisons: with pictures, and with names that do harm."""
    folder = tmp_path_factory.mktemp("comparisons")
    runs = {
        "pets": (run_that_answers(folder, "first", 20), run_that_answers(folder, "second", 35)),
        "hostile": (SAMPLES["classes"]()[0], SAMPLES["hostile"]()[0]),
    }
    files = {}
    for name, pair in runs.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(render_comparison(*pair))
    return files


@pytest.fixture
def open_comparison(browser: Browser, comparisons: dict[str, Path]) -> Iterator[OpenComparison]:
    """Function that opens a comparison."""
    tabs: list[Tab] = []

    def show(name: str, **options: object) -> Tab:
        tabs.append(Tab(browser, comparisons[name].as_uri(), **options))  # type: ignore[arg-type]
        return tabs[-1]

    yield show
    for tab in tabs:
        tab.__exit__()


@pytest.mark.parametrize("name", ["pets", "hostile"])
def test_nothing_is_fetched_and_nothing_fails(open_comparison: OpenComparison, name: str) -> None:
    tab = open_comparison(name)
    assert tab.fetched() == [] and tab.complaints() == []
    assert "taken" not in tab.run("document.title.replace('<script>document.title=\\'taken\\'</script>', '')")


@pytest.mark.parametrize("name", ["pets", "hostile"])
def test_axe_finds_no_violation(open_comparison: OpenComparison, axe: str, name: str) -> None:
    tab = open_comparison(name)
    tab.open_all()
    assert tab.violations(axe) == []
    tab.prefer(dark=True)
    assert tab.violations(axe, "color-contrast") == []


@pytest.mark.parametrize("name", ["pets", "hostile"])
def test_the_page_does_not_scroll_sideways(open_comparison: OpenComparison, name: str) -> None:
    tab = open_comparison(name)
    tab.open_all()
    for width in (1600, 400):
        tab.resize(width)
        assert tab.too_wide() == []


def test_the_classes_can_be_sorted(open_comparison: OpenComparison) -> None:
    tab = open_comparison("pets")
    names = "[...document.querySelectorAll('#classes tbody tr')].map((row) => row.cells[0].innerText)"
    tab.click("#classes th:nth-child(1) button")
    assert tab.run(names) == ["cat", "dog", "fox"]
    tab.click("#classes th:nth-child(1) button")
    assert tab.run(names) == ["fox", "dog", "cat"]
