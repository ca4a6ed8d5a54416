"""Charts as SVG in HTML: drawn without a library, readable by a screen reader, with their numbers as a table.

They are as wide as their place: positions are percentages, so that text keeps its size on a narrow screen. Colours
and dashes are in `style.css`, for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from pipeline.report.page.markup import element, join_elements
from pipeline.report.page.text import clean, format_number

STYLES = 6  # of lines: `line-0` to `line-5` in style.css
_MARKED = 30  # points of a line that still get a dot each
_LISTED = 200  # rows of the table behind a chart
_UNITS = 1000  # of the inner drawing, which is stretched to the chart


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
      is_step: Whether the value stays the same from halfway before a point to halfway after it.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: int = 0
    marks: Sequence[tuple[float, float]] = field(default_factory=list)
    is_step: bool = False


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


@dataclass(frozen=True)
class Rule:
    """A vertical line through a chart with a word at its top.

    Attributes:
      x: Where.
      text: The word.
    """

    x: float
    text: str


@dataclass(frozen=True)
class _Scale:
    """The numbers of an axis: from `low` at 0% to `high` at 100%; with `log` both are above 0."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Return the place of a value, 0..1; values outside are at the ends."""
        low, high, value = (math.log(max(one, 1e-300)) if self.log else one for one in (self.low, self.high, value))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round numbers in the range."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / most))
            powers = [10.0**power for power in range(first, last + 1, step)]
            return powers if len(powers) > 1 else [self.low, self.high]
        return _ticks(self.low, self.high, most)


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    y_log: bool = False,
    whole_xs: bool = False,
    rules: Sequence[Rule] = (),
) -> Chart:
    """Return lines over numbers.

    Args:
      title: Of the figure.
      series: The lines.
      x_label: Under the chart, and in the table.
      y_label: Above the chart.
      y_range: Ends of the y axis; by default those of the values.
      x_range: Ends of the x axis; by default those of the values.
      diagonal: Also draw the line y = x.
      y_log: Whether the y axis is logarithmic, if all values are above 0.
      whole_xs: Whether only whole numbers are ticks of the x axis: epochs.
      rules: Vertical lines.
    """
    ys = [float(y) for one in series for y in one.ys if math.isfinite(y)]
    across = _scale([x for one in series for x in one.xs], x_range)
    up = _scale(ys, y_range, log=y_log and min(ys, default=0) > 0, room=0.06)
    inner = [element("line", x1=0, y1=_UNITS, x2=_UNITS, y2=0, class_="diagonal")] if diagonal else []
    inner += [line for one in series for line in _lines(one, across, up)]
    marks = [_rule(rule, across, place) for place, rule in enumerate(rules)]
    marks += [dot for one in series for dot in _dots(one, across, up)]
    body = join_elements([_stretched(inner), *marks])
    places = across.ticks()
    if whole_xs:
        places = sorted({x for x in map(round, [*places, *x_ends(series)]) if across.low <= x <= across.high})
        places = _spread(places, across)
    legend = [(one.name, f"line-{one.style % STYLES}") for one in series]
    columns, rows = _table_of(series, x_label)
    drawing = _frame(title, body, across, up, x_label, y_label, legend=legend, x_ticks=places)
    return Chart(title, drawing, columns, rows)


def x_ends(series: Sequence[Series]) -> list[float]:
    """Return the first and the last x of all lines; empty without any."""
    xs = [x for one in series for x in one.xs]
    return [min(xs), max(xs)] if xs else []


def bar_chart(title: str, bars: Sequence[Bar], x_label: str, *, x_range: tuple[float, float] | None = None) -> Chart:
    """Return horizontal bars, the first at the top, with their intervals.

    Args:
      title: Of the figure.
      bars: From the top.
      x_label: What the length means.
      x_range: Ends of the axis; by default from 0, or the smallest value below it, to the largest.
    """
    has_intervals = any(bar.low is not None for bar in bars)
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None and math.isfinite(end)]
    scale = _scale([0.0, *ends], x_range)
    lines = [_bar(bar, scale) for bar in bars]
    ticks = scale.ticks(4)
    axis = [element("line", x1=_at(scale.share(x)), x2=_at(scale.share(x)), y1=0, y2=4, class_="axis") for x in ticks]
    axis += [_tick_text(format_number(x), scale.share(x)) for x in ticks]
    label = element("span", x_label, class_="axis-label")
    foot = element(
        "li",
        element("span", "") + element("span", element("svg", join_elements(axis), class_="bar-axis") + label),
        class_="bar-foot",
        aria_hidden="true",
    )
    drawing = element("ol", join_elements([*lines, foot]), class_="bars", aria_label=title)
    columns = ["", x_label, *(["95% interval"] if has_intervals else [])]
    rows = [
        [bar.name, bar.text or format_number(bar.value), *([_interval(bar)] if has_intervals else [])] for bar in bars
    ]
    return Chart(title, drawing, columns, rows)


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], x_label: str) -> Chart:
    """Return vertical bars over bins.

    Args:
      title: Of the figure.
      edges: Of the bins, one more than counts, rising.
      counts: Number of examples in each bin.
      x_label: Under the chart, and in the table.
    """
    across, up = _scale(edges, None), _scale([0.0, *counts], None)
    bars, rows = [], []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        x, top = across.share(left), up.share(count)
        text = f"{format_number(left)} to {format_number(right)}"
        rows.append([text, format_number(count)])
        bars.append(
            element(
                "rect",
                element("title", f"{text}: {format_number(count)}"),
                x=_at(x),
                y=_at(1 - top),
                width=_at(max(across.share(right) - x, 0.002)),
                height=_at(top),
                class_="bin",
            )
        )
    drawing = _frame(title, join_elements(bars), across, up, x_label, "examples")
    return Chart(title, drawing, [x_label, "examples"], _cut(rows))


