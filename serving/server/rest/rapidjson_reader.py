"""RapidJSON 1.1's reader as TensorFlow Serving configures it: its texts and offsets go into the answers.

TensorFlow Serving sets three flags: kParseIterativeFlag (no limit on nesting), kParseNanAndInfFlag and
kParseStopWhenDoneFlag (what follows the value is not read). The texts are those of RapidJSON's `error/en.h`, the
offsets those of its `reader.h`.

python-rapidjson wraps a later RapidJSON with other flags, so it is only the oracle of the tests. What it lacks:

* nesting: it recurses and stops at Python's recursion limit (1000), and a higher limit would let a request overflow
  the stack;
* text after the document, which it reports as an error;
* bytes that are not UTF-8, and the escape of a low surrogate without its high one, both of which 1.1 lets through;
* two texts of 1.1: "The document is empty." for a document that begins with one of `]},:`, and "Invalid escape
  character in string." for a control character in a string.
"""

from __future__ import annotations

import re
from typing import Any

UTF8_ERRORS = "surrogateescape"  # lets bytes that are not UTF-8 pass through Python's str
_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_NUMBER = re.compile(rb"(-?(?:0|[1-9][0-9]{0,17}))(\.[0-9]+)?(?=[,\]} \n\r\t])")  # the common case, for speed
_ESCAPES = {34: b'"', 47: b"/", 92: b"\\", 98: b"\b", 102: b"\f", 110: b"\n", 114: b"\r", 116: b"\t"}
_WORDS = {b"null": None, b"true": True, b"false": False}
_Parent = tuple[dict[str, Any] | list[Any], str]  # an open container, and the name of its next member
_OPENED = object()
_NO_VALUE = b"\0]},:"  # a document that begins with one of them is reported as empty


class JsonParseError(Exception):
    """A document that RapidJSON rejects.

    Attributes:
      text: RapidJSON's text.
      offset: its byte offset in the request's body.
    """

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset


