from __future__ import annotations

import math

import pytest
from markupsafe import Markup

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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (1234567.0, "1,234,567"),
        (0.93124, "0.9312"),
        (12345.678, "12,346"),
        (1.5e-7, "1.5e-07"),
        (-2.25, "-2.25"),
        (math.nan, "-"),
        (math.inf, "-"),
        (None, "-"),
    ],
)
def test_numbers_have_few_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.9312, "93.1%"), (0, "0.0%"), (math.nan, "-"), (None, "-")])
def test_shares_are_percentages(value: float | None, text: str) -> None:
    assert format_share(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (200.2, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (583677, "584 kB"), (4.2e6, "4.2 MB"), (3e15, "3,000.0 TB")],
)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-11-27T21:10:34+00:00", "27 November 2026, 21:10 UTC"),
        ("2026-01-02T03:04:05+05:30", "2 January 2026, 03:04 UTC+05:30"),
        ("2026-01-02T03:04:05", "2 January 2026, 03:04"),
        ("", ""),
        ("yesterday", "yesterday"),
    ],
)
def test_times(time: str, text: str) -> None:
    assert format_time(time).rstrip() == text


def test_nouns_are_counted() -> None:
    assert [count_noun(number, "class", "classes") for number in (0, 1, 1000)] == [
        "0 classes",
        "1 class",
        "1,000 classes",
    ]
    assert count_noun(2, "picture") == "2 pictures"


def test_what_changes_the_direction_or_cannot_be_encoded_becomes_visible() -> None:
    assert clean("\u202egpj.tac") == "\\u202egpj.tac"
    assert clean("caf\udce9") == "caf\\xe9"
    assert clean("a\x00b\x1b[31m") == "a\\x00b\\x1b[31m"
    assert clean("\u2067x\u2069\u2028") == "\\u2067x\\u2069\\u2028"


def test_other_text_is_as_it_is() -> None:
    for text in ("naïve café", "عربي", "two\nlines\tand a tab", "👩‍🔬", "日本", "a\xa0b"):
        assert clean(text) == text
    assert clean(3) == 3
    assert clean(Markup("<b>\u202e</b>")) == "<b>\u202e</b>"  # markup is ours


def test_columns_of_numbers_are_found() -> None:
    rows = [["cat", "1,234", "93.1%", "1.7e-05", "-", "2.1 s"], ["dog 3", "-5", "−0.4", "0", "7", "300 ms"]]
    assert numeric_columns(rows) == [1, 2, 3, 4, 5]
    assert numeric_columns([]) == []
