"""Names of files: text, where they are UTF-8; any bytes, where they are not.

Python holds a byte that is no UTF-8 as a lone surrogate (`os.fsdecode`): such a name opens its file, pickles, and
stands in JSON as `\\udce9`, which reads back to the same name. It cannot be printed, nor encoded as it is.
"""

from __future__ import annotations

from collections.abc import Sequence


def to_bytes(name: str) -> bytes:
    """The name's own bytes, as the file system has them."""
    return name.encode("utf-8", "surrogateescape")


def from_bytes(name: bytes) -> str:
    """The inverse of `to_bytes`."""
    return name.decode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    """The name as UTF-8 can hold it: a byte that is none becomes `\\xe9`. Other names stay as they are."""
    return to_bytes(name).decode("utf-8", "backslashreplace")


def listed(names: Sequence[str], most: int) -> str:
    """The names with commas between; beyond `most`, how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
