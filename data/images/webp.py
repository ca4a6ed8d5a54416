"""WebP in the graph: the first frame is found, measured, and passed to TensorFlow's op as a still picture.

TensorFlow 2.21 corrupts its memory when it decodes an animation, and rejects a number of channels other than the
file's. So the op never gets the original file: the first chunk with pixels (`VP8 `, lossy, or `VP8L`, lossless), at
the top level or in the first frame of an animation, gets a new RIFF header. The alpha channel of a lossy picture is a
chunk of its own (`ALPH`), which is dropped or comes along.
Format: https://developers.google.com/speed/webp/docs/riff_container and, of VP8L's header, webp_lossless_bitstream.
"""

from __future__ import annotations

import tensorflow as tf

from data.images import pixel_limit

_LOSSY, _LOSSLESS, _FRAME, _ALPHA = b"VP8 ", b"VP8L", b"ANMF", b"ALPH"
_FRAME_FACTS = 16  # bytes of place, size, duration and flags before the chunks of a frame
_DAMAGED = "a WebP that is cut off or damaged"


def decode(contents: tf.Tensor, max_pixels: int, keep_alpha: bool = False) -> tf.Tensor:
    """Decode one WebP; of an animation, its first frame.

    Args:
      contents: string scalar.
      max_pixels: largest number of pixels that the decoded frame may claim.
      keep_alpha: whether to return the alpha channel of a lossy picture; that of a lossless one always is.

    Returns:
      uint8 [height, width, 3 or 4].

    Raises:
      tf.errors.InvalidArgumentError: If the file is cut off or damaged, or claims more pixels.
    """
    chunk = _first(contents, tf.constant(12), (_LOSSY, _LOSSLESS, _FRAME))
    chunk = tf.cond(
        _name(contents, chunk) == _FRAME,
        lambda: _first(contents, chunk + 8 + _FRAME_FACTS, (_LOSSY, _LOSSLESS)),
        lambda: chunk,
    )
    size = _size(contents, chunk)
    payload = _piece(contents, chunk + 8, tf.maximum(size, 0))
    is_whole = (size > 0) & (tf.strings.length(payload) == size)
    pixels, is_sound = tf.cond(_name(contents, chunk) == _LOSSY, lambda: _lossy(payload), lambda: _lossless(payload))
    refused = pixel_limit.fail_if(
        payload, (~is_whole | ~is_sound, _DAMAGED), (pixels > max_pixels, pixel_limit.refusal(max_pixels))
    )
    padding = tf.strings.substr(tf.constant(b"\0"), 0, size % 2)
    pieces = [_piece(contents, chunk, 8), refused, padding]
    length = 4 + 8 + size + size % 2
    if keep_alpha:
        alpha = tf.cond(
            _name(contents, chunk) == _LOSSY,
            lambda: _alpha_chunks(contents, chunk, payload),
            lambda: tf.constant(b""),
        )
        pieces, length = [alpha, *pieces], length + tf.strings.length(alpha)
    image = tf.io.decode_webp(tf.strings.join([b"RIFF", _four_bytes(length), b"WEBP", *pieces]))
    image.set_shape([None, None, None, None])
    return image[0]


