"""BMP, decoded in the graph.

TensorFlow's own op reads three layouts and takes every other file for one of them, in silence: it passes over the
compression, the channels' bit masks, the palette and the short header of OS/2. So the layouts are read here: pixels of
1, 4 and 8 bits with their palette, of 16, 24 and 32 bits with or without masks, from the bottom or from the top. What
is not read is refused: run-length encoding, and a JPEG or PNG inside of a BMP.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from data.images import pixel_limit

_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes: OS/2, Windows 3, its versions 2 and 3, OS/2 2, versions 4 and 5
_OS2, _OS2_V2 = 12, 64
_RUN_LENGTHS, _MASKS = (1, 2), (3, 6)  # compressions; what else there is, is another file inside
_MASKS_OF_16 = (0x7C00, 0x3E0, 0x1F)  # red, green, blue, where the file has none of its own
_MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF)


@pixel_limit.on_cpu
def decode(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decodes one BMP; its alpha is dropped.

    Args:
      contents: string scalar, the file's bytes.
      max_pixels: that the file may claim.

    Returns:
      uint8 [height, width, 3].

    Raises:
      tf.errors.InvalidArgumentError: truncated, too many pixels, or a kind that is not read; `errors.op_message`
        gives the reason in plain words.
    """
    # Start of the pixels; size of the second header; width; height; bits in the higher half; compression.
    head = tf.reshape(tf.io.decode_raw(contents, tf.uint8, fixed_length=34)[10:], [6, 4])
    numbers = tf.cast(tf.bitcast(head, tf.int32), tf.int64)
    start, header, width, height, planes_and_bits, compression = tf.unstack(numbers)
    bits, rows = planes_and_bits // 65536, tf.abs(height)
    end = start + (width * bits + 31) // 32 * 4 * rows
    # The layouts that TensorFlow's op reads rightly, of which most files are; but it refuses bytes behind the end.
    is_plain = tf.reduce_all(
        [
            tf.reduce_any(header == _HEADERS[1:]),
            tf.reduce_any(bits == (8, 24, 32)),
            compression == 0,
            width > 0,
            rows > 0,
            width * rows <= max_pixels,
            (start >= 14 + header) & ((bits > 8) | (start >= 18 + header)),
            end <= tf.cast(tf.strings.length(contents), tf.int64),
        ]
    )

    def plain() -> tf.Tensor:
        stored = tf.io.decode_bmp(tf.strings.substr(contents, tf.zeros_like(end), end))
        stored.set_shape([None, None, None])
        return tf.cond(
            bits == 8,
            lambda: _coloured(stored[:, :, 0], contents, 14 + header, start, 4),
            lambda: stored[:, :, :3],
        )

    return tf.cond(is_plain, plain, lambda: _other(max_pixels)(contents))


