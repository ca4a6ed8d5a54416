"""Sizes and formats of the pictures, or the numbers of the rows: as facts and as histograms."""

from __future__ import annotations

from collections.abc import Callable

from components.review.record import DataReview, Histogram
from data.images.formats import IMAGE_FORMATS
from pipeline.report.page.charts import Chart, histogram
from pipeline.report.page.text import format_bytes, format_number
from pipeline.report.record import DataSummary

_PIXELS = {"width": "Width", "height": "Height"}
_BYTES = "bytes"
_TITLES = {one.name: one.title for one in IMAGE_FORMATS}


def size_facts(data: DataSummary, found: DataReview) -> list[tuple[str, str]]:
    """Return names and values: formats, sizes, the size of the shards.

    Args:
      data: The numbers of the run.
      found: The review.
    """
    formats = [f"{count:,} {_TITLES.get(name, name)}" for name, count in found.formats.items()]
    facts = [("Formats", ", ".join(formats))]
    for name, title in _PIXELS.items():
        facts.append((title, _range(found.sizes.get(name), format_number, " px")))
    facts.append(("File size", _range(found.sizes.get(_BYTES), format_bytes)))
    known = [(name, text) for name, text in facts if text]
    return [*known, ("Records", format_bytes(data.bytes))] if known and data.bytes else known


def draw_sizes(found: DataReview) -> list[Chart]:
    """Return a histogram of each size or number that varies.

    Args:
      found: The review.
    """
    charts = []
    for name, one in found.sizes.items():
        if not one.counts or one.edges[0] == one.edges[-1]:
            continue
        if name == _BYTES:
            charts.append(histogram("File size", [edge / 1000 for edge in one.edges], one.counts, "kB"))
        elif name in _PIXELS:
            charts.append(histogram(_PIXELS[name], one.edges, one.counts, "pixels"))
        else:
            charts.append(histogram(name, one.edges, one.counts, name))
    return charts


def _range(found: Histogram | None, text: Callable[[float], str], unit: str = "") -> str:
    """Return the smallest and the largest value, and the median."""
    if found is None or not found.edges:
        return ""
    low, high = text(found.edges[0]), text(found.edges[-1])
    if low == high:
        return f"{low}{unit}, all of them"
    median = f", median {text(found.median)}{unit}" if found.median is not None else ""
    return f"{low} to {high}{unit}{median}"
