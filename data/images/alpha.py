"""Blend transparent pixels on a colour in the graph, exactly as Pillow's `Image.alpha_composite` does."""

from __future__ import annotations

import tensorflow as tf

from data.images import pixel_limit

_COLOUR_TYPE = 25  # offset in a PNG
_GREY_AND_ALPHA, _RGB_AND_ALPHA = b"\4", b"\6"
_FIRST_CHUNK = 8 + 25  # after IHDR
# In a PNG's grey of 15 bits, as libpng computes it for 0.299 R + 0.587 G + 0.114 B: rounded down.
_GREY_BITS, _GREY_WEIGHTS = 15, (9797, 19234, 3737)


def blend(image: tf.Tensor, colour: tuple[int, int, int]) -> tf.Tensor:
    """Blend grey or RGB with alpha, uint8 [h, w, 2 or 4], on a colour to uint8 [h, w, 3]: before any resizing.

    A channel becomes (value * alpha + colour * (255 - alpha)) / 255, rounded to nearest.
    """
    wide = tf.cast(image, tf.uint16)
    alpha = wide[:, :, -1:]
    total = wide[:, :, :-1] * alpha + tf.constant(colour, tf.uint16) * (255 - alpha)  # at most 255 * 255
    total += 128
    eight = tf.constant(8, tf.uint16)
    return tf.cast(tf.bitwise.right_shift(total + tf.bitwise.right_shift(total, eight), eight), tf.uint8)


def to_png_grey(image: tf.Tensor) -> tf.Tensor:
    """Convert uint8 [h, w, 3] to grey, uint8 [h, w, 1], as TensorFlow does while it decodes a PNG."""
    red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=2)
    weights = _GREY_WEIGHTS
    grey = tf.bitwise.right_shift(red * weights[0] + green * weights[1] + blue * weights[2], _GREY_BITS)
    return tf.cast(grey, tf.uint8)[:, :, tf.newaxis]


@pixel_limit.on_cpu
def is_png_with_alpha(contents: tf.Tensor) -> tf.Tensor:
    """Return whether a PNG (string scalar) has an alpha channel or transparent colours (tRNS), bool scalar."""
    end = tf.strings.length(contents)

    def piece(here: tf.Tensor) -> tf.Tensor:
        return tf.strings.substr(contents, tf.minimum(here, end), 4)

    def is_other(here: tf.Tensor) -> tf.Tensor:
        name = piece(here + 4)
        return (here + 8 <= end) & (name != b"tRNS") & (name != b"IDAT")  # tRNS precedes the pixels

    def after(here: tf.Tensor) -> list[tf.Tensor]:
        size = tf.io.decode_raw(piece(here), tf.int32, little_endian=False, fixed_length=4)[0]
        beyond = (size < 0) | (size > end - here)
        return [tf.where(beyond, end, here + 12 + size)]  # length, name, checksum

    kind = tf.strings.substr(contents, tf.minimum(_COLOUR_TYPE, end), 1)
    has_channel = (kind == _GREY_AND_ALPHA) | (kind == _RGB_AND_ALPHA)
    start = tf.where(has_channel, end, _FIRST_CHUNK)
    (found,) = tf.while_loop(is_other, after, [start], parallel_iterations=1)
    return has_channel | (piece(found + 4) == b"tRNS")
