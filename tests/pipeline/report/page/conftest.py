"""The pages of the runs made by hand, in the browser of `tests/pipeline/conftest.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.report.page.render import write_page
from tests.pipeline.report.page.browser import Browser, Tab
from tests.pipeline.report.page.samples import SAMPLES


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function that returns the file of the page of a run of `SAMPLES`."""
    folder = tmp_path_factory.mktemp("pages")

    def draw(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            write_page(*SAMPLES[name](), str(path))
        return path

    return draw


@pytest.fixture
def open_page(browser: Browser, page_of: Callable[[str], Path]) -> Iterator[Callable[..., Tab]]:
    """Function that opens the page of a run of `SAMPLES`; see `Tab` for its arguments."""
    tabs: list[Tab] = []

    def show(name: str, **options: object) -> Tab:
        tabs.append(Tab(browser, page_of(name).as_uri(), **options))  # type: ignore[arg-type]
        return tabs[-1]

    yield show
    for tab in tabs:
        tab.__exit__()