def scatter(
    title: str, xs: Sequence[float], ys: Sequence[float], x_label: str, y_label: str, *, diagonal: bool = False
) -> Chart:
    """Return points.

    Args:
      title: Of the figure.
      xs: Of the points.
      ys: Of the same points.
      x_label: Under the chart, and in the table.
      y_label: Above the chart, and in the table.
      diagonal: Also draw the line y = x; both axes then have the same ends.
    """
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    across, up = _scale([x for x, _ in points], None, room=0.04), _scale([y for _, y in points], None, room=0.04)
    inner: list[Markup] = []
    if diagonal:
        across = up = _Scale(min(across.low, up.low), max(across.high, up.high))
        inner = [element("line", x1=0, y1=_UNITS, x2=_UNITS, y2=0, class_="diagonal")]
    dots = [element("circle", cx=_at(across.share(x)), cy=_at(1 - up.share(y)), r=3, class_="point") for x, y in points]
    body = join_elements([_stretched(inner), *dots])
    rows = [[format_number(x), format_number(y)] for x, y in points]
    return Chart(title, _frame(title, body, across, up, x_label, y_label), [x_label, y_label], _cut(rows))


def line_sample(style: int) -> Markup:
    """Return a short piece of a line of this style, for a legend."""
    return _key(f"line-{style % STYLES}")


# The frame of a chart: axes, grid, legend


def _frame(
    title: str,
    body: Markup,
    across: _Scale,
    up: _Scale,
    x_label: str,
    y_label: str,
    *,
    legend: Sequence[tuple[str, str]] = (),
    x_ticks: Sequence[float] | None = None,
) -> Markup:
    """Return a drawing inside its axes."""
    xs = across.ticks() if x_ticks is None else x_ticks
    grid = [
        element("line", x1="0", x2="100%", y1=_at(1 - up.share(y)), y2=_at(1 - up.share(y)), class_="grid")
        for y in up.ticks(5)
    ]
    texts = [
        element("text", format_number(y), x="0", dx="-8", y=_at(1 - up.share(y)), dy="4", class_="tick-y")
        for y in up.ticks(5)
    ]
    texts += [_tick_text(format_number(x), across.share(x), y="100%") for x in xs]
    base = element("line", x1="0", x2="100%", y1="100%", y2="100%", class_="axis")
    svg = element("svg", join_elements([*grid, base, body, *texts]), class_="plot", role="img", aria_label=title)
    names = [element("span", _key(style) + escape(clean(name)), class_="key") for name, style in legend if name]
    head = element("span", element("span", y_label, class_="axis-label"), class_="key-axis")
    scale = Markup(" (log scale)") if up.log else Markup("")
    return element(
        "div",
        element("div", join_elements([head + scale, *names]), class_="legend")
        + svg
        + element("div", x_label, class_="axis-label x-label"),
        class_="plot-box",
    )


def _tick_text(text: str, share: float, y: str = "0") -> Markup:
    """Return a number under an axis; those at the ends stay inside."""
    return element("text", text, x=_at(share), y=y, dy="18", class_="tick-x")


def _key(style: str) -> Markup:
    """Return the piece of a line that stands in the legend."""
    line = element("line", x1=0, x2=26, y1=5, y2=5, class_=f"line {style}")
    return element("svg", line, width=26, height=10, class_="swatch", aria_hidden="true")


def _stretched(inner: Sequence[Markup]) -> Markup:
    """Return lines in a drawing that is as wide as the chart, whatever its width; their strokes keep their width."""
    return element(
        "svg",
        join_elements(inner),
        viewBox=f"0 0 {_UNITS} {_UNITS}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        class_="stretched",
    )


def _lines(series: Series, across: _Scale, up: _Scale) -> list[Markup]:
    """Return a polyline for each stretch of a series without NaN."""
    parts: list[list[str]] = [[]]
    for x, y in _corners(series) if series.is_step else zip(series.xs, series.ys, strict=True):
        if math.isfinite(y):
            parts[-1].append(f"{_UNITS * across.share(x):.4g},{_UNITS * (1 - up.share(y)):.4g}")
        elif parts[-1]:
            parts.append([])
    style = f"line line-{series.style % STYLES}"
    return [element("polyline", points=" ".join(part), class_=style) for part in parts if len(part) > 1]


