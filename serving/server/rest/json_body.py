"""The JSON of a REST request, read as TensorFlow Serving reads it: what follows the document is ignored.

orjson reads the common request; the standard library reads NaN, Infinity and strings that are not UTF-8. What both
reject goes to `RapidJsonReader`, which is slow and follows RapidJSON to the byte.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from serving.server.rest.debug_string import debug_string
from serving.server.rest.rapidjson_reader import UTF8_ERRORS, JsonParseError, RapidJsonReader
from serving.server.rpc_error import invalid_argument

EXACT_BYTES = 1 << 20  # a longer broken document gets an approximate text: the slow reader takes 0.3 s per MB
_DECODER = json.JSONDecoder()
# The standard library accepts, and RapidJSON rejects, half a surrogate pair and numbers too large for a double.
_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?0*[1-9]\d\d|\d{300}")
_BOM = b"\xef\xbb\xbf"


def load_body(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    Integers beyond 64 bits are floats. The last value of a repeated name counts; in RapidJSON it is the first.

    Raises:
      Fault: INVALID_ARGUMENT with RapidJSON's text and offset, or because the document is not an object.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    value = _value(body)
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {debug_string(value)} Is not object")
    return value


def _value(body: bytes) -> Any:
    start = len(_BOM) if body.startswith(_BOM) else 0
    try:
        return orjson.loads(memoryview(body)[start:])
    except orjson.JSONDecodeError:
        pass
    exact = len(body) <= EXACT_BYTES
    if not exact or not _SUSPECT.search(body):
        try:
            text = body[start:].decode("utf-8", UTF8_ERRORS)
            value, _ = _DECODER.raw_decode(text, len(text) - len(text.lstrip(" \n\r\t")))
            if isinstance(value, dict | list):  # not a number: it reads `1.x` as 1 and text after it
                return value
        except (json.JSONDecodeError, RecursionError) as error:
            if not exact:
                where = getattr(error, "pos", 0)
                raise invalid_argument(f"JSON Parse error: Invalid value. at offset: {where}") from error
    try:
        return RapidJsonReader(body, start).read_document()
    except JsonParseError as broken:
        raise invalid_argument(f"JSON Parse error: {broken.text} at offset: {broken.offset}") from broken
