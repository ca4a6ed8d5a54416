"""From a run's record and review to its page."""

from __future__ import annotations

import functools
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
    page = _environment().get_template("page.html.j2")
    style, script = (Markup(_text(name)) for name in ("style.css", "script.js"))
    return page.render(record=record, review=review, sections=sections, style=style, script=script)


def _text(name: str) -> str:
    """Return a template file as it is."""
    environment = _environment()
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("pipeline", "templates/report")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
