"""The site: it is built without a network, loads nothing from the web, and its reference has every name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import skewless
from pipeline.cli import cli
from pipeline.setting_names import SETTING_NAMES
from scripts import settings_reference, site_hooks
from tests import PROJECT

LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("link", "href")}


class _Page(HTMLParser):
    """The addresses that a page loads, and its ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADED and value:
                self.loads.append(value)
            if name == "id" and value:
                self.ids.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning, such as one of a broken link, fails it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    cut_off = ["unshare", "--net"]
    if shutil.which("unshare") and subprocess.run([*cut_off, "true"], capture_output=True).returncode == 0:
        command = [*cut_off, *command]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _nav_pages() -> list[str]:
    """The pages in the navigation; YAML readers refuse the tags in this file."""
    nav = (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].partition("\n\n")[0]
    return re.findall(r": (\S+\.md)$", nav, re.MULTILINE)


def _external(page: Path) -> Iterator[str]:
    if page.suffix == ".css":
        yield from re.findall(r"url\([\"']?((?:https?:)?//[^)]+)\)", page.read_text())
    else:
        yield from (one for one in _Page(page.read_text()).loads if re.match(r"(https?:)?//", one))


@pytest.mark.slow
def test_every_page_is_built(site: Path) -> None:
    pages = _nav_pages()
    assert len(pages) > 30
    assert [page for page in pages if not (site / page).with_suffix(".html").is_file()] == []


@pytest.mark.slow
def test_no_page_loads_anything_from_the_web(site: Path) -> None:
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(files) > 30
    assert {str(one): found for one in files if (found := list(_external(one)))} == {}


@pytest.mark.slow
def test_the_search_finds_settings_offline(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text().partition("var __index = ")[2]
    texts = {one["location"]: one["text"] for one in json.loads(index)["docs"]}
    assert "checkpoint_seconds" in texts["reference/settings.html#train"]
    assert "iframe-worker" in (site / "index.html").read_text()  # without it, the search of files:// needs a server


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    ids = _Page((site / "reference" / "python.html").read_text()).ids
    names = {one.rpartition(".")[2] for one in ids if "." in one}
    assert sorted(set(skewless.__all__) - names) == []


@pytest.mark.slow
def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    html = (site / "reference" / "command-line.html").read_text()
    ids = _Page(html).ids
    for name, command in cli.commands.items():
        assert f"skewless-{name}" in ids
        section = html.partition(f'id="skewless-{name}"')[2].partition("<h3")[0]
        for option in (option for one in command.params for option in one.opts if option.startswith("--")):
            assert f">{option}" in section or f" {option}" in section, (name, option)
    assert "UNSET" not in html


def test_the_settings_are_what_the_script_writes() -> None:
    for page in (settings_reference.SETTINGS_PAGE, settings_reference.SERVER_PAGE):
        text = page.read_text()
        assert text == settings_reference.with_tables(text), "python -m scripts.settings_reference writes it"


def test_every_setting_is_in_the_reference() -> None:
    page = settings_reference.SETTINGS_PAGE.read_text()
    assert len(SETTING_NAMES) > 90
    assert [name for name in SETTING_NAMES if f"\n| `{name}` | " not in page] == []


def _adapted(markdown: str, page: Path) -> str:
    return site_hooks.adapt(markdown, page, PROJECT / "docs")


def test_a_link_out_of_the_site_becomes_the_path_of_the_file() -> None:
    page = PROJECT / "docs" / "how-to" / "any.md"
    assert _adapted("See [the examples](../../examples/README.md).", page) == "See the examples (`examples/README.md`)."
    assert _adapted("[`setup.py`](../../setup.py)", page) == "`setup.py`"
    assert _adapted("[a](../start.md#b) `[x](../../y.md)`", page) == "[a](../start.md#b) `[x](../../y.md)`"


def test_a_link_to_nothing_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    page = PROJECT / "docs" / "any.md"
    _adapted("[gone](../gone.md) <!-- -->\n\n<!-- include: ../gone.md -->", page)
    assert [record.message.count("gone.md") for record in caplog.records] == [1, 1]


def test_an_included_file_has_links_of_the_page(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (tmp_path / "MORE.md").write_text(
        "# More\n\n[Start](docs/start.md#first) and [more](MORE.md).\n## End\nNot this.\n"
    )
    text = site_hooks.adapt("<!-- include: ../../MORE.md until: ## End -->", docs / "how-to" / "any.md", docs)
    assert text == "# More\n\n[Start](../start.md#first) and more (`MORE.md`)."
