"""From a run's record and review to its page."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
import tensorflow as tf
from markupsafe import Markup

from components.review.record import REVIEW, Review
from data.files.atomic import write_aside
from pipeline.report.page.sections.data import build_data
from pipeline.report.page.sections.evaluation import build_evaluation
from pipeline.report.page.sections.overview import build_overview
from pipeline.report.page.sections.proof import build_proof
from pipeline.report.page.sections.serving import build_serving
from pipeline.report.page.sections.training import build_training
from pipeline.report.page.text import (
    clean,
    count_noun,
    format_bytes,
    format_duration,
    format_number,
    format_share,
    format_time,
    numeric_columns,
)
from pipeline.report.record import RunRecord

SECTIONS: dict[str, tuple[str, Callable[[RunRecord, Review], Any]]] = {
    "overview": ("Overview", build_overview),
    "data": ("The data", build_data),
    "training": ("Training", build_training),
    "evaluation": ("Evaluation", build_evaluation),
    "proof": ("The proof", build_proof),
    "serving": ("How to serve it", build_serving),
}
"""Title of each section, and what prepares its view, by the name of its template."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
      title: Its heading.
      name: Of its template, and its fragment.
      view: What the template shows.
    """

    title: str
    name: str
    view: Any


def draw_run(record: RunRecord, path: str) -> None:
    """Draw the page of a run that has ended, whichever way.

    Args:
      record: Of the run; its `review` may be empty.
      path: Where to write, local or remote.
    """
    has_review = record.review and tf.io.gfile.exists(f"{record.review}/{REVIEW}")
    write_page(record, Review.read(record.review) if has_review else Review(), path)


def write_page(record: RunRecord, review: Review, path: str) -> None:
    """Draw a page; a reader finds the file complete or not at all.

    Args:
      record: Of the run.
      review: The pictures; empty if the run failed before ReportGen.
      path: Where to write, local or remote.
    """
    write_aside(path, render_page(record, review))


def render_page(record: RunRecord, review: Review) -> str:
    """Return the page as HTML."""
    sections = [
        Section(title, name, view) for name, (title, build) in SECTIONS.items() if (view := build(record, review))
    ]
    return render("page.html.j2", f"{record.task}: {record.status}", record=record, sections=sections)


def render(template: str, title: str, **values: Any) -> str:
    """Return a page as HTML that fetches nothing and runs no script but its own.

    Args:
      template: Name of a template of the page; it gets style, script, policy, title and version besides the values.
      title: Of the window.
      **values: What the template shows.
    """
    style, script = _text("style.css"), _text("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}';"
        " base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    text = page.render(
        style=Markup(style),  # these two files are ours
        script=Markup(script),
        policy=policy,
        title=title,
        version=importlib.metadata.version("skewless"),
        **values,
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _digest(text: str) -> str:
    """Return the hash by which a Content-Security-Policy names a style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _text(name: str) -> str:
    """Return a template file as it is."""
    environment = _environment()
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the templates; what they print is escaped and has no harmful characters."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "templates/report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=clean,
    )
    found.filters |= {
        "number": format_number,
        "share": format_share,
        "count": count_noun,
        "duration": format_duration,
        "size": format_bytes,
        "when": format_time,
        "numeric_columns": numeric_columns,
    }
    return found