def _alpha_chunks(contents: tf.Tensor, pixels: tf.Tensor, payload: tf.Tensor) -> tf.Tensor:
    """Return the chunks that precede a lossy picture with alpha: VP8X and ALPH; empty if it has no alpha.

    Args:
      contents: the file, string scalar.
      pixels: offset of the chunk with its pixels.
      payload: that chunk's payload.
    """
    first = _first(contents, tf.constant(12), (_ALPHA, _LOSSY, _FRAME))
    chunk = tf.cond(
        _name(contents, first) == _FRAME,
        lambda: _first(contents, first + 8 + _FRAME_FACTS, (_ALPHA, _LOSSY)),
        lambda: first,
    )
    size = _size(contents, chunk)
    stored = _piece(contents, chunk, tf.maximum(8 + size, 0))
    is_whole = (size > 0) & (tf.strings.length(stored) == 8 + size)
    padding = tf.strings.substr(tf.constant(b"\0"), 0, size % 2)

    def present() -> tf.Tensor:
        whole = pixel_limit.fail_if(stored, (~is_whole, _DAMAGED))
        sides = tf.cast(tf.io.decode_raw(payload, tf.uint8, fixed_length=10), tf.int32)[6:]
        width, height = tf.unstack((sides[0::2] + 256 * sides[1::2]) % 2**14 - 1)
        # Size of the chunk, flags (alpha), then 24 bits of width - 1 and 24 of height - 1.
        sizes = [tf.strings.substr(_four_bytes(side), 0, 3) for side in (width, height)]
        return tf.strings.join([b"VP8X", b"\x0a\0\0\0", b"\x10\0\0\0", *sizes, whole, padding])

    return tf.cond((chunk < pixels) & (_name(contents, chunk) == _ALPHA), present, lambda: tf.constant(b""))


def _first(contents: tf.Tensor, start: tf.Tensor, names: tuple[bytes, ...]) -> tf.Tensor:
    """Return the offset of the first chunk with one of the names from `start` on, int32 scalar.

    It is the file's length if there is no such chunk.
    """
    end = tf.strings.length(contents)

    def is_other(here: tf.Tensor) -> tf.Tensor:
        return (here + 8 <= end) & tf.reduce_all(_name(contents, here) != tf.constant(names))

    def after(here: tf.Tensor) -> list[tf.Tensor]:
        size = _size(contents, here)
        beyond = (size < 0) | (size > end - here)  # a size that a file of this length cannot have
        return [tf.where(beyond, end, tf.minimum(end, here + 8 + size + size % 2))]

    (found,) = tf.while_loop(is_other, after, [start], parallel_iterations=1)
    return tf.where(found + 8 <= end, found, end)


def _piece(contents: tf.Tensor, start: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """Return `size` bytes from `start` on, fewer at the end of the file, none after it: `substr` alone fails there."""
    return tf.strings.substr(contents, tf.minimum(start, tf.strings.length(contents)), size)


def _name(contents: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
    return _piece(contents, chunk, 4)


def _size(contents: tf.Tensor, chunk: tf.Tensor) -> tf.Tensor:
    """Return the size of a chunk's payload in bytes, int32 scalar; 0 if the file ends before that field."""
    return tf.io.decode_raw(_piece(contents, chunk + 4, 4), tf.int32, fixed_length=4)[0]


def _lossy(payload: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pixels that a VP8 key frame claims, int64 scalar, and whether its start code is right.

    RFC 6386, 9.1.
    """
    head = tf.cast(tf.io.decode_raw(payload, tf.uint8, fixed_length=10), tf.int64)
    sides = (head[6::2] + 256 * head[7::2]) % 2**14
    return tf.reduce_prod(sides), tf.reduce_all(head[3:6] == tf.constant([0x9D, 0x01, 0x2A], tf.int64))


def _lossless(payload: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the same for a VP8L bit stream: a signature, then 14 bits of width - 1 and 14 of height - 1."""
    head = tf.cast(tf.io.decode_raw(payload, tf.uint8, fixed_length=5), tf.int64)
    bits = tf.reduce_sum(head[1:] * tf.constant([1, 2**8, 2**16, 2**24], tf.int64))
    return (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1), tf.strings.substr(payload, 0, 1) == b"\x2f"


def _four_bytes(number: tf.Tensor) -> tf.Tensor:
    """Return a number, int32 scalar, as four bytes, little-endian."""
    letters = tf.constant([bytes([one]) for one in range(256)])
    return tf.strings.reduce_join(tf.gather(letters, number // tf.constant([1, 2**8, 2**16, 2**24]) % 256))
