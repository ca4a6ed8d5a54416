"""Read the lines of a file from any byte on, and count bytes and lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from data.errors import DataError
from data.names import printable

LONGEST = 1 << 20  # bytes of a line; a file without line feeds is a single line
_NOT_TEXT = {
    b"\xff\xfe": ("is UTF-16, not UTF-8", "Save it as UTF-8."),
    b"\xfe\xff": ("is UTF-16, not UTF-8", "Save it as UTF-8."),
    b"\x1f\x8b": ("is compressed with gzip", "Unpack it: gunzip FILE."),
    b"PK": ("is a ZIP archive or an Excel file, not text", "Save it as CSV in UTF-8, or unpack it."),
}


class Lines:
    """The lines of a file.

    Attributes:
      position: offset in bytes behind the last line read.
      number: number of the next line.
      ended: whether a line was asked for behind the last one.

    Args:
      file: open for reading.
      name: of the file, for messages.
      position: offset of the first line to read.
      number: its number.
    """

    def __init__(self, file: BinaryIO, name: str, position: int = 0, number: int = 1) -> None:
        self._file, self._name = file, name
        self.position, self.number, self.ended = position, number, False
        file.seek(position)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next line, with its line feed.

        Raises:
          DataError: If it is longer than `LONGEST`.
        """
        line = self._file.readline(LONGEST)
        if not line:
            self.ended = True
            raise StopIteration
        if len(line) == LONGEST:
            raise DataError(
                f"{self._name}:{self.number}: a line is longer than {LONGEST:,} bytes",
                hint="Is it a table? Save it with line feeds (\\n).",
            )
        self.position += len(line)
        self.number += 1
        return line

    def texts(self) -> Iterator[str]:
        """Yield the lines as text without byte-order marks; a byte that is not UTF-8 becomes a surrogate."""
        for line in self:
            text = line.decode("utf-8", "surrogateescape")
            if text.startswith("\ufeff"):  # on a later line, too: that of a file that was appended to another
                text = text[1:]
            yield text.replace("\0", "\ufffd") if "\0" in text else text


def check_text(head: bytes, name: str) -> None:
    """Check that the first bytes of a file are those of a text.

    Raises:
      DataError: If they are those of an archive, or of UTF-16.
    """
    for magic, (problem, hint) in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{printable(name)} {problem}", hint=hint)
