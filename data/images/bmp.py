"""BMP, decoded in the graph.

TensorFlow's own op reads three layouts and reads every other file as one of them, without an error: it ignores the
compression, the channels' bit masks, the palette and the short header of OS/2. So the layouts are read here: pixels of
1, 4 and 8 bits with their palette, of 16, 24 and 32 bits with or without masks, bottom-up or top-down. Files with
run-length encoding, or with a JPEG or PNG inside, are rejected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from data.images import pixel_limit

_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes: OS/2, Windows 3, its versions 2 and 3, OS/2 2, versions 4 and 5
_OS2, _OS2_V2 = 12, 64
_RUN_LENGTHS, _MASKS = (1, 2), (3, 6)  # compressions; any other one means another file inside
_WITH_ALPHA_MASK, _ALPHA_MASK = 56, 66  # size of the first header with such a field; the field's offset
_MASKS_OF_16 = (0x7C00, 0x3E0, 0x1F)  # red, green, blue; the defaults
_MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF)


@pixel_limit.on_cpu
def decode(contents: tf.Tensor, max_pixels: int, keep_alpha: bool = False) -> tf.Tensor:
    """Decode one BMP.

    Args:
      contents: string scalar, the file's bytes.
      max_pixels: largest number of pixels that the file may claim.
      keep_alpha: whether to return alpha, if a bit mask of the file says where it is (as for Pillow, the fourth byte of
        32 bits without masks is not alpha). If not, it is dropped.

    Returns:
      uint8 [height, width, 3]; with alpha, 4.

    Raises:
      tf.errors.InvalidArgumentError: If the file is truncated, claims too many pixels, or has an unsupported layout;
        `data.errors.op_message` extracts the reason.
    """
    # Start of the pixels; size of the second header; width; height; bits in the higher half; compression.
    head = tf.reshape(tf.io.decode_raw(contents, tf.uint8, fixed_length=34)[10:], [6, 4])
    numbers = tf.cast(tf.bitcast(head, tf.int32), tf.int64)
    start, header, width, height, planes_and_bits, compression = tf.unstack(numbers)
    bits, rows = planes_and_bits // 65536, tf.abs(height)
    end = start + (width * bits + 31) // 32 * 4 * rows
    # The layouts that TensorFlow's op reads correctly: those of most files. It rejects bytes after the end, though.
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
            lambda: _look_up_colours(stored[:, :, 0], contents, 14 + header, start, 4),
            lambda: stored[:, :, :3],
        )

    return tf.cond(is_plain, plain, lambda: _other(max_pixels, keep_alpha)(contents))


@functools.cache
def _other(max_pixels: int, keep_alpha: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `_decode_other`, traced once per process: tracing takes longer than all other decoding."""
    return pixel_limit.not_inlined(lambda one: _decode_other(one, max_pixels, keep_alpha), tf.TensorSpec([], tf.string))


def _look_up_colours(indices: tf.Tensor, contents: tf.Tensor, start: tf.Tensor, end: tf.Tensor, size: int) -> tf.Tensor:
    """Convert indices [h, w] to uint8 [h, w, 3], by the palette between two offsets, `size` bytes a colour."""
    stored = tf.strings.substr(contents, start, tf.minimum(end - start, 256 * size))
    palette = tf.io.decode_raw(stored, tf.uint8, fixed_length=256 * size)  # an index without a colour is black
    return tf.gather(tf.reshape(palette, [256, size])[:, 2::-1], tf.cast(indices, tf.int32))


