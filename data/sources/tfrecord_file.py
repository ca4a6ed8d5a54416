"""TFRecord files: where the records are, and their bytes, checked against the checksums.

A record is its length (uint64, little-endian), the length's checksum (4 bytes), the data, the data's checksum (4). A
checksum is CRC32C, rotated and shifted (`tensorflow/core/lib/hash/crc32c.h`, `Mask`). TensorFlow's reader checks them,
too, but names no place, and gives up a file at its first fault.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from data.errors import DataError
from data.files.open_file import opened
from data.names import printable

_HEAD, _TAIL = 12, 4
_PIECE = 1 << 20
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class Damaged(str):
    """Why a record has no data; in the place of its bytes."""


def offsets(path: str) -> list[int] | None:
    """The offset of each record of a plain file; None for a compressed one. Reads the lengths alone.

    Raises:
      DataError: it is not a TFRecord file, is cut off, or a length does not fit its checksum, so that what follows
        cannot be found.
    """
    found, position = [], 0
    with opened(path) as file:
        size = file.seek(0, 2)
        while position < size:
            file.seek(position)
            head = file.read(_HEAD)
            if len(head) == _HEAD and _masked(head[:8]) == head[8:]:
                (length,) = struct.unpack("<Q", head[:8])
            elif not position and _is_compressed(head):
                return None
            elif position and len(head) == _HEAD:
                raise DataError(
                    f"{printable(path)} is damaged at byte {position}: a record's length does not fit its checksum",
                    hint="Fetch or write the file again.",
                )
            else:
                raise _no_file(path, position)
            if position + _HEAD + length + _TAIL > size:
                raise _no_file(path, position)
            found.append(position)
            position += _HEAD + length + _TAIL
    return found


def _no_file(path: str, position: int) -> DataError:
    return DataError(
        f"{printable(path)} is not a TFRecord file, or is cut off at byte {position}",
        hint="Fetch or write the file again.",
    )


def read_at(path: str, wanted: list[int]) -> list[bytes | Damaged]:
    """The records at the offsets, in their order.

    Raises:
      DataError: the file has changed since the offsets were read.
    """
    with opened(path) as file:
        found: list[bytes | Damaged] = []
        for offset in wanted:
            file.seek(offset)
            record = _next(file, path, offset)
            if record is None:
                raise DataError(f"{printable(path)} changed while it was read", hint="Run again when it is whole.")
            found.append(record)
        return found


def records(path: str) -> Iterator[bytes | Damaged]:
    """The records of a file compressed with gzip or zlib, in order.

    Raises:
      DataError: it is cut off, or its content is no TFRecord file.
    """
    with opened(path) as file:
        unpacked = _Unpacked(file)
        number = 0
        try:
            while (record := _next(unpacked, path, number)) is not None:
                yield record
                number += 1
        except (zlib.error, EOFError) as error:
            raise DataError(
                f"{printable(path)} is cut off or damaged in its compression, after record {number}: {error}",
                hint="Fetch or write the file again.",
            ) from None


def _next(file: BinaryIO | _Unpacked, path: str, where: int) -> bytes | Damaged | None:
    """The record where the file stands; None at its end."""
    head = file.read(_HEAD)
    if not head:
        return None
    if len(head) < _HEAD or _masked(head[:8]) != head[8:]:
        raise DataError(
            f"{printable(path)} is not a TFRecord file, or is damaged at {where}: a length does not fit its checksum",
            hint="Fetch or write the file again.",
        )
    (length,) = struct.unpack("<Q", head[:8])
    data, checksum = file.read(length), file.read(_TAIL)
    if len(checksum) < _TAIL:
        raise DataError(f"{printable(path)} is cut off at {where}", hint="Fetch or write the file again.")
    return data if _masked(data) == checksum else Damaged("the data do not fit their checksum (CRC32C)")


def _masked(data: bytes) -> bytes:
    """The checksum of the data as it stands in a file."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _is_compressed(head: bytes) -> bool:
    return head[:2] == b"\x1f\x8b" or head[:2] in _ZLIB


class _Unpacked:
    """What a gzip or zlib stream holds, read in pieces; several gzip members follow one another as one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._inflate = file, zlib.decompressobj(wbits=47)  # 47: either kind, told by its first bytes
        self._ready = b""

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end.

        Raises:
          EOFError: the stream ends within a member.
          zlib.error: it is damaged.
        """
        parts, left = [], size
        while left:
            if not self._ready:
                self._ready = self._piece()
                if not self._ready:
                    break
            parts.append(self._ready[:left])
            self._ready = self._ready[left:]
            left -= len(parts[-1])
        return b"".join(parts)

    def _piece(self) -> bytes:
        while True:
            packed = self._inflate.unconsumed_tail
            if self._inflate.eof:
                packed = self._inflate.unused_data or self._file.read(_PIECE)
                if not packed.strip(b"\0"):  # some tools pad with zeros
                    return b""
                self._inflate = zlib.decompressobj(wbits=47)
            packed = packed or self._file.read(_PIECE)
            if not packed:
                raise EOFError("it ends too early")
            data = self._inflate.decompress(packed, _PIECE)
            if data:
                return data
