"""The evaluation of a run in Chromium: what a click and a key show."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.pipeline.report.page.browser import Tab

OpenPage = Callable[..., Tab]

_SHOWN = "[...document.querySelectorAll('.panel')].filter((one) => one.checkVisibility()).map((one) => one.innerText)"
_CURVES = "[...document.querySelectorAll('.choice')].filter((one) => one.checkVisibility()).map((one) => one.id)"


def test_a_click_on_a_cell_shows_its_pictures(open_page: OpenPage) -> None:
    tab = open_page("classes")
    tab.click("table[data-matrix] tbody tr:nth-child(3) td:nth-child(2) button")
    (text,) = tab.run(_SHOWN)
    assert text.startswith("fox taken for cat") and "fox/0009.jpg" in text
    assert tab.run("document.querySelectorAll('.matrix [aria-expanded=true]').length") == 1
    alts = tab.run("[...document.querySelectorAll('.panel:not([hidden]) img')].map((one) => one.alt)")
    assert alts == ["label fox, answer cat, score 0.93"]


def test_the_matrix_is_one_stop_of_the_tab_key_and_arrows_move_in_it(open_page: OpenPage) -> None:
    tab = open_page("classes")
    assert tab.run("document.querySelectorAll('.matrix button:not([tabindex=\"-1\"])').length") == 1
    tab.run("document.querySelector('.matrix button[tabindex=\"0\"]').focus()")
    focus = "document.activeElement.getAttribute('aria-label')"
    assert tab.run(focus).startswith("4 of cat taken for dog")
    tab.press("ArrowDown")  # the cells below have no pictures: on to the next one
    assert tab.run(focus).startswith("4 of dog taken for fox")
    tab.press("Enter")
    assert tab.run(_SHOWN)[0].startswith("dog taken for fox")
    tab.press("ArrowRight")
    assert tab.run(focus).startswith("4 of fox taken for cat")
    tab.press("ArrowUp")
    assert tab.run(focus).startswith("4 of dog taken for fox")


def test_of_many_classes_the_confused_pairs_unfold(open_page: OpenPage) -> None:
    tab = open_page("thousand")
    assert tab.run("document.querySelectorAll('.matrix').length") == 0
    assert tab.run("document.querySelectorAll('ol.pairs')[0].children.length") == 30
    image = "document.querySelector('ol.pairs li:nth-child(2) img')"
    assert not tab.run(f"{image}.checkVisibility()")
    tab.click("ol.pairs li:nth-child(2) summary")
    assert tab.run(f"{image}.checkVisibility()")
    assert tab.run("document.querySelector('ol.pairs').getBoundingClientRect().right") <= 1600


def test_a_long_table_shows_its_first_rows_and_a_button(open_page: OpenPage) -> None:
    tab = open_page("thousand")
    count = "[...document.querySelectorAll('table.measures')][0].querySelectorAll('tbody tr:not([hidden])').length"
    assert tab.run(count) == 40
    tab.run("document.querySelector('table.measures').closest('.scroll').nextElementSibling.click()")
    assert tab.run(count) == 1000


def test_the_curves_of_one_class_are_shown(open_page: OpenPage) -> None:
    tab = open_page("classes")
    assert tab.run(_CURVES) == ["curve-0"]
    tab.run(
        "(() => { const select = document.querySelector('[data-choose] select'); select.value = 'curve-2';"
        " select.dispatchEvent(new Event('change')); })()"
    )
    assert tab.run(_CURVES) == ["curve-2"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_shade_of_the_matrix_can_be_read(open_page: OpenPage, dark: bool) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5, computed from the colours that Chromium gives each level of a cell."""
    tab = open_page("classes", dark=dark)
    contrast = """
      (() => {
        const channels = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
          .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
          .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
        const cell = document.querySelector('.matrix tbody td');
        const paper = channels(getComputedStyle(document.body).backgroundColor);
        const found = {};
        for (const kind of ['hit', 'miss']) for (let level = 0; level <= 10; level++) {
          cell.className = kind + '-' + level;
          const style = getComputedStyle(cell);
          const [red, green, blue, alpha = 1] = channels(style.backgroundColor);
          const back = [red, green, blue].map((value, place) => alpha * value + (1 - alpha) * paper[place]);
          const both = [light(back), light(channels(style.color))].sort((one, other) => other - one);
          found[cell.className] = (both[0] + 0.05) / (both[1] + 0.05);
        }
        return found;
      })()
    """
    found = tab.run(contrast)
    assert len(found) == 22
    assert {name: value for name, value in found.items() if value < 4.5} == {}
