"""BMP, decoded in the graph.

TensorFlow's own op reads three layouts and takes every other file for one of them, in silence: it passes over the
compression, the channels' bit masks, the palette and the short header of OS/2. So the layouts are read here: pixels of
1, 4 and 8 bits with their palette, of 16, 24 and 32 bits with or without masks, from the bottom or from the top. What
is not read is refused: run-length encoding, and a JPEG or PNG inside of a BMP.
"""

from __future__ import annotations

import tensorflow as tf

from data import pixel_limit

_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes: OS/2, Windows 3, its versions 2 and 3, OS/2 2, versions 4 and 5
_OS2, _OS2_V2 = 12, 64
_RUN_LENGTHS, _MASKS = (1, 2), (3, 6)  # compressions; what else there is, is another file inside
_MASKS_OF_16 = (0x7C00, 0x3E0, 0x1F)  # red, green, blue, where the file has none of its own
_MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF)
_START = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")  # of a header for TensorFlow's op


@pixel_limit.on_cpu
def decode(contents: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decodes one BMP; its alpha is dropped.

    Args:
      contents: string scalar, the file's bytes.
      max_pixels: that the file may claim.

    Returns:
      uint8 [height, width, 3].

    Raises:
      tf.errors.InvalidArgumentError: truncated, too many pixels, or a kind that is not read; the first line ends with
        the reason in plain words.
    """
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
    is_usual = tf.reduce_all(masks == _MASKS_OF_32)
    lowest = tf.bitwise.bitwise_and(masks, -masks)
    has_gap = tf.reduce_any(tf.bitwise.bitwise_and(masks, masks + lowest) != 0)
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
        (
            has_masks & ((bits < 16) | has_gap) | (bits == 24) & ~is_usual,
            "a BMP with bit masks that are not read",
        ),
        (length < start + row_bytes * (rows - 1) + (width * bits + 7) // 8, "a BMP that is cut off"),
    )
    # What is refused must not fail first by its odd numbers. From here on, all of them are small.
    with tf.control_dependencies([allowed]):
        numbers = tf.stack([start, header, width, rows, bits, row_bytes, palette_bytes])
        start, header, width, rows, bits, row_bytes, palette_bytes = tf.unstack(tf.cast(numbers, tf.int32))
    size = row_bytes * rows

    def as_the_op_reads_it() -> tf.Tensor:
        """[rows, width, 1, 3 or 4]. The op wants a long header, and no byte behind the last row nor one less."""

        def mended() -> tf.Tensor:
            sides_and_bits = [
                tf.where(is_os2, tf.strings.join([tf.strings.substr(allowed, at, 2), more]), other)
                for at, more, other in (
                    (18, b"\0\0", tf.strings.substr(allowed, 18, 4)),
                    (20, b"\0\0", tf.strings.substr(allowed, 22, 4)),
                    (22, tf.strings.substr(allowed, 24, 2), tf.strings.substr(allowed, 26, 4)),
                )
            ]
            stored = tf.strings.substr(allowed, start, size)
            filling = tf.strings.substr(bytes(3), 0, size - tf.strings.length(stored))
            return tf.strings.join([_START, *sides_and_bits, bytes(24), stored, filling])

        is_as_wanted = ~is_os2 & (tf.strings.length(allowed) == start + size)
        image = tf.io.decode_bmp(tf.cond(is_as_wanted, lambda: allowed, mended))
        image.set_shape([None, None, None])
        return image

    def raw(count: tf.Tensor) -> tf.Tensor:
        """The first bytes of each row, [rows, count], from the top."""
        stored = tf.io.decode_raw(tf.strings.substr(allowed, start, size), tf.uint8, fixed_length=size)
        return tf.reshape(stored, [rows, row_bytes])[:: tf.where(height < 0, 1, -1), :count]

    def coloured(indices: tf.Tensor) -> tf.Tensor:
        each = tf.where(is_os2, 3, 4)
        stored = tf.strings.substr(allowed, 14 + header, tf.minimum(palette_bytes, 256 * each))
        colours = tf.io.decode_raw(stored, tf.uint8, fixed_length=4 * 256)  # an index without a colour is black
        return tf.gather(tf.reshape(colours[: 256 * each], [256, each])[:, 2::-1], tf.cast(indices, tf.int32))

    def packed() -> tf.Tensor:
        shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)  # the first pixel lies in the highest bits
        fields = tf.bitwise.right_shift(raw(row_bytes)[:, :, tf.newaxis], shifts)
        fields = tf.bitwise.bitwise_and(fields, tf.cast(2**bits - 1, tf.uint8))
        return coloured(tf.reshape(fields, [rows, -1])[:, :width])

    def masked() -> tf.Tensor:
        each = bits // 8
        filled = tf.pad(tf.reshape(raw(width * each), [rows, width, each]), [[0, 0], [0, 0], [0, 4 - each]])
        values = tf.bitcast(filled, tf.uint32)
        channels = []
        for mask in tf.unstack(masks):
            field = tf.bitwise.bitwise_and(values, tf.cast(mask, tf.uint32))
            scale = tf.math.divide_no_nan(255.0, tf.cast(mask, tf.float32))
            channels.append(tf.cast(tf.round(tf.cast(field, tf.float32) * scale), tf.uint8))
        return tf.stack(channels, axis=2)

    layout = tf.where(bits < 8, 0, tf.where(bits == 8, 1, tf.where(is_usual, 2, 3)))
    return tf.switch_case(
        layout,
        [
            packed,
            lambda: coloured(as_the_op_reads_it()[:, :, 0]),
            lambda: as_the_op_reads_it()[:, :, :3],
            masked,
        ],
    )
