"""A limit on the pixels that a file may claim, checked in the graph before anything is decoded.

A PNG of 80 KB can hold 67 million pixels of one colour: a file's size says nothing about the memory that it takes.
TensorFlow's own limits come late. It refuses a PNG from 2^29 pixels on (1.6 GB of RGB) and a JPEG from 2^29 bytes of
pixels on, and of an animated GIF it decodes every frame to give the first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import tensorflow as tf

_PNG_MAGIC = -0x76AFB1B9  # the first four of its eight bytes, 89 50 4E 47, as a signed big-endian number
JPEG_MAGIC = b"\xff\xd8\xff"
CMYK_TO_GREY = "a CMYK JPEG, which TensorFlow does not turn into grey: save it as grey or RGB"
# A JPEG of one pixel, header only: what is no JPEG is measured as this one, since the op fails on other kinds.
_ONE_PIXEL = bytes.fromhex("ffd8ffc0000b080001000101011100ffda0008010100003f00")
_OURS = "StringToNumberOp could not correctly convert string: "
_LONGEST_HOP, _HOPS = 256, 16  # bytes from sub-block to sub-block of a GIF; how many in a step of the graph's loop

Op = TypeVar("Op", bound=Callable[..., Any])


def on_cpu(op: Op) -> Op:
    """Keeps ops where the bytes are: on a GPU, each would wait for a copy there and back."""

    @functools.wraps(op)
    def pinned(*args: Any, **kwargs: Any) -> Any:
        with tf.device("CPU:0"):
            return op(*args, **kwargs)

    return cast(Op, pinned)


def apart(function: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that is called where it stands, and not laid out there, where each op of a branch costs time even if
    the branch is not taken; it is made ready only when it is first called."""
    return tf.function(function, [spec], autograph=False, experimental_attributes={"_noinline": True})


