"""Collections that grow on disk: of a million items, only a few thousand are in memory."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Generic, TypeVar, cast, overload

T = TypeVar("T")
_CHUNK = 4096  # items of a `Spool` in memory, and written together
_PARTS = 1024
_BUFFERED = 1 << 16  # items of `HashParts` in memory


def own_file(owner: object) -> BinaryIO:
    """Return a temporary file without a name, which is closed when its owner is gone."""
    file = cast(BinaryIO, tempfile.TemporaryFile(prefix="skewless-"))  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file


class Spool(Sequence[T]):
    """A sequence of items that can be pickled; the file behind it has no name and ends with the object."""

    def __init__(self) -> None:
        self._last: list[T] = []
        self._starts = array("q")  # of each chunk in the file
        self._file: Any = None
        self._read: tuple[int, list[T]] = (-1, [])  # the chunk that was read last

    def append(self, item: T) -> None:
        """Add an item."""
        self._last.append(item)
        if len(self._last) == _CHUNK:
            self._file = self._file or own_file(self)
            self._starts.append(self._file.seek(0, 2))
            pickle.dump(self._last, self._file, pickle.HIGHEST_PROTOCOL)
            self._last = []

    def __len__(self) -> int:
        return len(self._starts) * _CHUNK + len(self._last)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._starts)):
            yield from self._chunk(number)
        yield from self._last

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return an item, or a list of them."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        number, place = divmod(at, _CHUNK)
        if number == len(self._starts):
            return self._last[place]
        if self._read[0] != number:
            self._read = (number, self._chunk(number))
        return self._read[1][place]

    def _chunk(self, number: int) -> list[T]:
        self._file.seek(self._starts[number])
        found: list[T] = pickle.load(self._file)
        return found

    def __reduce__(self) -> tuple[Any, tuple[list[T]]]:
        return _spooled, (list(self),)


def _spooled(items: list[T]) -> Spool[T]:
    found = Spool[T]()
    for item in items:
        found.append(item)
    return found


class HashParts(Generic[T]):
    """Items with a number of 64 bits each, in 1,024 parts by its upper bits, on disk if they are many.

    The numbers are hashes, so that the parts are of like size: each is small enough to be read at once.
    """

    def __init__(self) -> None:
        self._parts: list[list[tuple[int, T]]] = [[] for _ in range(_PARTS)]
        self._starts = [array("q") for _ in range(_PARTS)]  # of what is in the file of each part
        self._count = 0
        self._file: Any = None

    def add(self, number: int, item: T) -> None:
        """Add an item with its number."""
        self._parts[number * _PARTS >> 64].append((number, item))
        self._count += 1
        if self._count % _BUFFERED == 0:
            self._flush()

    def _flush(self) -> None:
        self._file = self._file or own_file(self)
        position = self._file.seek(0, 2)
        for part, starts in zip(self._parts, self._starts, strict=True):
            if part:
                starts.append(position)
                position += self._file.write(pickle.dumps(part, pickle.HIGHEST_PROTOCOL))
                part.clear()

    def read(self) -> Iterator[list[tuple[int, T]]]:
        """Yield the numbers and items of one part after the other, in the order in which they were added."""
        for rest, starts in zip(self._parts, self._starts, strict=True):
            found: list[tuple[int, T]] = []
            for start in starts:
                self._file.seek(start)
                found += pickle.load(self._file)
            yield found + rest
