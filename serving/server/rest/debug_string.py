"""JSON values quoted in the error texts of REST: TensorFlow Serving's JsonValueToDebugString."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from serving.server.rest.responses import INDENT, quote_json

MAX_DEBUG_BYTES = 256
_PLAIN_DIGITS = 21  # before the decimal point; larger numbers are written with an exponent


def debug_string(value: Any) -> str:
    """Return a value as RapidJSON writes it, arrays on one line, cut once `MAX_DEBUG_BYTES` are written.

    A string is written whole, without the bytes that are not UTF-8. NaN and Infinity have no text, and nothing follows
    them.
    """
    writer = _DebugStringWriter()
    writer.write(value, "", "")
    return writer.text.encode("latin-1").decode("utf-8", "ignore")


class _DebugStringWriter:
    """Writer of a value, which stops at the limit.

    Each method returns whether more may follow, and writes nothing at the limit. The characters of `text` stand for
    bytes (Latin-1).
    """

    def __init__(self) -> None:
        self.text = ""

    def write(self, value: Any, before: str, margin: str) -> bool:
        """Write a value.

        Args:
          value: from a JSON document.
          before: text to write first: a separator, or nothing.
          margin: indentation of the line with the closing bracket.

        Returns:
          Whether more may follow.
        """
        if isinstance(value, dict):
            return self._put(before + "{") and self._members(value, margin)
        if isinstance(value, list):
            return self._put(before + "[") and self._elements(value, margin + INDENT)
        if isinstance(value, float) and not np.isfinite(value):
            self._put(before)
            return False
        return self._put(before + _scalar(value))

    def _members(self, members: dict[str, Any], margin: str) -> bool:
        comma, inner = "", margin + INDENT
        for name, value in members.items():
            if not (self._put(f"{comma}\n{inner}{quote_json(name)}") and self.write(value, ": ", inner)):
                return False
            comma = ","
        return self._put(f"\n{margin}}}" if members else "}")

    def _elements(self, elements: list[Any], margin: str) -> bool:
        comma = ""
        for value in elements:
            if not self.write(value, comma, margin):
                return False
            comma = ", "
        return self._put("]")

    def _put(self, text: str) -> bool:
        has_room = len(self.text) < MAX_DEBUG_BYTES
        if has_room:
            self.text += text
        return has_room


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quote_json(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return str(value)
    return _double(float(value))


def _double(value: float) -> str:
    """Return the shortest text that parses to the same double, in RapidJSON's layout."""
    sign, numbers, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, numbers))
    zeros, point = int(exponent), len(digits) + int(exponent)
    if zeros >= 0 and point <= _PLAIN_DIGITS:
        text = f"{digits}{'0' * zeros}.0"
    elif 0 < point <= _PLAIN_DIGITS:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}{digits[1:] and '.' + digits[1:]}e{point - 1}"
    return f"{'-' * sign}{text}"