class _Layout(NamedTuple):
    """The fields of a BMP's headers: int64 scalars, but `masks` is int64 [3].

    Attributes:
      start: offset of the pixels, bytes.
      header: size of the second header, bytes; its version.
      width, height: pixels; with a negative height the first row is the top one.
      bits: of a pixel.
      compression: code of the compression.
      masks: of red, green and blue: the file's or the default ones.
    """

    start: tf.Tensor
    header: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    bits: tf.Tensor
    compression: tf.Tensor
    masks: tf.Tensor

    @property
    def has_masks(self) -> tf.Tensor:
        """Whether the pixels are split by bit masks, bool scalar."""
        return tf.reduce_any(self.compression == _MASKS)

    @property
    def rows(self) -> tf.Tensor:
        """Number of rows, int64 scalar."""
        return tf.abs(self.height)

    @property
    def row_bytes(self) -> tf.Tensor:
        """Size of a row with its padding to whole words, int64 scalar."""
        return (self.width * self.bits + 31) // 32 * 4


@pixel_limit.on_cpu
def _decode_other(contents: tf.Tensor, max_pixels: int, keep_alpha: bool) -> tf.Tensor:
    """Decode any layout, slowly: every pixel goes through arithmetic; see `decode`."""
    layout = _read_layout(contents)
    allowed = _check_layout(contents, layout, max_pixels)
    # A rejected file must not fail earlier through its odd numbers. From here on, all numbers are small.
    with tf.control_dependencies([allowed]):
        numbers = tf.stack([layout.start, layout.header, layout.width, layout.rows, layout.bits, layout.row_bytes])
        start, header, width, rows, bits, row_bytes = tf.unstack(tf.cast(numbers, tf.int32))
    size = row_bytes * rows
    stored = tf.io.decode_raw(tf.strings.substr(allowed, start, size), tf.uint8, fixed_length=size)
    pixels = tf.reshape(stored, [rows, row_bytes])[:: tf.where(layout.height < 0, 1, -1)]

    def by_palette() -> tf.Tensor:
        indices = _split_bytes(pixels, bits)[:, :width]
        return tf.cond(
            layout.header == _OS2,
            lambda: _look_up_colours(indices, allowed, 14 + header, start, 3),
            lambda: _look_up_colours(indices, allowed, 14 + header, start, 4),
        )

    def by_masks() -> tf.Tensor:
        masks = layout.masks
        if not keep_alpha:
            return _apply_masks(pixels, width, bits // 8, masks)
        mask = _alpha_mask(allowed, layout)
        image = _apply_masks(pixels, width, bits // 8, tf.concat([masks, [mask]], axis=0))
        return tf.where((tf.range(4) == 3) & (mask == 0), tf.constant(255, tf.uint8), image)  # opaque without a mask

    return tf.cond(bits <= 8, by_palette, by_masks)


def _alpha_mask(contents: tf.Tensor, layout: _Layout) -> tf.Tensor:
    """Return the bit mask of alpha, int64 scalar; 0 if there is none."""
    stored = tf.strings.substr(contents, tf.minimum(_ALPHA_MASK, tf.strings.length(contents)), 4)
    mask = tf.io.decode_raw(stored, tf.int32, fixed_length=4)[0]
    has_field = layout.has_masks & ((layout.header >= _WITH_ALPHA_MASK) | (layout.compression == _MASKS[1]))
    return tf.where(has_field, tf.cast(tf.bitcast(mask, tf.uint32), tf.int64), 0)


def _read_layout(contents: tf.Tensor) -> _Layout:
    """Read the headers of a BMP; after the end of a short file, zeros are read."""
    # Every field begins at an even offset.
    halves = tf.bitcast(tf.reshape(tf.io.decode_raw(contents, tf.uint8, fixed_length=66), [33, 2]), tf.uint16)
    halves = tf.cast(halves, tf.int64)
    words = halves[:-1] + 65536 * halves[1:]  # at any even offset
    signed = tf.where(words < 2**31, words, words - 2**32)
    start, header = words[10 // 2], words[14 // 2]
    width, height, bits, compression = tf.unstack(
        tf.where(
            header == _OS2,
            tf.stack([halves[18 // 2], halves[20 // 2], halves[24 // 2], 0]),
            tf.stack([signed[18 // 2], signed[22 // 2], halves[28 // 2], words[30 // 2]]),
        )
    )
    of_file = tf.stack([words[at // 2] for at in (54, 58, 62)])
    default = tf.where(bits == 16, *(tf.constant(one, tf.int64) for one in (_MASKS_OF_16, _MASKS_OF_32)))
    has_own = tf.reduce_any(compression == _MASKS) & tf.reduce_any(of_file > 0)
    return _Layout(start, header, width, height, bits, compression, tf.where(has_own, of_file, default))


def _check_layout(contents: tf.Tensor, layout: _Layout, max_pixels: int) -> tf.Tensor:
    """Return the contents, or fail with the reason why they cannot be decoded."""
    header, width, rows, bits = layout.header, layout.width, layout.rows, layout.bits
    lowest = tf.bitwise.bitwise_and(layout.masks, -layout.masks)
    has_gap = tf.reduce_any(tf.bitwise.bitwise_and(layout.masks, layout.masks + lowest) != 0)
    is_odd = (bits < 16) | has_gap | (bits == 24) & tf.reduce_any(layout.masks != _MASKS_OF_32)
    palette_bytes = layout.start - 14 - header
    length = tf.cast(tf.strings.length(contents), tf.int64)
    return pixel_limit.fail_if(
        contents,
        (length < 26, "a BMP that is cut off in its header"),
        (tf.reduce_all(header != _HEADERS), "a BMP with a header of an unknown kind"),
        (length < 14 + header, "a BMP that is cut off in its header"),
        ((width <= 0) | (rows == 0), "a BMP without pixels"),
        (width * rows > max_pixels, pixel_limit.refusal(max_pixels)),
        (
            tf.reduce_any(layout.compression == _RUN_LENGTHS),
            "a BMP with run-length encoding, which is not supported",
        ),
        (
            (layout.compression != 0) & (~layout.has_masks | (header == _OS2_V2)),
            "a BMP with another file inside (JPEG, PNG), which is not supported",
        ),
        (tf.reduce_all(bits != (1, 4, 8, 16, 24, 32)), "a BMP with an unsupported number of bits"),
        ((palette_bytes < 0) | ((bits <= 8) & (palette_bytes < 3)), "a BMP whose pixels begin inside its header"),
        (layout.has_masks & is_odd, "a BMP with unsupported bit masks"),
        # The padding of the last row may be missing.
        (length < layout.start + layout.row_bytes * (rows - 1) + (width * bits + 7) // 8, "a BMP that is cut off"),
    )


def _split_bytes(pixels: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Split each byte into indices of 1, 4 or 8 bits: uint8 [rows, bytes] to uint8 [rows, bytes * 8 / bits]."""
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)  # the first pixel is in the highest bits
    fields = tf.bitwise.right_shift(pixels[:, :, tf.newaxis], shifts)
    fields = tf.bitwise.bitwise_and(fields, tf.cast(2**bits - 1, tf.uint8))
    return tf.reshape(fields, [tf.shape(pixels)[0], -1])


def _apply_masks(pixels: tf.Tensor, width: tf.Tensor, each: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Extract the channels (int64 [c]) of pixels of `each` bytes: uint8 [rows, bytes] to uint8 [rows, width, c]."""
    whole = tf.reshape(pixels[:, : width * each], [tf.shape(pixels)[0], width, each])
    values = tf.bitcast(tf.pad(whole, [[0, 0], [0, 0], [0, 4 - each]]), tf.uint32)
    channels = []
    for mask in tf.unstack(masks):
        field = tf.bitwise.bitwise_and(values, tf.cast(mask, tf.uint32))
        scale = tf.math.divide_no_nan(255.0, tf.cast(mask, tf.float32))
        channels.append(tf.cast(tf.round(tf.cast(field, tf.float32) * scale), tf.uint8))
    return tf.stack(channels, axis=2)
