"""The JSON of a REST request, read as TensorFlow Serving reads it: what follows the document is not looked at.

The common request goes through orjson; NaN and Infinity, or strings that are no UTF-8, go through the standard
library; only what neither takes is read by `rapidjson.Parser`, which is slow and knows the rules to the byte.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from serving.server.rest.debug_string import debug_string
from serving.server.rest.rapidjson_reader import UTF8_ERRORS, JsonParseError, RapidJsonReader
from serving.server.rpc_error import invalid_argument

EXACT_BYTES = 1 << 20  # a longer broken document gets an approximate text: the slow parser takes 0.3 s a megabyte
_DECODER = json.JSONDecoder()
# What the standard library takes and rapidjson does not: surrogates without their half, and numbers beyond a double.
_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?0*[1-9]\d\d|\d{300}")
_BOM = b"\xef\xbb\xbf"


def load_body(body: bytes) -> dict[str, Any]:
    """The object that a request's body holds.

    Integers beyond 64 bits are floats. Of a name that is there twice the last value counts (rapidjson: the first).

    Raises:
      Fault: INVALID_ARGUMENT with rapidjson's text and offset, or the document is no object.
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
            if isinstance(value, dict | list):  # it takes `1.x` for a 1 with something behind it
                return value
        except (json.JSONDecodeError, RecursionError) as error:
            if not exact:
                where = getattr(error, "pos", 0)
                raise invalid_argument(f"JSON Parse error: Invalid value. at offset: {where}") from error
    try:
        return RapidJsonReader(body, start).read_document()
    except JsonParseError as broken:
        raise invalid_argument(f"JSON Parse error: {broken.text} at offset: {broken.offset}") from broken