def _corners(series: Series) -> Iterator[tuple[float, float]]:
    """Yield the points of a line that has steps halfway between the values."""
    xs = [*series.xs[:1], *((one + other) / 2 for one, other in zip(series.xs, series.xs[1:], strict=False))]
    ends = [*xs[1:], *series.xs[-1:]]
    for start, end, y in zip(xs, ends, series.ys, strict=True):
        yield start, y
        yield end, y


def _dots(series: Series, across: _Scale, up: _Scale) -> list[Markup]:
    """Return a dot for each of few points, and a larger one for each mark."""
    few = [(x, y) for x, y in zip(series.xs, series.ys, strict=True) if math.isfinite(y)]
    points = [(x, y, 3.0) for x, y in few] if len(few) <= _MARKED else []
    points += [(x, y, 5.5) for x, y in series.marks if math.isfinite(y)]
    return [
        element(
            "circle",
            element("title", f"{series.name}: {format_number(y)} at {format_number(x)}"),
            cx=_at(across.share(x)),
            cy=_at(1 - up.share(y)),
            r=radius,
            class_=f"dot dot-{series.style % STYLES}",
        )
        for x, y, radius in points
    ]


def _rule(rule: Rule, across: _Scale, place: int) -> Markup:
    """Return a vertical line with its word at the top, each in a line of its own."""
    share = across.share(rule.x)
    side, shift = ("rule-end", -5) if share > 0.6 else ("rule-start", 5)
    line = element("line", x1=_at(share), x2=_at(share), y1="0", y2="100%", class_="rule")
    down = 12 + 14 * place
    return line + element("text", rule.text, x=_at(share), y="0", dy=down, dx=shift, class_=f"rule-text {side}")


def _bar(bar: Bar, scale: _Scale) -> Markup:
    """Return a line of a bar chart: the name, the bar with its interval, the text."""
    value = bar.value if math.isfinite(bar.value) else 0.0
    ends = sorted((scale.share(0.0), scale.share(value)))
    parts = [element("rect", x=_at(ends[0]), width=_at(ends[1] - ends[0]), y="15%", height="70%", class_="bar")]
    if bar.low is not None and bar.high is not None:
        low, high = scale.share(bar.low), scale.share(bar.high)
        parts += [element("line", x1=_at(low), x2=_at(high), y1="50%", y2="50%", class_="whisker")]
        parts += [element("line", x1=_at(x), x2=_at(x), y1="28%", y2="72%", class_="whisker") for x in (low, high)]
    name = element("bdi", clean(bar.name))
    if bar.link:
        name = element("a", name, href=f"#{bar.link}")
    text = bar.text or format_number(bar.value)
    shown = element("svg", join_elements(parts), class_="bar-track", aria_hidden="true")
    interval = element("span", f", 95% interval {_interval(bar)}", class_="unseen") if bar.low is not None else ""
    return element(
        "li",
        element("span", name, class_="bar-name")
        + shown
        + element("span", escape(clean(text)) + interval, class_="bar-text"),
    )


def _interval(bar: Bar) -> str:
    if bar.low is None or bar.high is None:
        return ""
    return f"{format_number(bar.low, 3)} to {format_number(bar.high, 3)}"


# Numbers


def _scale(
    values: Iterable[float], wanted: tuple[float, float] | None, *, log: bool = False, room: float = 0.0
) -> _Scale:
    """Return the axis of values, or the wanted one; it is never empty."""
    known = [value for value in values if math.isfinite(value)]
    low, high = wanted or (min(known, default=0.0), max(known, default=1.0))
    if log:
        low, high = low / 1.2, high * 1.2
    elif not wanted:
        low, high = low - room * (high - low), high + room * (high - low)
    if not high > low:
        spread = abs(low) * 0.1 or 0.5
        low, high = low - spread, high + spread
    return _Scale(low, high, log)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` multiples of 1, 2 or 5 times a power of 10."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (power * factor) < most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _spread(places: Sequence[float], scale: _Scale) -> list[float]:
    """Return the places without those that are too close to the one before them; the last one stays."""
    kept: list[float] = []
    for place in places:
        while len(kept) > 1 and place == places[-1] and scale.share(place) - scale.share(kept[-1]) < 0.07:
            kept.pop()
        if not kept or scale.share(place) - scale.share(kept[-1]) >= 0.07:
            kept.append(place)
    return kept


def _table_of(series: Sequence[Series], x_label: str) -> tuple[list[str], list[list[str]]]:
    """Return the table behind a line chart: a row for each x, a column for each line."""
    by_x = [dict(zip(one.xs, one.ys, strict=True)) for one in series]
    xs = sorted({x for values in by_x for x in values})
    rows = [[format_number(x), *(format_number(values[x]) if x in values else "" for values in by_x)] for x in xs]
    return [x_label, *(one.name for one in series)], _cut(rows)


def _cut(rows: list[list[str]]) -> list[list[str]]:
    """Return at most `_LISTED` rows: of more, every n-th."""
    step = math.ceil(len(rows) / _LISTED) or 1
    return rows[::step]


def _at(share: float) -> str:
    """Return a share, 0..1, as an SVG length."""
    return f"{100 * share:.4g}%"
