"""GIF in the graph: the first frame is cut out, and its transparent pixels get a colour, before TensorFlow decodes it.

GIF89a: a header of 13 bytes and a colour table; then extensions (0x21, a byte) and frames (0x2C, 9 bytes, a colour
table, a byte), each followed by sub-blocks: a length and as many bytes; the last has length 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from data.images import pixel_limit

_LONGEST_HOP, _HOPS = 256, 16  # bytes from sub-block to sub-block; hops in a step of the graph's loop
_CONTROL = b"\x21\xf9\x04"  # of the extension with flags (bit 0: has a transparent index), two bytes, and that index


@pixel_limit.on_cpu
def first_frame(contents: tf.Tensor, colour: tuple[int, int, int] | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a GIF (string scalar) cut after its first frame, and the pixels that this frame claims, int64 scalar.

    TensorFlow would decode the later frames only to discard them, in memory for all of them. It would also pad the
    first frame with black if a later one is larger.

    Args:
      contents: the file.
      colour: red, green and blue of the frame's transparent pixels; None leaves them to TensorFlow, which makes them
        black.
    """
    padded = tf.strings.join([contents, bytes(_LONGEST_HOP)])
    data = tf.cast(tf.io.decode_raw(padded, tf.uint8), tf.int32)
    end, hop = tf.strings.length(contents), tf.where(data == 0, 0, data + 1)

    def after_blocks(start: tf.Tensor) -> tf.Tensor:
        def several(here: tf.Tensor) -> list[tf.Tensor]:
            for _ in range(_HOPS):  # after the last block, and in the padding, a hop is 0
                here += hop[here]
            return [here]

        last = tf.while_loop(lambda here: hop[here] > 0, several, [tf.minimum(start, end)], parallel_iterations=1)[0]
        return tf.minimum(last + 1, end)

    start = tf.minimum(13 + _table_size(data[10]), end)
    frame = tf.while_loop(lambda here: data[here] == 0x21, lambda here: [after_blocks(here + 2)], [start])[0]
    sides = [data[frame + low] + 256 * data[frame + low + 1] for low in (5, 7)]
    frame_end = after_blocks(frame + 11 + _table_size(data[frame + 9]))
    pixels = tf.cast(sides[0], tf.int64) * tf.cast(sides[1], tf.int64)
    if colour is not None:
        contents = _paint(contents, _Place(data, start, frame), after_blocks, colour)
    # The frame's position on the canvas, 4 bytes, becomes 0: TensorFlow's canvas is as large as the frame, so another
    # position would move the frame out of it.
    start, place = tf.minimum(frame + 1, end), tf.minimum(frame + 5, frame_end)
    pieces = [
        tf.strings.substr(contents, 0, start),
        tf.strings.substr(bytes(4), 0, place - start),
        tf.strings.substr(contents, place, frame_end - place),
    ]
    return tf.strings.join([*pieces, b";"]), pixels


def _table_size(flags: tf.Tensor) -> tf.Tensor:
    """Return the size of a colour table in bytes, from the flags."""
    return tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


class _Place(NamedTuple):
    """A GIF's first frame.

    Attributes:
      data: the file's bytes and some zeros, int32 [N].
      start: offset of the first extension or frame, int32 scalar.
      frame: offset of the first frame, int32 scalar.
    """

    data: tf.Tensor
    start: tf.Tensor
    frame: tf.Tensor


def _paint(
    contents: tf.Tensor, place: _Place, after_blocks: Callable[[tf.Tensor], tf.Tensor], colour: tuple[int, int, int]
) -> tf.Tensor:
    """Write the colour into the colour table in place of the frame's transparent one, and make the frame opaque.

    The length of the file stays the same.
    """
    data, frame = place.data, place.frame

    def note(here: tf.Tensor, control: tf.Tensor) -> list[tf.Tensor]:
        is_control = tf.strings.substr(contents, here, len(_CONTROL)) == _CONTROL
        return [after_blocks(here + 2), tf.where(is_control, here, control)]

    none = tf.constant(-1)
    control = tf.while_loop(lambda here, _: here < frame, note, [place.start, none], parallel_iterations=1)[1]
    own = _table_size(data[frame + 9])
    table, size = tf.where(own > 0, frame + 10, 13), tf.where(own > 0, own, _table_size(data[10]))
    entry = 3 * data[control + 6]
    is_whole = (entry < size) & (table + entry + 3 <= tf.strings.length(contents))
    is_painted = (control >= 0) & (data[control + 3] % 2 == 1) & is_whole

    def painted() -> tf.Tensor:
        opaque = _replace(contents, control + 3, b"\0")
        return _replace(opaque, table + entry, bytes(colour))

    return tf.cond(is_painted, painted, lambda: contents)


def _replace(contents: tf.Tensor, at: tf.Tensor, piece: bytes) -> tf.Tensor:
    after, length = at + len(piece), tf.strings.length(contents)
    return tf.strings.join([tf.strings.substr(contents, 0, at), piece, tf.strings.substr(contents, after, length)])
