"""PNG files with uncompressed, unfiltered pixels: a batch of them is read by slicing instead of decoding.

They are valid PNGs for every viewer and decoder: zlib's stored block (RFC 1951, 3.2.4) and PNG's filter 0.
TensorFlow's own encoder filters the rows even if it does not compress, and libpng takes 16 microseconds to undo
that for a Fashion-MNIST picture; slicing takes less than one.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.images.formats import PNG_MAGIC

LARGEST = 64 * 64 * 3  # bytes of pixels: of larger pictures decoding is a small part, and compression saves more
_COLOUR_TYPES = {1: 0, 3: 2}
_TAIL = 4 + 4 + 12  # Adler-32, CRC-32 of the data, the end


def encode(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Return PNG files of the pixels.

    Args:
      pixels: uint8 [N, h, w, c], of a size that `fits`.
    """
    count, height, width, channels = pixels.shape
    head = _head(height, width, channels)
    rows = np.zeros((count, height, 1 + width * channels), np.uint8)  # each row begins with its filter: 0, none
    rows[:, :, 1:] = pixels.reshape(count, height, -1)
    files = []
    for one in rows:
        body = one.tobytes()
        data = head[-_BLOCK:] + body + struct.pack(">I", zlib.adler32(body))
        files.append(head[:-_BLOCK] + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(b"IDAT"))) + _END)
    return files


def fits(height: int, width: int, channels: int) -> bool:
    """Return whether pictures of this size are stored like this: grey or RGB thumbnails."""
    return channels in _COLOUR_TYPES and height * width * channels <= LARGEST


def are_stored(contents: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Return whether all files (string [N]) are of this form and size, bool []."""
    head = _head(height, width, channels)
    length = len(head) + height * (1 + width * channels) + _TAIL
    return tf.reduce_all(
        (tf.strings.length(contents) == length) & (tf.strings.substr(contents, 0, len(head)) == head)
    ) & tf.reduce_all(_rows(contents, height, width, channels)[:, :, 0] == 0)


def decode(contents: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Return the pixels of files (string [N]) that `are_stored`, uint8 [N, height, width, channels].

    The checksums are not verified.
    """
    pixels = _rows(contents, height, width, channels)[:, :, 1:]
    return tf.reshape(pixels, [-1, height, width, channels])


def _rows(contents: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Return the filtered rows, uint8 [N, height, 1 + width * channels]; zeros after the end of a short file."""
    size = height * (1 + width * channels)
    start = len(_head(height, width, channels))
    padded = tf.io.decode_raw(contents, tf.uint8, fixed_length=start + size)
    return tf.reshape(padded[:, start:], [-1, height, 1 + width * channels])


def _head(height: int, width: int, channels: int) -> bytes:
    """Return the bytes before the rows, which are the same for all pictures of a size."""
    size = height * (1 + width * channels)
    block = struct.pack("<BBBHH", 0x78, 0x01, 1, size, size ^ 0xFFFF)
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return (
        PNG_MAGIC
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", len(block) + size + 4)
        + b"IDAT"
        + block
    )


_BLOCK = 7  # bytes of zlib's header and the stored block's
_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
