"""Find and read the records of TFRecord files, and verify their checksums.

A record is its length (uint64, little-endian), the length's checksum (4 bytes), the data, and the data's checksum (4
bytes). A checksum is a CRC32C, rotated and shifted (`tensorflow/core/lib/hash/crc32c.h`, `Mask`). TensorFlow's own
reader verifies the checksums, too, but it does not report the place of a fault, and stops at the first one in a file.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from data.errors import DataError
from data.files.open_file import opened
from data.names import printable

_HEAD, _TAIL = 12, 4
_PIECE = 1 << 20
_EITHER_FORMAT = 47  # zlib's window bits for gzip or zlib, whichever the first bytes show
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class DamagedRecord(str):
    """The reason why a record cannot be read; takes the place of its bytes."""


def record_offsets(path: str) -> array[int] | None:
    """Return the offset of each record of an uncompressed file, or None for a compressed one; read only the lengths.

    Raises:
      DataError: If the file is not a TFRecord file, is cut off, or a length does not match its checksum, so that the
        records after it cannot be found.
    """
    found, position = array("q"), 0
    with opened(path) as file:
        size = file.seek(0, 2)
        while position < size:
            file.seek(position)
            head = file.read(_HEAD)
            if len(head) == _HEAD and _masked_crc(head[:8]) == head[8:]:
                (length,) = struct.unpack("<Q", head[:8])
            elif not position and _is_compressed(head):
                return None
            elif position and len(head) == _HEAD:
                raise DataError(
                    f"{printable(path)} is damaged at byte {position}: a record's length does not match its checksum",
                    hint="Fetch or write the file again.",
                )
            else:
                raise _not_a_tfrecord(path, position)
            if position + _HEAD + length + _TAIL > size:
                raise _not_a_tfrecord(path, position)
            found.append(position)
            position += _HEAD + length + _TAIL
    return found


def _not_a_tfrecord(path: str, position: int) -> DataError:
    return DataError(
        f"{printable(path)} is not a TFRecord file, or is cut off at byte {position}",
        hint="Fetch or write the file again.",
    )


def read_records_at(path: str, wanted: list[int]) -> list[bytes | DamagedRecord]:
    """Return the records at the offsets, in this order.

    Raises:
      DataError: If the file has changed since the offsets were read.
    """
    with opened(path) as file:
        found: list[bytes | DamagedRecord] = []
        for offset in wanted:
            file.seek(offset)
            record = _read_record(file, path, offset)
            if record is None:
                raise DataError(
                    f"{printable(path)} changed while it was read", hint="Run again when the file is complete."
                )
            found.append(record)
        return found


def read_compressed(path: str) -> Iterator[bytes | DamagedRecord]:
    """Yield the records of a file compressed with gzip or zlib, in order.

    Raises:
      DataError: If the file is cut off, or its content is not a TFRecord file.
    """
    with opened(path) as file:
        unpacked = _InflatedStream(file)
        number = 0
        try:
            while (record := _read_record(unpacked, path, number)) is not None:
                yield record
                number += 1
        except (zlib.error, EOFError) as error:
            raise DataError(
                f"{printable(path)} is cut off, or its compression is damaged, after record {number}: {error}",
                hint="Fetch or write the file again.",
            ) from None


def _read_record(file: BinaryIO | _InflatedStream, path: str, where: int) -> bytes | DamagedRecord | None:
    """Read the record at the file's position; return None at the end of the file."""
    head = file.read(_HEAD)
    if not head:
        return None
    if len(head) < _HEAD or _masked_crc(head[:8]) != head[8:]:
        raise DataError(
            f"{printable(path)} is not a TFRecord file, or is damaged at {where}: a length does not match its checksum",
            hint="Fetch or write the file again.",
        )
    (length,) = struct.unpack("<Q", head[:8])
    data, checksum = file.read(length), file.read(_TAIL)
    if len(checksum) < _TAIL:
        raise DataError(f"{printable(path)} is cut off at {where}", hint="Fetch or write the file again.")
    return data if _masked_crc(data) == checksum else DamagedRecord("the data do not match their checksum (CRC32C)")


def _masked_crc(data: bytes) -> bytes:
    """Return the checksum of the data as TFRecord files store it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _is_compressed(head: bytes) -> bool:
    return head[:2] == b"\x1f\x8b" or head[:2] in _ZLIB


class _InflatedStream:
    """A file compressed with gzip or zlib, decompressed in pieces; several gzip members are read as one stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._inflate = file, zlib.decompressobj(wbits=_EITHER_FORMAT)
        self._ready = b""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the stream.

        Raises:
          EOFError: If the stream ends within a member.
          zlib.error: If the stream is damaged.
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
                self._inflate = zlib.decompressobj(wbits=_EITHER_FORMAT)
            packed = packed or self._file.read(_PIECE)
            if not packed:
                raise EOFError("the file ends too early")
            data = self._inflate.decompress(packed, _PIECE)
            if data:
                return data