@on_cpu
def checked(contents: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What can be checked of many files at once, which costs next to nothing: PNGs.

    Args:
      contents: string [...].
      limit: pixels of one picture.

    Returns:
      The contents as they are, and of each a JPEG's header for `checked_jpegs`.

    Raises:
      tf.errors.InvalidArgumentError: a PNG claims more pixels.
    """
    is_jpeg = tf.strings.substr(contents, 0, 3) == JPEG_MAGIC
    allowed = within(contents, png_pixels(contents), limit)
    return allowed, tf.where(is_jpeg, allowed, _ONE_PIXEL)


@on_cpu
def checked_jpegs(contents: tf.Tensor, headers: tf.Tensor, limit: int, channels: int) -> tf.Tensor:
    """The contents (string [] or [N], N known) as they are, once their headers are seen to be legal.

    Raises:
      tf.errors.InvalidArgumentError: a header is broken, claims more pixels, or is of a CMYK JPEG, of which libjpeg
        makes no single channel.
    """
    shapes = jpeg_shapes(headers)
    refusals = [(tf.reduce_max(tf.reduce_prod(shapes[..., :2], axis=-1)) > limit, refusal(limit))]
    if channels == 1:
        refusals.append((tf.reduce_any(shapes[..., 2] == 4), CMYK_TO_GREY))
    return unless(contents, *refusals)


@on_cpu
def within(contents: tf.Tensor, pixels: tf.Tensor, limit: int) -> tf.Tensor:
    """The contents as they are, once all of the pixels (int64 [...]) are known to be at most the limit.

    Raises:
      tf.errors.InvalidArgumentError: they are not; the first line ends with the words of `refusal`.
    """
    return unless(contents, (tf.reduce_max(pixels) > limit, refusal(limit)))


@on_cpu
def unless(contents: tf.Tensor, *refusals: tuple[tf.Tensor, str]) -> tf.Tensor:
    """The contents as they are, unless there is a reason to refuse them.

    Args:
      contents: string [] or [N].
      refusals: whether (bool scalar), and the reason in plain words; the first that holds is told.

    Raises:
      tf.errors.InvalidArgumentError: one holds; the first line ends with its words, which
        `data.errors.op_message` picks out.
    """
    # No Assert and no check_numerics: TFT reads all data, as for an analyzer, where an op has a side effect. What has
    # none is dropped from a graph unless something is computed from it: the place from which the contents are taken.
    number = tf.constant("0")
    for holds, words in reversed(refusals):
        number = tf.where(holds, words, number)
    zero = tf.strings.to_number(number, tf.int32)
    return tf.ensure_shape(contents[zero:] if contents.shape.rank else contents[tf.newaxis][zero], contents.shape)


def is_ours(message: str) -> bool:
    """Whether an op's error is a refusal of `unless`."""
    return _OURS in message


def refusal(limit: int) -> str:
    """What a picture above the limit is refused with."""
    return f"a picture claims more than {limit} pixels (feature.max_pixels)"


@on_cpu
def png_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Pixels that PNGs claim, int64 [...], for string [...]; 0 for what is no PNG."""
    # Signature (8 bytes); length and name of the first chunk, IHDR (8); width; height.
    head = tf.io.decode_raw(contents, tf.int32, little_endian=False, fixed_length=24)
    pixels = tf.reduce_prod(tf.cast(head[..., 4:], tf.int64), axis=-1)
    return tf.where(head[..., 0] == _PNG_MAGIC, pixels, 0)


@on_cpu
def jpeg_shapes(headers: tf.Tensor) -> tf.Tensor:
    """Height, width and channels that JPEGs claim, int64 [..., 3], for `headers`, string [] or [N], N known.

    Raises:
      tf.errors.InvalidArgumentError: one is no JPEG, or broken before it says its size.
    """
    if headers.shape.rank:
        return tf.stack([tf.io.extract_jpeg_shape(one, tf.int64) for one in tf.unstack(headers)])
    return tf.io.extract_jpeg_shape(headers, tf.int64)  # a side has 16 bits


@on_cpu
def first_frame(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A GIF (string scalar) without what follows its first frame, and the pixels that this claims, int64 scalar.

    Later frames would be decoded only to be thrown away, in as much memory as there are frames. They leave no trace:
    where one was larger than the first, TensorFlow would fill the first up to that size with black.

    GIF89a: a header of 13 bytes and a table of colours; then extensions (0x21, a byte) and frames (0x2C, 9 bytes, a
    table, a byte), each followed by sub-blocks, which are a length and so many bytes, the last one with length 0.
    """
    padded = tf.strings.join([contents, bytes(_LONGEST_HOP)])
    data = tf.cast(tf.io.decode_raw(padded, tf.uint8), tf.int32)
    end, hop = tf.strings.length(contents), tf.where(data == 0, 0, data + 1)

    def table(flags: tf.Tensor) -> tf.Tensor:
        """Bytes of the table of colours that the flags announce."""
        return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def after_blocks(start: tf.Tensor) -> tf.Tensor:
        def several(here: tf.Tensor) -> list[tf.Tensor]:
            for _ in range(_HOPS):  # where they end, or the padding begins, a hop is 0
                here += hop[here]
            return [here]

        last = tf.while_loop(lambda here: hop[here] > 0, several, [tf.minimum(start, end)], parallel_iterations=1)[0]
        return tf.minimum(last + 1, end)

    frame = tf.while_loop(
        lambda here: data[here] == 0x21,
        lambda here: [after_blocks(here + 2)],
        [tf.minimum(13 + table(data[10]), end)],
    )[0]
    sides = [data[frame + low] + 256 * data[frame + low + 1] for low in (5, 7)]
    frame_end = after_blocks(frame + 11 + table(data[frame + 9]))
    pixels = tf.cast(sides[0], tf.int64) * tf.cast(sides[1], tf.int64)
    # The frame's place on the canvas, 4 bytes, becomes 0: TensorFlow makes the canvas as large as the frame, so that it
    # would move the frame out of it.
    start, place = tf.minimum(frame + 1, end), tf.minimum(frame + 5, frame_end)
    pieces = [
        tf.strings.substr(contents, 0, start),
        tf.strings.substr(bytes(4), 0, place - start),
        tf.strings.substr(contents, place, frame_end - place),
    ]
    return tf.strings.join([*pieces, b";"]), pixels
