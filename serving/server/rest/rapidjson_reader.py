"""rapidjson 1.1's reader as TensorFlow Serving sets it: its texts and offsets go into the answers.

The flags are kParseIterativeFlag (nesting may be as deep as it likes), kParseNanAndInfFlag and kParseStopWhenDoneFlag
(what follows the value is not read). The texts are those of rapidjson's `error/en.h`, the offsets of its `reader.h`.
"""

from __future__ import annotations

import re
from typing import Any

UTF8_ERRORS = "surrogateescape"  # how bytes of a string that are no UTF-8 pass through Python's str
_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_NUMBER = re.compile(rb"(-?(?:0|[1-9][0-9]{0,17}))(\.[0-9]+)?(?=[,\]} \n\r\t])")  # the common one
_ESCAPES = {34: b'"', 47: b"/", 92: b"\\", 98: b"\b", 102: b"\f", 110: b"\n", 114: b"\r", 116: b"\t"}
_WORDS = {b"null": None, b"true": True, b"false": False}
_NO_VALUE = b"\0]},:"  # a document that begins with one of them is told to be empty


class JsonParseError(Exception):
    """What is wrong with a document, in rapidjson's words, and at which byte."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset


class RapidJsonReader:
    """Reads a document's first value; a zero byte ends it, as there."""

    def __init__(self, body: bytes, start: int) -> None:
        """Args:
        body: the document.
        start: where in it to begin; offsets count from its first byte all the same.
        """
        self._body = body + b"\0"  # the end needs no check of its own
        self._at = start

    def document(self) -> Any:
        """The value; integers beyond 64 bits are floats.

        Raises:
          JsonParseError: it is not JSON as rapidjson takes it.
        """
        self._skip()
        if self._peek() in _NO_VALUE:
            raise JsonParseError("The document is empty.", self._at)
        opened: list[tuple[dict[str, Any] | list[Any], str]] = []  # each with the name of the member to come
        while True:
            is_object = self._peek() == ord("{")
            if is_object or self._peek() == ord("["):
                self._at += 1
                self._skip()
                value: Any = {} if is_object else []
                if not self._take(b"}" if is_object else b"]"):
                    opened.append((value, self._name() if is_object else ""))
                    continue
            else:
                value = self._scalar()
            while opened:
                container, name = opened.pop()
                if isinstance(container, dict):
                    container[name] = value
                else:
                    container.append(value)
                is_object = isinstance(container, dict)
                if self._goes_on(is_object):
                    opened.append((container, self._name() if is_object else ""))
                    break
                value = container
            else:
                return value

    def _peek(self) -> int:
        return self._body[self._at]

    def _skip(self) -> None:
        self._at = _SPACE.match(self._body, self._at).end()  # type: ignore[union-attr]

    def _take(self, wanted: bytes) -> bool:
        """Takes as many bytes of `wanted` as are there; whether it was all of them."""
        for byte in wanted:
            if self._peek() != byte:
                return False
            self._at += 1
        return True

    def _goes_on(self, is_object: bool) -> bool:
        """Whether another member or element follows the one that was read; else the container is closed."""
        self._skip()
        if self._take(b","):
            self._skip()
            return True
        if self._take(b"}" if is_object else b"]"):
            return False
        what = "'}' after an object member." if is_object else "']' after an array element."
        raise JsonParseError(f"Missing a comma or {what}", self._at)

    def _name(self) -> str:
        """A member's name with its colon."""
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
            return self._word(minus)
        if not self._take(b"0") and not self._digits():
            raise JsonParseError("Invalid value.", self._at)
        whole = True
        if self._take(b"."):
            whole = False
            if not self._digits():
                raise JsonParseError("Miss fraction part in number.", self._at)
        if self._peek() in b"eE":
            whole = False
            self._at += 1
            if self._peek() in b"+-":
                self._at += 1
            if not self._digits():
                raise JsonParseError("Miss exponent in number.", self._at)
        text = self._body[start : self._at]
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise JsonParseError("Number too big to be stored in double.", start)
        return int(text) if whole and -(2**63) <= int(text) < 2**64 else value

    def _digits(self) -> bool:
        start = self._at
        self._at = _DIGITS.match(self._body, start).end()  # type: ignore[union-attr]
        return self._at > start

    def _word(self, minus: bool) -> float:
        if self._take(b"N"):
            if self._take(b"aN"):
                return float("nan")
        elif self._take(b"Inf") and (self._peek() != ord("i") or self._take(b"inity")):
            return float("-inf" if minus else "inf")
        raise JsonParseError("Invalid value.", self._at)
