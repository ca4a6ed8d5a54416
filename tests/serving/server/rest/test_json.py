"""RapidJSON's rules and texts: offsets as RapidJSON 1.1 prints them, values against the standard library.

The rules are those of tensorflow_serving/util/json_tensor.cc, ParseJson and JsonValueToDebugString.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from serving.server.rest.debug_string import MAX_DEBUG_BYTES, debug_string
from serving.server.rest.json_body import EXACT_BYTES, load_body
from serving.server.rest.rapidjson_reader import UTF8_ERRORS, RapidJsonReader
from serving.server.rpc_error import Fault


def fault(body: bytes) -> str:
    with pytest.raises(Fault) as caught:
        load_body(body)
    assert caught.value.message.startswith("JSON Parse error: ")
    return caught.value.message[len("JSON Parse error: ") :]


BROKEN = [
    (b"  ", "The document is empty.", 2),
    (b"]", "The document is empty.", 0),
    (b" }{}", "The document is empty.", 1),
    (b',"a":1', "The document is empty.", 0),
    (b"\xef\xbb\xbf :1", "The document is empty.", 4),
    (b"1.x", "Miss fraction part in number.", 2),
    (b'{"a":tru}', "Invalid value.", 8),
    (b'{"a":nul', "Invalid value.", 8),
    (b'{"a":-}', "Invalid value.", 6),
    (b'{"a":+1}', "Invalid value.", 5),
    (b'{"a":}', "Invalid value.", 5),
    (b'{"a":Nan}', "Invalid value.", 7),
    (b'{"a":-Infinite}', "Invalid value.", 13),
    (b"{a:1}", "Missing a name for object member.", 1),
    (b'{"a":1,}', "Missing a name for object member.", 7),
    (b"{", "Missing a name for object member.", 1),
    (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
    (b'{"a":1 "b":2}', "Missing a comma or '}' after an object member.", 7),
    (b'{"a":01}', "Missing a comma or '}' after an object member.", 6),
    (b'{"a":[1 2]}', "Missing a comma or ']' after an array element.", 8),
    (b'{"a":[1,2', "Missing a comma or ']' after an array element.", 9),
    (b'{"a":[1,]}', "Invalid value.", 8),
    (b'{"a":"\\u00g0"}', "Incorrect hex digit after \\u escape in string.", 6),
    (b'{"a":"\\ud800"}', "The surrogate pair in string is invalid.", 6),
    (b'{"a":"\\ud800\\u0041"}', "The surrogate pair in string is invalid.", 6),
    (b'{"a":"b\\q"}', "Invalid escape character in string.", 7),
    (b'{"a":"b\n"}', "Invalid escape character in string.", 7),
    (b'{"a":"b', "Missing a closing quotation mark in string.", 7),
    (b'{"a":1e400}', "Number too big to be stored in double.", 5),
    (b'{"a":1.}', "Miss fraction part in number.", 7),
    (b'{"a":1.e3}', "Miss fraction part in number.", 7),
    (b'{"a":1e+}', "Miss exponent in number.", 8),
]


@pytest.mark.parametrize(("body", "text", "offset"), BROKEN)
def test_texts_and_offsets(body: bytes, text: str, offset: int) -> None:
    assert fault(body) == f"{text} at offset: {offset}"


def test_a_zero_byte_ends_the_document() -> None:
    assert load_body(b'{"a":1}\0rubbish') == {"a": 1}
    assert fault(b'{"a":"b\0"}') == "Missing a closing quotation mark in string. at offset: 7"


@pytest.mark.parametrize(
    ("text", "value"),
    [("Inf", math.inf), ("-Inf", -math.inf), ("Infinity", math.inf), ("-Infinity", -math.inf)]
    + [("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)), ("1E3", 1000.0), ("-0.0", 0.0)]
    + [("18446744073709551616", float(2**64)), ("1e-400", 0.0)],
)
def test_numbers_with_every_parser(text: str, value: float) -> None:
    for body in (f'{{"a": {text}}}', f'{{"a": {text}, "b": NaN}}', f'{{"a": {text}, "b": -NaN}}'):
        found = load_body(body.encode())["a"]
        assert found == value
        if "b" not in body:
            assert type(found) is type(value)


def _random_value(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(8 if depth else 6)
    if kind == 6:
        return [_random_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 7:
        return {_random_text(draw): _random_value(draw, depth - 1) for _ in range(draw.randrange(4))}
    return [None, True, draw.randrange(-(2**40), 2**40), draw.uniform(-1e9, 1e9), _random_text(draw), -0.0][kind]


def _random_text(draw: random.Random) -> str:
    return "".join(chr(draw.choice((34, 92, 47, 9, 31, 65, 233, 0x20AC, 0x1F600))) for _ in range(draw.randrange(6)))


def test_the_slow_reader_agrees_with_the_standard_library() -> None:
    draw = random.Random(4)
    for _ in range(500):
        document = {"a": _random_value(draw, 4)}
        for options in ({}, {"ensure_ascii": False}, {"indent": 2}):
            body = json.dumps(document, **options).encode()
            assert RapidJsonReader(body, 0).read_document() == load_body(body) == document


def test_strings_that_are_not_utf8_pass_through() -> None:
    for extra in (b"", b', "b": NaN', b', "b": -NaN'):
        found = load_body(b'{"a": "x\xff\xc3\xa9"' + extra + b"}")["a"]
        assert found.encode("utf-8", UTF8_ERRORS) == b"x\xff\xc3\xa9"


def test_a_large_broken_document_is_rejected_quickly() -> None:
    body = b'{"instances": [' + b"0.5," * (EXACT_BYTES // 2) + b"}"
    assert fault(body).startswith("Invalid value. at offset: ")


@pytest.mark.parametrize("rest", [b"x", b" 2", b"]", b'{"a":2}', b" NaN", b"\xff", b"\0"])
@pytest.mark.parametrize("document", [b'{"a":1}', b'\xef\xbb\xbf {"a":1}', b'{"a":1,"b":NaN}', b'{"a":1,"b":-NaN}'])
def test_what_follows_the_document_is_not_read(document: bytes, rest: bytes) -> None:
    assert load_body(document + rest)["a"] == 1


@pytest.mark.parametrize("depth", [300, 2000, 200_000])
def test_nesting_has_no_limit(depth: int) -> None:
    document = load_body(b'{"instances":[1],"nested":' + b"[" * depth + b"]" * depth + b"}")
    assert document["instances"] == [1]
    start = '{\n    "instances": [1],\n    "nested": '
    assert debug_string(document) == start + "[" * (MAX_DEBUG_BYTES - len(start))
    assert fault(b'{"a":' + b'{"b":' * depth).startswith("Invalid value.")


def test_a_debug_string_is_cut_after_its_limit() -> None:
    assert debug_string({"a": [1, {"b": [2.5, "c"]}], "d": {}, "e": []}) == (
        '{\n    "a": [1, {\n            "b": [2.5, "c"]\n        }],\n    "d": {},\n    "e": []\n}'
    )
    assert debug_string(["a" * 1000, 1]) == '["' + "a" * 1000 + '"'  # written whole, and nothing after it
    assert debug_string(["a" * (MAX_DEBUG_BYTES - 3)]) == '["' + "a" * (MAX_DEBUG_BYTES - 3) + '"'
    assert debug_string(["a" * (MAX_DEBUG_BYTES - 4)]) == '["' + "a" * (MAX_DEBUG_BYTES - 4) + '"]'
    assert debug_string({"a" * 300: 1}) == '{\n    "' + "a" * 300 + '"'
    assert len(debug_string([[0.5] * 10] * 1_000_000)) == MAX_DEBUG_BYTES + 2  # a number that had begun


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1, "1"), (2**64 - 1, "18446744073709551615"), (10**22, "1e22"), (None, "null")),
        *((True, "true"), (False, "false"), ("é", '"é"'), ("\x1f\t/", '"\\u001F\\t/"'), ([], "[]"), ({}, "{}")),
        *((0.0, "0.0"), (-0.0, "-0.0"), (0.1, "0.1"), (100.0, "100.0"), (1e20, "100000000000000000000.0")),
        *((1e21, "1e21"), (-1.5e300, "-1.5e300"), (1e-5, "0.00001"), (1.25e-6, "0.00000125"), (1e-7, "1e-7")),
        *((1 / 3, "0.3333333333333333"), (123.456, "123.456"), (math.nan, ""), ([1, -math.inf, 2], "[1, ")),
    ],
)
def test_debug_strings(value: Any, text: str) -> None:
    assert debug_string(value) == text
