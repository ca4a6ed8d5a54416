"""Charts as SVG in HTML: drawn without a library, readable by a screen reader, with their numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Chart:
    """A chart; the macro `chart` of `_macros.html.j2` shows it with its table.

    Attributes:
      title: Of the figure.
      svg: The drawing.
      columns: Headings of the table behind the chart.
      rows: Its cells as text.
    """

    title: str
    svg: Markup
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
      name: In the legend.
      xs: Rising.
      ys: The same number; NaN leaves a gap.
      style: 0, 1, 2 ...: colour and dash.
      marks: Points (x, y) to emphasize.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: int = 0
    marks: Sequence[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Bar:
    """A horizontal bar.

    Attributes:
      name: Left of it; untrusted text.
      value: Its length.
      text: Right of it.
      low: Lower end of an interval; None without one.
      high: Upper end.
      link: Fragment of the page that the name links to; may be empty.
    """

    name: str
    value: float
    text: str = ""
    low: float | None = None
    high: float | None = None
    link: str = ""


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> Chart:
    """Return lines over numbers; with `diagonal` the line y = x."""
    raise NotImplementedError


def bar_chart(title: str, bars: Sequence[Bar], x_label: str, *, x_range: tuple[float, float] | None = None) -> Chart:
    """Return horizontal bars, the first at the top, with their intervals."""
    raise NotImplementedError


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], x_label: str) -> Chart:
    """Return vertical bars over bins."""
    raise NotImplementedError


def scatter(
    title: str, xs: Sequence[float], ys: Sequence[float], x_label: str, y_label: str, *, diagonal: bool = False
) -> Chart:
    """Return points; with `diagonal` the line y = x."""
    raise NotImplementedError
