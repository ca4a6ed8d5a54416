"""HTML and SVG made in Python: every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from pipeline.report.page.text import clean


def element(name: str, content: Markup | str = "", **attributes: object) -> Markup:
    """Return an element; content and attributes are escaped unless they are markup.

    Args:
      name: Of the element.
      content: Inside it.
      **attributes: `class_` is class, `aria_label` is aria-label.
    """
    inner = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{inner}>{escape(clean(content))}</{name}>")


def join_elements(parts: Iterable[Markup]) -> Markup:
    """Return elements one after the other."""
    return Markup("").join(parts)
