"""Text of the page: numbers in a few digits, names without characters that harm, columns of numbers."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from data.names import printable

# Control characters except tab and newline, those that change the direction of text, and bytes that are not UTF-8.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?( ?%| [a-zµ]{1,2})?|-|−|–|")


def clean(value: Any) -> Any:
    """Return text with harmful characters escaped, and any other value as it is.

    Args:
      value: What a template prints; markup is trusted.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _HARMFUL.sub(lambda found: printable(found.group()), value)


def format_number(value: float | None, digits: int = 4) -> str:
    """Return a number for a person: "1,234", "0.9312", "1.2e-07"; "-" for None, NaN and infinity.

    Args:
      value: The number.
      digits: Number of significant digits of what is not whole.
    """
    if value is None or not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def format_share(value: float | None, digits: int = 1) -> str:
    """Return a share, 0..1, as a percentage: "93.1%"; "-" for None and NaN.

    Args:
      value: The share.
      digits: Number of decimals.
    """
    return "-" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}%"


def format_duration(seconds: float) -> str:
    """Return a duration: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_time(text: str) -> str:
    """Return a time in ISO 8601 for a person: "27 November 2026, 21:10 UTC"; other text as it is."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = " UTC" if found.utcoffset() == datetime.timedelta(0) else found.strftime(" %Z")
    return f"{found.day} {found.strftime('%B %Y, %H:%M')}{zone}"


def format_bytes(size: float) -> str:
    """Return a size: "312 B", "4.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 class", "1,000 classes".

    Args:
      count: The number.
      noun: In the singular.
      plural: Of the noun; by default with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def numeric_columns(rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the columns of a table in which each cell is a number, so that they are set flush right."""
    columns = range(min(map(len, rows), default=0))
    return [one for one in columns if all(_NUMBER.fullmatch(str(row[one])) for row in rows)]
