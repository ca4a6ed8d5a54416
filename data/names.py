r"""Names of files: text if they are UTF-8, otherwise any bytes.

Python represents a byte that is not UTF-8 as a lone surrogate (`os.fsdecode`). Such a name opens its file, can be
pickled, and is written to JSON as `\udce9`, which is read as the same name. It cannot be printed or encoded as UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence


def to_bytes(name: str) -> bytes:
    """Return the bytes of a name in the file system."""
    return name.encode("utf-8", "surrogateescape")


def from_bytes(name: bytes) -> str:
    """Return the name with these bytes: the inverse of `to_bytes`."""
    return name.decode("utf-8", "surrogateescape")


def to_utf8(name: str) -> str:
    r"""Return the name as text that UTF-8 can encode: a byte that is not UTF-8 becomes `\xe9`."""
    return to_bytes(name).decode("utf-8", "backslashreplace")


def printable(name: str) -> str:
    """Return the name for a message, on one line: bytes that are not UTF-8 and control characters are escaped."""
    return name if name.isprintable() else "".join(one if one.isprintable() else _escape(one) for one in name)


def list_names(names: Sequence[str], most: int) -> str:
    """Return the names, separated by commas; after the first `most`, the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _escape(one: str) -> str:
    byte = ord(one) - 0xDC00  # of the surrogate that stands for a byte
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else one.encode("unicode_escape").decode()