class RapidJsonReader:
    """Reader of the first value of a document, which a zero byte ends."""

    def __init__(self, body: bytes, start: int) -> None:
        """Create a reader.

        Args:
          body: the document.
          start: byte to begin at; offsets still count from the first byte.
        """
        self._body = body + b"\0"  # saves checks for the end
        self._at = start

    def read_document(self) -> Any:
        """Return the value, with integers beyond 64 bits as floats.

        Raises:
          JsonParseError: If RapidJSON rejects the document.
        """
        self._skip()
        if self._peek() in _NO_VALUE:
            raise JsonParseError("The document is empty.", self._at)
        parents: list[_Parent] = []
        while True:
            value = self._begin_value(parents)
            if value is not _OPENED:
                value = self._end_value(value, parents)
                if not parents:
                    return value

    def _begin_value(self, parents: list[_Parent]) -> Any:
        """Read a scalar or an empty container, or push a container that has something in it and return `_OPENED`."""
        is_object = self._peek() == ord("{")
        if not is_object and self._peek() != ord("["):
            return self._scalar()
        self._at += 1
        self._skip()
        value: dict[str, Any] | list[Any] = {} if is_object else []
        if self._take(b"}" if is_object else b"]"):
            return value
        parents.append((value, self._member_name() if is_object else ""))
        return _OPENED

    def _end_value(self, value: Any, parents: list[_Parent]) -> Any:
        """Add a value to its container, pop the containers that end with it, and return the last of them."""
        while parents:
            container, name = parents.pop()
            is_object = isinstance(container, dict)
            if isinstance(container, dict):
                container[name] = value
            else:
                container.append(value)
            if self._has_next(is_object):
                parents.append((container, self._member_name() if is_object else ""))
                break
            value = container
        return value

    def _peek(self) -> int:
        return self._body[self._at]

    def _skip(self) -> None:
        self._at = _SPACE.match(self._body, self._at).end()  # type: ignore[union-attr]

    def _take(self, wanted: bytes) -> bool:
        """Skip the longest prefix of `wanted` that comes next, and return whether that was all of it."""
        for byte in wanted:
            if self._peek() != byte:
                return False
            self._at += 1
        return True

    def _has_next(self, is_object: bool) -> bool:
        """Read the separator after a member or element, and return whether another one follows."""
        self._skip()
        if self._take(b","):
            self._skip()
            return True
        if self._take(b"}" if is_object else b"]"):
            return False
        what = "'}' after an object member." if is_object else "']' after an array element."
        raise JsonParseError(f"Missing a comma or {what}", self._at)

    def _member_name(self) -> str:
        """Read a member's name and the colon after it."""
        if self._peek() != ord('"'):
            raise JsonParseError("Missing a name for object member.", self._at)
        name = self._string()
        self._skip()
        if not self._take(b":"):
            raise JsonParseError("Missing a colon after a name of object member.", self._at)
        self._skip()
        return name

    def _scalar(self) -> Any:
        first = self._peek()
        if first == ord('"'):
            return self._string()
        for word, value in _WORDS.items():
            if first == word[0]:
                if self._take(word):
                    return value
                raise JsonParseError("Invalid value.", self._at)
        return self._number()

    def _string(self) -> str:
        self._at += 1
        parts = []
        while True:
            plain = _PLAIN.match(self._body, self._at)
            parts.append(plain[0])  # type: ignore[index]
            self._at = plain.end()  # type: ignore[union-attr]
            if self._take(b'"'):
                return b"".join(parts).decode("utf-8", UTF8_ERRORS)
            if self._peek() == 0:
                raise JsonParseError("Missing a closing quotation mark in string.", self._at)
            if self._peek() != ord("\\"):  # a control character
                raise JsonParseError("Invalid escape character in string.", self._at)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        start = self._at
        self._at += 1
        kind = self._peek()
        self._at += 1
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        if kind != ord("u"):
            raise JsonParseError("Invalid escape character in string.", start)
        code = self._hex(start)
        if 0xD800 <= code <= 0xDBFF:
            low = self._hex(start) if self._take(b"\\u") else 0
            if not 0xDC00 <= low <= 0xDFFF:
                raise JsonParseError("The surrogate pair in string is invalid.", start)
            code = ((code - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        digits = self._body[self._at : self._at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise JsonParseError("Incorrect hex digit after \\u escape in string.", start)
        self._at += 4
        return int(digits, 16)

    def _number(self) -> int | float:
        common = _NUMBER.match(self._body, self._at)
        if common:
            self._at = common.end()
            return float(common[0]) if common[2] else int(common[1])
        start = self._at
        minus = self._take(b"-")
        if self._peek() in b"NI":
            return self._nan_or_infinity(minus)
        if not self._take(b"0") and not self._digits():
            raise JsonParseError("Invalid value.", self._at)
        has_fraction, has_exponent = self._fraction(), self._exponent()
        text = self._body[start : self._at]
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise JsonParseError("Number too big to be stored in double.", start)
        is_integer = not has_fraction and not has_exponent and -(2**63) <= int(text) < 2**64
        return int(text) if is_integer else value

    def _fraction(self) -> bool:
        if not self._take(b"."):
            return False
        if not self._digits():
            raise JsonParseError("Miss fraction part in number.", self._at)
        return True

    def _exponent(self) -> bool:
        if self._peek() not in b"eE":
            return False
        self._at += 1
        if self._peek() in b"+-":
            self._at += 1
        if not self._digits():
            raise JsonParseError("Miss exponent in number.", self._at)
        return True

    def _digits(self) -> bool:
        start = self._at
        self._at = _DIGITS.match(self._body, start).end()  # type: ignore[union-attr]
        return self._at > start

    def _nan_or_infinity(self, minus: bool) -> float:
        if self._take(b"N"):
            if self._take(b"aN"):
                return float("nan")
        elif self._take(b"Inf") and (self._peek() != ord("i") or self._take(b"inity")):
            return float("-inf" if minus else "inf")
        raise JsonParseError("Invalid value.", self._at)
