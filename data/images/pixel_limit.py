"""A limit on the pixels that a file may claim, checked in the graph before anything is decoded.

A PNG of 80 KB can hold 67 million pixels of one colour: the size of a file does not limit the memory that decoding
takes. TensorFlow's own limits are too high. It rejects a PNG from 2^29 pixels on (1.6 GB of RGB) and a JPEG from 2^29
bytes of pixels on, and it decodes every frame of an animated GIF to return the first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import tensorflow as tf

from data.errors import REFUSAL_PREFIX
from data.images.formats import JPEG_MAGIC, PNG_MAGIC

_PNG_NUMBER = int.from_bytes(PNG_MAGIC[:4], "big", signed=True)
CMYK_TO_GREY = "a CMYK JPEG, which TensorFlow does not convert to grey: save it as grey or RGB"
# The header of a JPEG of one pixel: measured in place of any other kind of file, on which the op would fail.
_ONE_PIXEL = bytes.fromhex("ffd8ffc0000b080001000101011100ffda0008010100003f00")

Op = TypeVar("Op", bound=Callable[..., Any])


def on_cpu(op: Op) -> Op:
    """Pin ops to the CPU, where the bytes are: on a GPU, each would wait for a copy there and back."""

    @functools.wraps(op)
    def pinned(*args: Any, **kwargs: Any) -> Any:
        with tf.device("CPU:0"):
            return op(*args, **kwargs)

    return cast(Op, pinned)


def not_inlined(function: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function that the graph calls instead of inlining it, and that is traced at its first call.

    Inlined, each op of a branch costs time even if the branch is not taken.
    """
    attributes = {"_noinline": True}
    called: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        function, [spec], autograph=False, experimental_attributes=attributes
    )
    return called


@on_cpu
def check_pngs(contents: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Check what can be checked of many files at once at almost no cost: the size of PNGs.

    Args:
      contents: string [...].
      limit: largest number of pixels of one picture.

    Returns:
      The contents, and for each file the JPEG header that `check_jpegs` needs.

    Raises:
      tf.errors.InvalidArgumentError: If a PNG claims more pixels.
    """
    is_jpeg = tf.strings.substr(contents, 0, 3) == JPEG_MAGIC
    allowed = limit_pixels(contents, png_pixels(contents), limit)
    return allowed, tf.where(is_jpeg, allowed, _ONE_PIXEL)


@on_cpu
def check_jpegs(contents: tf.Tensor, headers: tf.Tensor, limit: int, channels: int) -> tf.Tensor:
    """Return the contents (string [] or [N], N known) after a check of their JPEG headers.

    Args:
      contents: the files.
      headers: of the same shape, from `check_pngs`.
      limit: largest number of pixels of one picture.
      channels: number of channels to decode to; 0 keeps the file's.

    Raises:
      tf.errors.InvalidArgumentError: If a header is broken, claims more pixels, or is of a CMYK JPEG that should
        become grey: libjpeg cannot convert it.
    """
    height, width, depth = tf.unstack(jpeg_shapes(headers), axis=-1)
    refusals = [(height * width > limit, refusal(limit))]
    if channels == 1:
        refusals.append((depth == 4, CMYK_TO_GREY))
    return fail_if(contents, *refusals)


@on_cpu
def limit_pixels(contents: tf.Tensor, pixels: tf.Tensor, limit: int) -> tf.Tensor:
    """Return the contents after a check that all of the pixels (int64 [...]) are at most the limit.

    Raises:
      tf.errors.InvalidArgumentError: If they are not; the first line ends with the text of `refusal`.
    """
    return fail_if(contents, (pixels > limit, refusal(limit)))


@on_cpu
def fail_if(contents: tf.Tensor, *refusals: tuple[tf.Tensor, str]) -> tf.Tensor:
    """Return the contents, or fail with the first reason that holds.

    Args:
      contents: string [] or [N].
      refusals: pairs of a condition (bool [...]: one that holds is enough) and the reason, a text for users.

    Raises:
      tf.errors.InvalidArgumentError: If a condition holds; the first line ends with its reason, which
        `data.errors.op_message` extracts.
    """
    # No Assert and no check_numerics: if an op has a side effect, TFT reads all data, as for an analyzer. An op without
    # one is dropped from a graph unless its result is used: here, as the index from which the contents are taken. (As
    # the shape of the contents it would be dropped, too: TensorFlow removes a reshape to the same shape.)
    number = tf.constant("0")
    for holds, words in reversed(refusals):
        number = tf.where(holds if holds.shape.rank == 0 else tf.reduce_any(holds), words, number)
    zero = tf.strings.to_number(number, tf.int32)
    return tf.ensure_shape(contents[zero:] if contents.shape.rank else contents[tf.newaxis][zero], contents.shape)


def is_refusal(message: str) -> bool:
    """Return whether an op's error was raised by `fail_if`."""
    return REFUSAL_PREFIX in message


def refusal(limit: int) -> str:
    """Return the error text for a picture above the limit."""
    return f"a picture claims more than {limit} pixels (feature.max_pixels)"


@on_cpu
def png_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Return the pixels that PNGs claim, int64 [...], for string [...]; 0 for a file of another format."""
    # Signature (8 bytes); length and name of the first chunk, IHDR (8); width; height.
    head = tf.io.decode_raw(contents, tf.int32, little_endian=False, fixed_length=24)
    pixels = tf.reduce_prod(tf.cast(head[..., 4:], tf.int64), axis=-1)
    return tf.where(head[..., 0] == _PNG_NUMBER, pixels, 0)


@on_cpu
def jpeg_shapes(headers: tf.Tensor) -> tf.Tensor:
    """Return height, width and channels that JPEGs claim, int64 [..., 3], for `headers`, string [] or [N], N known.

    Raises:
      tf.errors.InvalidArgumentError: If one is not a JPEG, or is broken before the field with its size.
    """
    if headers.shape.rank:
        return tf.stack([tf.io.extract_jpeg_shape(one, tf.int64) for one in tf.unstack(headers)])
    return tf.io.extract_jpeg_shape(headers, tf.int64)  # a side has 16 bits
