"""Find keys that occur several times among any number of keys, in bounded memory.

64 bits of each key's hash go to one of many files in a temporary folder; each file is then sorted by itself. Two keys
with one hash are taken for a repeat: who reads the rows compares the keys themselves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

_PARTS = 128  # files; a file of 100 million entries has 25 MB
_BUFFERED = 1 << 14  # entries
ENTRY = np.dtype([("key", "<u8"), ("place", "<i8"), ("number", "<i8"), ("code", "<i8")])


def hash_key(key: bytes) -> int:
    """Return 64 bits of the hash of a key, unsigned."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


class Entries:
    """Entries with a key each, on disk; to be used in a `with` block."""

    def __enter__(self) -> Entries:
        self._folder = tempfile.mkdtemp(prefix="skewless-")
        self._buffer = array("Q")
        self._codes: set[int] = set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, key: bytes, place: int, number: int, code: int) -> None:
        """Add an entry.

        Args:
          key: any bytes.
          place: of the row, kept for the result.
          number: of the row, kept for the result.
          code: what the entry is, at least 0.
        """
        self._buffer.extend((hash_key(key), place, number, code))
        if len(self._buffer) >= 4 * _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        found = np.frombuffer(self._buffer, ENTRY)
        parts = (found["key"] % np.uint64(_PARTS)).astype(np.int64)
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(_PARTS + 1))
        for part, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            if first < last:
                with open(os.path.join(self._folder, str(part)), "ab") as file:
                    file.write(found[order[first:last]].tobytes())
        del found  # an array cannot change its size while numpy uses it
        self._buffer = array("Q")

    def groups(self) -> Iterator[tuple[NDArray[np.void], NDArray[np.int64]]]:
        """Yield all entries of one file after the other, sorted by key, code and place, with the group of each.

        Entries of a group have the same key; the groups of a file are numbered from 0.
        """
        if self._buffer:
            self._flush()
        for name in sorted(os.listdir(self._folder)):
            entries = np.fromfile(os.path.join(self._folder, name), ENTRY)
            entries = entries[np.lexsort((entries["place"], entries["code"], entries["key"]))]
            group = np.cumsum(np.concatenate([[0], entries["key"][1:] != entries["key"][:-1]])).astype(np.int64)
            yield entries, group
