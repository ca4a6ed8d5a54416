"""The page as text: its policy, its size, and what it does with little or hostile data."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re
from pathlib import Path

import pytest

from components.review.record import Review
from pipeline.report.page.render import draw_run, render_page, write_page
from tests.pipeline.report.page.samples import HOSTILE, SAMPLES, class_run, failed_run

_OURS = {"script", "style", "html", "head", "body", "title", "meta"}


class _Tags(html.parser.HTMLParser):
    """Collects the elements and attributes of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in self.text:
            self.text[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


@pytest.mark.parametrize("name", SAMPLES)
def test_the_policy_names_the_style_and_script_and_nothing_else_runs(name: str) -> None:
    page = _Tags(render_page(*SAMPLES[name]()))
    (policy,) = (one["content"] for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        (allowed,) = re.findall(f"{kind}-src 'sha256-([^']+)'", policy)
        digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in page.text[kind]]
        assert allowed in digests
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "style" not in attributes
        assert not re.match(r"(?i)\s*javascript:", attributes.get("href") or "")
        source = attributes.get("src")
        assert source is None or source.startswith("data:image/")


def test_hostile_names_add_no_element() -> None:
    """A run with ordinary names has the same elements."""
    names = [f"class {number}" for number in range(len(HOSTILE))]
    ordinary, hostile = (_Tags(render_page(*SAMPLE)) for SAMPLE in (class_run(names), SAMPLES["hostile"]()))
    kinds = {tag for tag, _ in ordinary.tags}
    assert {tag for tag, _ in hostile.tags} <= kinds | {"ul"}
    assert sum(tag == "script" for tag, _ in hostile.tags) == sum(tag == "script" for tag, _ in ordinary.tags)


@pytest.mark.parametrize("name", SAMPLES)
def test_identifiers_are_unique_and_links_lead_somewhere(name: str) -> None:
    page = _Tags(render_page(*SAMPLES[name]()))
    found = [one["id"] for _, one in page.tags if "id" in one]
    assert len(found) == len(set(found))
    links = {
        (one.get("href") or "")[1:] for tag, one in page.tags if tag == "a" and (one.get("href") or "").startswith("#")
    }
    assert links <= set(found)


def test_a_run_of_a_thousand_classes_is_small(tmp_path: Path) -> None:
    write_page(*SAMPLES["thousand"](), str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_a_failed_run_has_a_page_of_what_there_is(tmp_path: Path) -> None:
    record, _ = failed_run()
    draw_run(record, str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    assert "Failed in Trainer" in text
    assert 'id="training"' not in text


def test_the_review_of_the_record_is_read(tmp_path: Path) -> None:
    record, review = class_run()
    review.write(str(tmp_path))
    record.review = str(tmp_path)
    draw_run(record, str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text() == render_page(record, review)


def test_a_review_that_is_gone_is_no_error(tmp_path: Path) -> None:
    record, _ = class_run()
    record.review = str(tmp_path / "gone")
    draw_run(record, str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text() == render_page(record, Review())
