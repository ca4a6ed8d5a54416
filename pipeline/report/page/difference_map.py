"""A map of the proof: how much each route differs from training on each record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from components.review.record import ProvedRecord
from pipeline.report.page.charts import Chart
from pipeline.report.page.text import clean, format_number
from serving.parity.compare import Comparison

SHOWN = 120  # records at most: those that differ most
_LISTED = 50  # rows of the table behind the map
_LEVELS = ((0.0, "equal"), (0.01, "up to 1%"), (0.1, "up to 10%"), (1.0, "up to 100% of the tolerance"))
_ABOVE = "above the tolerance"


def difference_map(
    routes: Sequence[Comparison], differences: Mapping[str, Sequence[float | None]], records: Sequence[ProvedRecord]
) -> Chart | None:
    """Return a row of cells for each route with a cell for each record; None if no difference is known.

    Args:
      routes: Of the run, with their tolerances.
      differences: Largest difference of a score by route and record; None in place of an infinite one.
      records: The N records.
    """
    known = [route for route in routes if len(differences.get(route.route, ())) == len(records) > 0]
    if not known:
        return None
    shown = _most_different([differences[route.route] for route in known], len(records))
    of = f"{len(shown):,} of {len(records):,} records" if len(shown) < len(records) else f"{len(records):,} records"
    title = f"Difference from training on {of}, from left to right in the order in which they were sent"
    rows = [_row(route, differences[route.route], shown, records) for route in known]
    drawing = _tag("div", Markup("").join(rows), class_="map", role="img", aria_label=title) + _legend()
    columns = ["record", "why it is in the sample", *(route.route for route in known)]
    return Chart(title, drawing, columns, _table(known, differences, shown, records))


def level(difference: float | None, tolerance: float) -> int:
    """Return 0 if equal, 1 to 3 up to 1%, 10% and 100% of the tolerance, and 4 above; None counts as infinite."""
    ratio = math.inf if difference is None else difference / tolerance if tolerance else math.inf * difference
    if difference == 0:
        return 0
    return next((place for place, (limit, _) in enumerate(_LEVELS) if ratio <= limit), len(_LEVELS))


def _most_different(rows: Sequence[Sequence[float | None]], count: int) -> list[int]:
    """Return the records to show, in their order."""
    largest = [max(math.inf if row[place] is None else row[place] or 0.0 for row in rows) for place in range(count)]
    return sorted(sorted(range(count), key=lambda place: -largest[place])[:SHOWN])


def _row(
    route: Comparison, values: Sequence[float | None], shown: Sequence[int], records: Sequence[ProvedRecord]
) -> Markup:
    cells = [_tag("rect", x=0, y=0, width=len(shown), height=1, class_="map-0")]
    for place, record in enumerate(shown):
        found = level(values[record], route.tolerance)
        if found:
            about = f"{route.route}, {_name(records[record])}: {_text(values[record])}"
            title = _tag("title", about)
            cells.append(_tag("rect", title, x=place, y=0, width=1, height=1, class_=f"map-{found}"))
    drawn = _tag(
        "svg",
        Markup("").join(cells),
        viewBox=f"0 0 {len(shown)} 1",
        preserveAspectRatio="none",
        class_="map-row",
    )
    return _tag("span", route.route, class_="map-name") + drawn


def _legend() -> Markup:
    texts = [*(text for _, text in _LEVELS), _ABOVE]
    keys = [
        _tag("span", _tag("svg", _tag("rect", width=14, height=14, class_=f"map-{place}"), width=14, height=14) + text)
        for place, text in enumerate(texts)
    ]
    return _tag("div", Markup("").join(keys), class_="map-legend", aria_hidden="true")


def _table(
    routes: Sequence[Comparison],
    differences: Mapping[str, Sequence[float | None]],
    shown: Sequence[int],
    records: Sequence[ProvedRecord],
) -> list[list[str]]:
    """Return the numbers of the records that differ at all, the first of them."""
    differing = [record for record in shown if any(differences[route.route][record] != 0 for route in routes)]
    rows = [
        [
            records[record].source,
            records[record].reason,
            *(_text(differences[route.route][record]) for route in routes),
        ]
        for record in differing[:_LISTED]
    ]
    rest = len(differing) - len(rows)
    return rows + ([[f"and {rest:,} more", "", *("" for _ in routes)]] if rest else [])


def _text(difference: float | None) -> str:
    return "infinite" if difference is None else format_number(difference, 2)


def _name(record: ProvedRecord) -> str:
    return f"{record.source} ({record.reason})" if record.reason and record.reason != record.source else record.source


def _tag(name: str, body: str | Markup = "", **attributes: object) -> Markup:
    """Return an element; text and values are escaped, and an underscore stands for a hyphen."""
    texts = [f' {key.rstrip("_").replace("_", "-")}="{escape(clean(str(value)))}"' for key, value in attributes.items()]
    return Markup(f"<{name}{''.join(texts)}>{escape(clean(body))}</{name}>")
