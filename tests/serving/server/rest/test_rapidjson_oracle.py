"""Our reader against python-rapidjson, which wraps the library whose texts TensorFlow Serving prints.

Values, texts and offsets are compared. The differences that the reader's docstring lists are allowed here one by one.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import rapidjson
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from serving.server.rest.rapidjson_reader import JsonParseError, RapidJsonReader
from tests.serving.server.rest.test_json import BROKEN

TOKENS = [
    *("{", "}", "[", "]", ",", ":", '"', "\\", " ", "\n", "\t", "\0", "\x1f", "a", "é", "\U0001f600", "/"),
    *("0", "1", "-", "+", ".", "e", "E", "12", "1.5", "-0", "1e5", "1e400", "1e-400", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "0.1", "1.", "01"),
    *("null", "true", "false", "nul", "NaN", "Inf", "Infinity", "-Inf", "Infinit", "N", "I"),
    *('"a"', '"a":', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\ud800\\u0041"', '"\\u12', '"\\q"', '"\\n"'),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def almost_json(draw: st.DrawFn) -> bytes:
    """Documents with up to three tokens put in place of as many characters or fewer."""
    options: dict[str, Any] = draw(st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}]))
    text = json.dumps(draw(VALUES), **options)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(TOKENS)) + text[at + draw(st.integers(0, 2)) :]
    return text.encode("utf-8", "replace")


def read(body: bytes) -> Any:
    """Return what our reader makes of a document: its value, or the text and offset of its fault."""
    try:
        return RapidJsonReader(body, 0).read_document()
    except JsonParseError as error:
        return error.text, error.offset


def read_with_rapidjson(body: bytes) -> Any:
    """Return what RapidJSON 1.1 would make of it, from what the later RapidJSON makes of it."""
    modes = rapidjson.NM_NATIVE | rapidjson.NM_NAN  # integers beyond 64 bits are floats
    try:
        return rapidjson.loads(body, number_mode=modes)
    except rapidjson.JSONDecodeError as error:
        found = re.fullmatch(r"Parse error at offset (\d+): (.*)", str(error))
    assert found is not None
    offset, text = int(found[1]), found[2]
    if text == "The document root must not be followed by other values.":
        return read_with_rapidjson(body[:offset])
    if text == "Invalid encoding in string.":
        text = "Invalid escape character in string."
    if text == "Invalid value." and body.lstrip(b" \n\r\t").startswith((b"]", b"}", b",", b":")):
        text = "The document is empty."
    return text, offset


def is_low_surrogate_alone(body: bytes, found: Any) -> bool:
    """Return whether the later RapidJSON rejects a low surrogate alone, which 1.1 accepts."""
    if not isinstance(found, tuple) or found[0] != "The surrogate pair in string is invalid.":
        return False
    return re.match(rb"\\u[dD][c-fC-F]", body[found[1] :]) is not None


def is_same(ours: Any, theirs: Any) -> bool:
    """Compare values exactly, except that floats may differ in the last digits: RapidJSON's fast path rounds."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, float):
        both_nan = math.isnan(ours) and math.isnan(theirs)
        return both_nan or math.isclose(ours, theirs, rel_tol=1e-14, abs_tol=1e-300)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(map(is_same, ours.values(), theirs.values()))
    return bool(ours == theirs)


@settings(max_examples=800, deadline=None)
@given(almost_json() | st.lists(st.sampled_from(TOKENS), max_size=8).map(lambda tokens: "".join(tokens).encode()))
@example(b'{"a":1,"a":2}')
@example(b'{"a":1}\0rubbish')
@example(b"[1] x")
@example(b"-0")
def test_any_text_is_read_as_by_rapidjson(body: bytes) -> None:
    ours, theirs = read(body), read_with_rapidjson(body)
    assume(not is_low_surrogate_alone(body, theirs))
    assert is_same(ours, theirs), (ours, theirs)


@pytest.mark.parametrize(("body", "text", "offset"), BROKEN)
def test_the_texts_and_offsets_counted_by_hand_are_rapidjson_s(body: bytes, text: str, offset: int) -> None:
    mark = body.startswith(b"\xef\xbb\xbf")  # the byte order mark, which python-rapidjson does not skip
    assert read_with_rapidjson(body[3:] if mark else body) == (text, offset - 3 * mark)


def test_what_rapidjson_lacks() -> None:
    """These are the reasons for a reader of our own; when one goes, look again."""
    for depth in (100, 5000):
        assert read(b"[" * depth + b"]" * depth)
    with pytest.raises(RecursionError):
        rapidjson.loads(b"[" * 5000 + b"]" * 5000)
    with pytest.raises(rapidjson.JSONDecodeError, match="must not be followed by other values"):
        rapidjson.loads(b"[1] x")
    with pytest.raises(UnicodeDecodeError):
        rapidjson.loads(b'["\xff"]')
    with pytest.raises(rapidjson.JSONDecodeError, match="offset 2: The surrogate pair in string is invalid."):
        rapidjson.loads(b'["\\udc00"]')
