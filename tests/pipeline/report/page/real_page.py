"""What the page of a real run has to show in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.pipeline.report.page.browser import Browser, Tab

_TEXTS = "Object.fromEntries([...document.querySelectorAll('main > section')].map((one) => [one.id, one.textContent]))"
_PICTURES = (
    "Object.fromEntries([...document.querySelectorAll('main > section')].map((one) =>"
    " [one.id, [...one.querySelectorAll('img')].filter((img) => img.complete && img.naturalWidth > 1).length]))"
)
_BROKEN = "[...document.images].filter((one) => one.complete && !one.naturalWidth).length"
_CELL = "table[data-matrix] td[class*=miss] button"


def assert_page_is_complete(
    browser: Browser, axe: str, page: Path, texts: Mapping[str, Sequence[str]], pictures: Mapping[str, int]
) -> None:
    """Check the page of a run: its sections, its pictures, a click, and that everybody can read it.

    Args:
      browser: The browser.
      axe: The source of axe-core.
      page: The page.
      texts: Words that each section has, by its name, in the order of the sections.
      pictures: Least number of pictures, by section.
    """
    assert page.stat().st_size < 5_000_000
    with Tab(browser, page.as_uri()) as tab:
        tab.run("for (const one of document.images) one.loading = 'eager'")
        tab.run("Promise.all([...document.images].map((one) => one.decode().catch(() => null)))")
        found = tab.run(_TEXTS)
        assert list(found) == list(texts)
        for section, words in texts.items():
            assert [word for word in words if word not in found[section]] == [], section
        counts = tab.run(_PICTURES)
        assert {section: counts[section] for section, least in pictures.items() if counts[section] < least} == {}
        assert tab.run(_BROKEN) == 0
        tab.click(_CELL)
        assert tab.run("document.querySelectorAll('.panel:not([hidden]) img').length") > 0
        assert tab.fetched() == [] and tab.complaints() == []
        tab.open_all()
        assert tab.violations(axe) == []
        tab.prefer(dark=True)
        assert tab.violations(axe, "color-contrast") == []
        for width in (1600, 400):
            tab.resize(width)
            assert tab.too_wide() == []