@functools.cache
def _other(max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """`_decode_other`, traced once per process: that takes longer than all the rest of the decoding."""
    return pixel_limit.apart(lambda one: _decode_other(one, max_pixels), tf.TensorSpec([], tf.string))


def _coloured(indices: tf.Tensor, contents: tf.Tensor, start: tf.Tensor, end: tf.Tensor, each: int) -> tf.Tensor:
    """Indices [h, w] to uint8 [h, w, 3], by the palette between two places, of so many bytes a colour."""
    stored = tf.strings.substr(contents, start, tf.minimum(end - start, 256 * each))
    palette = tf.io.decode_raw(stored, tf.uint8, fixed_length=256 * each)  # an index without a colour is black
    return tf.gather(tf.reshape(palette, [256, each])[:, 2::-1], tf.cast(indices, tf.int32))


@pixel_limit.on_cpu
def _decode_other(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """`decode` of any layout, slowly: every pixel passes through arithmetic."""
    # Every field begins at an even byte. Behind the end of a short file, zeros are read.
    halves = tf.bitcast(tf.reshape(tf.io.decode_raw(contents, tf.uint8, fixed_length=66), [33, 2]), tf.uint16)
    halves = tf.cast(halves, tf.int64)
    words = halves[:-1] + 65536 * halves[1:]  # at any even byte
    signed = tf.where(words < 2**31, words, words - 2**32)
    start, header = words[10 // 2], words[14 // 2]
    is_os2 = header == _OS2
    width, height, bits, compression = tf.unstack(
        tf.where(
            is_os2,
            tf.stack([halves[18 // 2], halves[20 // 2], halves[24 // 2], 0]),
            tf.stack([signed[18 // 2], signed[22 // 2], halves[28 // 2], words[30 // 2]]),
        )
    )
    rows, row_bytes = tf.abs(height), (width * bits + 31) // 32 * 4
    has_masks = tf.reduce_any(compression == _MASKS)
    of_file = tf.stack([words[at // 2] for at in (54, 58, 62)])
    default = tf.where(bits == 16, *(tf.constant(one, tf.int64) for one in (_MASKS_OF_16, _MASKS_OF_32)))
    masks = tf.where(has_masks & tf.reduce_any(of_file > 0), of_file, default)
    lowest = tf.bitwise.bitwise_and(masks, -masks)
    has_gap = tf.reduce_any(tf.bitwise.bitwise_and(masks, masks + lowest) != 0)
    is_odd = (bits < 16) | has_gap | (bits == 24) & tf.reduce_any(masks != _MASKS_OF_32)
    palette_bytes = start - 14 - header
    length = tf.cast(tf.strings.length(contents), tf.int64)
    allowed = pixel_limit.unless(
        contents,
        (length < 26, "a BMP that is cut off in its header"),
        (tf.reduce_all(header != _HEADERS), "a BMP with a header of an unknown kind"),
        (length < 14 + header, "a BMP that is cut off in its header"),
        ((width <= 0) | (rows == 0), "a BMP without pixels"),
        (width * rows > max_pixels, pixel_limit.refusal(max_pixels)),
        (tf.reduce_any(compression == _RUN_LENGTHS), "a BMP with run-length encoding, which is not read"),
        (
            (compression != 0) & (~has_masks | (header == _OS2_V2)),
            "a BMP with another file inside (JPEG, PNG), which is not read",
        ),
        (tf.reduce_all(bits != (1, 4, 8, 16, 24, 32)), "a BMP with a number of bits that is not read"),
        ((palette_bytes < 0) | ((bits <= 8) & (palette_bytes < 3)), "a BMP whose pixels begin before their place"),
        (has_masks & is_odd, "a BMP with bit masks that are not read"),
        # The last row's filling may lack.
        (length < start + row_bytes * (rows - 1) + (width * bits + 7) // 8, "a BMP that is cut off"),
    )
    # What is refused must not fail first by its odd numbers. From here on, all of them are small.
    with tf.control_dependencies([allowed]):
        numbers = tf.stack([start, header, width, rows, bits, row_bytes])
        start, header, width, rows, bits, row_bytes = tf.unstack(tf.cast(numbers, tf.int32))
    size = row_bytes * rows
    stored = tf.io.decode_raw(tf.strings.substr(allowed, start, size), tf.uint8, fixed_length=size)
    pixels = tf.reshape(stored, [rows, row_bytes])[:: tf.where(height < 0, 1, -1)]

    def by_palette() -> tf.Tensor:
        shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)  # the first pixel lies in the highest bits
        fields = tf.bitwise.right_shift(pixels[:, :, tf.newaxis], shifts)
        fields = tf.bitwise.bitwise_and(fields, tf.cast(2**bits - 1, tf.uint8))
        indices = tf.reshape(fields, [rows, -1])[:, :width]
        return tf.cond(
            is_os2,
            lambda: _coloured(indices, allowed, 14 + header, start, 3),
            lambda: _coloured(indices, allowed, 14 + header, start, 4),
        )

    def by_masks() -> tf.Tensor:
        each = bits // 8
        whole = tf.reshape(pixels[:, : width * each], [rows, width, each])
        values = tf.bitcast(tf.pad(whole, [[0, 0], [0, 0], [0, 4 - each]]), tf.uint32)
        channels = []
        for mask in tf.unstack(masks):
            field = tf.bitwise.bitwise_and(values, tf.cast(mask, tf.uint32))
            scale = tf.math.divide_no_nan(255.0, tf.cast(mask, tf.float32))
            channels.append(tf.cast(tf.round(tf.cast(field, tf.float32) * scale), tf.uint8))
        return tf.stack(channels, axis=2)

    return tf.cond(bits <= 8, by_palette, by_masks)
