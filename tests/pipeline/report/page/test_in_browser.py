"""The page in Chromium: nothing is fetched, nothing fails, everybody can read it, on a phone and on a wide screen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.pipeline.report.page.browser import Tab
from tests.pipeline.report.page.samples import SAMPLES

OpenPage = Callable[..., Tab]

_EMPTY_HEADINGS = """
[...document.querySelectorAll('h2, h3, h4')].filter((one) => {
  const next = one.nextElementSibling;
  return !next || (/^H[1-4]$/.test(next.tagName) && next.tagName <= one.tagName);
}).map((one) => one.innerText)
"""
_FOLDED = "[...document.querySelectorAll('details.more > :not(summary)')]"


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_fetched_and_nothing_fails(open_page: OpenPage, name: str) -> None:
    tab = open_page(name)
    tab.run("scrollTo(0, document.body.scrollHeight)")
    assert tab.fetched() == []
    assert tab.complaints() == []


@pytest.mark.parametrize("name", ["classes", "hostile", "numbers", "labels", "failed", "skewed", "old"])
def test_axe_finds_no_violation(open_page: OpenPage, axe: str, name: str) -> None:
    """In the dark, only the contrast may be another."""
    tab = open_page(name)
    tab.open_all()
    assert tab.violations(axe) == []
    tab.prefer(dark=True)
    assert tab.violations(axe, "color-contrast") == []


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_does_not_scroll_sideways(open_page: OpenPage, name: str) -> None:
    tab = open_page(name)
    tab.open_all()
    for width in (1600, 400):
        tab.resize(width)
        assert tab.too_wide() == []


def test_names_stay_words(open_page: OpenPage) -> None:
    tab = open_page("hostile")
    assert "taken" not in tab.run("document.title.replace('<script>document.title=\\'taken\\'</script>', '')")
    assert tab.run("document.querySelectorAll('script').length") == tab.run(
        "document.querySelectorAll('body > script, script[type=\"application/json\"]').length"
    )
    assert tab.run("document.querySelectorAll('[onerror], [onload], [src=x]').length") == 0
    text = tab.run("document.body.innerText")
    assert "<script>document.title='taken'</script>" in text
    assert "{{ 7 * 7 }}" in text and "49{%" not in text
    for harmful in "\u202e\u202c\x00\x07":
        assert harmful not in text


def test_headings_are_in_order_and_each_section_has_content(open_page: OpenPage) -> None:
    tab = open_page("classes")
    levels = tab.run("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    sections = tab.run(
        "Object.fromEntries([...document.querySelectorAll('main > section')].map((one) => "
        "[one.id, one.innerText.length]))"
    )
    assert list(sections) == ["overview", "data", "training", "evaluation", "proof", "serving"]
    assert min(sections.values()) > 100, sections
    assert tab.run(_EMPTY_HEADINGS) == []


def test_the_list_of_sections_leads_to_them_and_marks_where_one_is(open_page: OpenPage) -> None:
    tab = open_page("classes")
    current = "document.querySelector('.contents [aria-current]').hash"
    assert tab.run(current) == "#overview"
    tab.click(".contents a[href='#training']")
    tab.run("new Promise((done) => setTimeout(done, 1200))")
    assert tab.run("location.hash") == "#training"
    assert abs(tab.run("document.getElementById('training').getBoundingClientRect().top")) < 60
    assert tab.run(current) == "#training"
    box = tab.run("document.querySelector('.contents ol').getBoundingClientRect().toJSON()")
    assert box["top"] >= 0 and box["bottom"] < 1000  # it stays on a wide screen


def test_the_tab_key_reaches_what_can_be_clicked_and_shows_where_it_is(open_page: OpenPage) -> None:
    tab = open_page("failed")
    seen = []
    for _ in range(40):
        tab.press("Tab")
        place = tab.run(
            "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
            " return [one.tagName, one.textContent.trim().slice(0, 40), style.outlineStyle, style.outlineWidth]; })()"
        )
        if place[0] == "BODY":
            break
        assert place[2] != "none" and place[3] != "0px", place
        seen.append(place[1])
    assert seen[0] == "Skip to the content"
    assert "Overview" in seen and "The components as a table" in seen


def test_a_click_opens_the_table_behind_a_chart(open_page: OpenPage) -> None:
    tab = open_page("classes")
    table = "document.querySelector('#training .chart details table')"
    assert not tab.run(f"{table}.checkVisibility({{contentVisibilityAuto: true}})")
    tab.click("#training .chart summary")
    assert tab.run(f"{table}.innerText").split()[1:4] == ["epoch", "training", "validation"]
    assert "0.85" in tab.run(f"{table}.innerText")


def test_a_click_copies_a_command(open_page: OpenPage) -> None:
    tab = open_page("classes")
    tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    if not tab.run("document.querySelectorAll('[data-copy] button').length"):
        pytest.skip("the page has no commands")
    tab.click("[data-copy] button")
    tab.run("new Promise((done) => setTimeout(done, 300))")
    assert tab.run("document.querySelector('[data-copy] button').textContent") == "Copied"
    expected = tab.run("document.querySelector('[data-copy] code').textContent")
    assert tab.run("navigator.clipboard.readText()") == expected


def test_on_paper_everything_is_open(open_page: OpenPage) -> None:
    tab = open_page("classes")
    tab.call("Page.printToPDF")  # fires beforeprint and afterprint
    tab.media("print")
    hidden = f"{_FOLDED}.filter((one) => !one.checkVisibility()).length"
    assert tab.run(hidden) == 0
    assert tab.run("getComputedStyle(document.querySelector('.contents')).display") == "none"
    assert json.dumps(tab.complaints()) == "[]"
