"""JPEG XL in the graph: the size is read from the header before TensorFlow's op decodes the file.

A file is a bare codestream, or boxes as in MP4, of which `jxlc`, or the first `jxlp`, holds the codestream's start.
Sizes: ISO/IEC 18181-1, SizeHeader; boxes: 18181-2.
"""

from __future__ import annotations

import tensorflow as tf

from data.images import pixel_limit
from data.images.formats import JXL_CODESTREAM as CODESTREAM

_WHOLE, _PART = b"jxlc", b"jxlp"
_DAMAGED = "a JPEG XL that is cut off or damaged"
_RATIOS = (1, 1, 12, 4, 3, 16, 5, 2), (1, 1, 10, 3, 2, 9, 4, 1)  # width / height, by the header's three bits
_SIZES = (9, 13, 18, 30)  # bits of a side, by the header's two bits


def decode(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decode one JPEG XL.

    Args:
      contents: string scalar.
      max_pixels: largest number of pixels that the header may claim.

    Returns:
      uint8 [height, width, 1 to 4].

    Raises:
      tf.errors.InvalidArgumentError: If the file is cut off or damaged, or claims more pixels.
    """
    start = tf.cond(tf.strings.substr(contents, 0, 2) == CODESTREAM, lambda: 0, lambda: _codestream(contents))
    header = tf.strings.substr(contents, tf.minimum(start, tf.strings.length(contents)), 12)
    refused = pixel_limit.fail_if(
        contents,
        (tf.strings.substr(header, 0, 2) != CODESTREAM, _DAMAGED),
        (_pixels(header) > max_pixels, pixel_limit.refusal(max_pixels)),
    )
    image = tf.io.decode_jxl(refused)
    image.set_shape([None, None, None])
    return image


def _codestream(contents: tf.Tensor) -> tf.Tensor:
    """Return the offset of the codestream in a container, int32 scalar; the file's length if there is none."""
    end = tf.strings.length(contents)

    def name(here: tf.Tensor) -> tf.Tensor:
        return tf.strings.substr(contents, tf.minimum(here + 4, end), 4)

    def is_other(here: tf.Tensor) -> tf.Tensor:
        return (here + 8 <= end) & (name(here) != _WHOLE) & (name(here) != _PART)

    def after(here: tf.Tensor) -> list[tf.Tensor]:
        field = tf.strings.substr(contents, here, 16)
        sizes = tf.io.decode_raw(field, tf.int32, little_endian=False, fixed_length=16)
        size = tf.where((sizes[0] == 1) & (sizes[2] == 0), sizes[3], sizes[0])  # 1: 64 bits follow the name
        beyond = (size < 8) | (size > end - here)  # 0: up to the end
        return [tf.where(beyond, end, here + size)]

    (box,) = tf.while_loop(is_other, after, [tf.constant(0)], parallel_iterations=1)
    is_long = tf.strings.substr(contents, tf.minimum(box, end), 4) == b"\0\0\0\1"
    return box + tf.where(is_long, 16, 8) + tf.where(name(box) == _PART, 4, 0)  # a part begins with its number


def _pixels(header: tf.Tensor) -> tf.Tensor:
    """Return the number of pixels that a codestream claims, int64 scalar."""
    octets = tf.cast(tf.io.decode_raw(header, tf.uint8, fixed_length=20), tf.int64)

    def bits(start: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
        """Read `count` bits from a bit offset, the lowest first."""
        start = tf.convert_to_tensor(start)
        some = tf.gather(octets, start // 8 + tf.range(6))
        number = tf.reduce_sum(some * tf.constant([1 << 8 * place for place in range(6)], tf.int64))
        number = tf.bitwise.right_shift(number, tf.cast(start % 8, tf.int64))
        return number % tf.bitwise.left_shift(tf.constant(1, tf.int64), tf.cast(count, tf.int64))

    def side(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Read a side and the offset of its end: two bits for the number's length, then the side minus one."""
        count = tf.gather(tf.constant(_SIZES), tf.cast(bits(start, 2), tf.int32))
        return bits(start + 2, count) + 1, start + 2 + count

    def small() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Read height, ratio and width of a small picture: sides in units of 8 pixels, five bits each."""
        return (bits(17, 5) + 1) * 8, bits(22, 3), (bits(25, 5) + 1) * 8

    def large() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        height, end = side(tf.constant(17))
        return height, bits(end, 3), side(end + 3)[0]

    height, ratio, own_width = tf.cond(bits(16, 1) == 1, small, large)
    up, down = (tf.gather(tf.constant(some, tf.int64), tf.cast(ratio, tf.int32)) for some in _RATIOS)
    width = tf.where(ratio == 0, own_width, height * up // down)
    return height * width
