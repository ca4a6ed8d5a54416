"""One Chromium for all tests of the page, axe-core, and the pages of the runs made by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.report.page.render import write_page
from tests.pipeline.report.page.browser import Browser, Tab
from tests.pipeline.report.page.samples import SAMPLES

AXE = "SKEWLESS_AXE"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; without it, the test is skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium in PATH: apt-get install chromium")
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from the file that the environment names or from node_modules; otherwise a skip."""
    installed = Path(__file__).resolve().parents[4] / "node_modules" / "axe-core" / "axe.min.js"
    file = Path(os.environ.get(AXE, installed))
    if not file.is_file():
        pytest.skip(f"no axe-core at {file}: npm install --no-save axe-core, or set {AXE} to axe.min.js")
    return file.read_text()


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
