"""JSON values quoted in the error texts of REST: TensorFlow Serving's JsonValueToDebugString."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from serving.server.rest.responses import INDENT, quote_json

MAX_DEBUG_BYTES = 256
_PLAIN_DIGITS = 21  # before the point; longer numbers have an exponent


def debug_string(value: Any) -> str:
    """A value as rapidjson writes it, arrays on one line; it breaks off once `MAX_DEBUG_BYTES` are written.

    A string is written whole, and text that is no UTF-8 is left out. NaN and Infinity have no text, and end it.
    """
    writer = _DebugStringWriter()
    writer.write(value, "", "")
    return writer.text.encode("latin-1").decode("utf-8", "ignore")


class _DebugStringWriter:
    """Its text's characters stand for bytes. Each method says whether more may follow, and adds nothing if not."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, value: Any, before: str, margin: str) -> bool:
        """Adds a value.

        Args:
          before: what stands between it and what was written before.
          margin: of the line that its last bracket is on.
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
    """The shortest text that gives a double back, in rapidjson's layout."""
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
