"""EXIF orientation in the graph: it is read from the bytes of a JPEG, PNG or WebP, and turns the decoded picture.

No bytes raise an error: an orientation that is missing, damaged or out of range is 1, upright. The work is bounded:
at most `headers.MOST_PARTS` segments or chunks of a file, and `headers.MOST_ENTRIES` entries of its EXIF directory, are
read. All files of a batch are read at once: a step of the graph's loop takes about as long for one as for hundreds.

Formats: JPEG, ITU T.81, B.1; PNG, 5.3 and 11.3.3.4; WebP, its RIFF container; EXIF, CIPA DC-008, a TIFF 6.0 file.
`data.images.headers` reads the same in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from data.images import pixel_limit
from data.images.formats import DECODED, JPEG_MAGIC, PNG_MAGIC
from data.images.headers import EXIF_PREFIX, MOST_ENTRIES, MOST_PARTS, ORIENTATION

_AT_ONCE = 4  # segments or chunks in a step of the graph's loop
# What follows a byte 0xFF in a JPEG, for each value of the next byte. Markers without a size, which libjpeg ignores,
# count as bytes between segments.
_BETWEEN, _SEGMENT, _APP1, _START_OF_SCAN = range(4)
_MEANINGS = [_SEGMENT if byte in range(0x02, 0xD0) or byte in range(0xDB, 0xFF) else _BETWEEN for byte in range(0x100)]
_MEANINGS[0xDA], _MEANINGS[0xE1] = _START_OF_SCAN, _APP1
_SHORT, _LONG = 3, 4  # types of TIFF: 16 and 32 bits
_ENTRY = 12  # bytes of an entry of a TIFF directory: tag, type, count, value

Hop = Callable[[tf.Tensor], tf.Tensor]
"""Maps the offsets of parts, int32 [N], to those of the next parts; an offset that it returns unchanged is the last."""


@pixel_limit.on_cpu
def read_orientations(contents: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of each file, int32 [N] or [], 1 (upright) to 8; for string [N] or []."""
    if not contents.shape.rank:
        return read_orientations(contents[tf.newaxis])[0]
    length = tf.strings.length(contents)
    finders = [
        (tf.strings.substr(contents, 0, 3) == JPEG_MAGIC, _find_in_jpegs),
        (tf.strings.substr(contents, 0, 8) == PNG_MAGIC, _find_in_pngs),
    ]
    if "webp" in DECODED:
        is_webp = tf.strings.regex_full_match(tf.strings.substr(contents, 0, 16), r"RIFF\C{4}WEBPVP8X")
        finders.append((is_webp, _find_in_webps))
    none = tf.zeros([tf.size(contents), 2], tf.int32)
    # A file is of one format: for the other ones it is passed as if it were empty.
    found = [_run_if(holds, find, none, contents, tf.where(holds, length, 0)) for holds, find in finders]
    spans = tf.add_n(found)
    return _run_if(spans[:, 1] > 0, _read_directories, none[:, 0] + 1, contents, spans)


def _run_if(holds: tf.Tensor, function: Callable[..., tf.Tensor], otherwise: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
    """Call a function if one of the conditions holds, bool [N]. It is not inlined; see `pixel_limit.not_inlined`."""
    called = tf.function(
        function,
        [tf.TensorSpec(one.shape, one.dtype) for one in given],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )
    return tf.cond(tf.reduce_any(holds), lambda: called(*given), lambda: otherwise)


def _walk(first: int, length: tf.Tensor, hop: Hop) -> tf.Tensor:
    """Go from part to part of each file, and return the last offsets, int32 [N].

    Args:
      first: offset of the first part.
      length: bytes of each file, int32 [N].
      hop: see `Hop`.
    """

    def several(here: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for _ in range(_AT_ONCE):
            before, here = here, hop(here)
        return here, tf.reduce_any(here != before)

    return tf.while_loop(
        lambda _, goes_on: goes_on,
        several,
        (tf.minimum(first, length), tf.constant(True)),
        parallel_iterations=1,
        maximum_iterations=MOST_PARTS // _AT_ONCE,
    )[0]


def _find_in_jpegs(contents: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return the span of the TIFF data in the first APP1 segment with EXIF before the pixels, int32 [N, 2].

    Bytes between segments are skipped one by one, as libjpeg skips them; so each of them counts as a part.
    """
    meanings, sizes = tf.constant([_BETWEEN, *_MEANINGS]), tf.fill(tf.shape(length), 4 + len(EXIF_PREFIX))

    def read(here: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the meaning and the size of a segment, and whether it is EXIF."""
        head = tf.strings.substr(contents, here, sizes)
        marker, size = tf.unstack(_numbers(head, tf.uint16, 4), axis=1)
        meaning = tf.gather(meanings, tf.maximum(marker, 0xFEFF) - 0xFEFF)
        is_exif = (meaning == _APP1) & (size >= 2 + len(EXIF_PREFIX))
        return meaning, size, is_exif & tf.strings.regex_full_match(head, r"\C{4}Exif\x00\x00")

    def hop(here: tf.Tensor) -> tf.Tensor:
        meaning, size, is_exif = read(here)
        after = here + tf.where(meaning == _BETWEEN, 1, 2 + size)
        return tf.where(is_exif | (meaning == _START_OF_SCAN), here, tf.minimum(after, length))

    here = _walk(2, length, hop)
    _, size, is_exif = read(here)
    span = tf.stack([here + 4 + len(EXIF_PREFIX), here + 2 + size], axis=1)
    return tf.where(is_exif[:, tf.newaxis], tf.minimum(span, length[:, tf.newaxis]), 0)


def _numbers(pieces: tf.Tensor, kind: tf.DType, size: int | tf.Tensor, little_endian: bool = False) -> tf.Tensor:
    """Return pieces of files, string [N], as numbers, int32 [N, size / bytes of one]; zeros follow a short piece."""
    return tf.cast(tf.io.decode_raw(pieces, kind, little_endian, fixed_length=size), tf.int32)


def _find_in_pngs(contents: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return the span of the TIFF data in the first eXIf chunk, before or after the pixels, int32 [N, 2]."""
    return _find_chunk(contents, length, 8, b"eXIf", b"IEND")


def _find_in_webps(contents: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return the span of the TIFF data in the first EXIF chunk of files that begin with a chunk VP8X, int32 [N, 2].

    The flags in VP8X must claim such a chunk, as for libwebp.
    """
    flags = tf.io.decode_raw(contents, tf.uint8, fixed_length=21)[:, 20]
    claimed = tf.bitwise.bitwise_and(flags, 8) > 0
    return _find_chunk(contents, tf.where(claimed, length, 0), 12, b"EXIF", b"EXIF", little_endian=True)


def _find_chunk(
    contents: tf.Tensor, length: tf.Tensor, first: int, name: bytes, last: bytes, little_endian: bool = False
) -> tf.Tensor:
    """Return the span of the TIFF data in the first chunk of a name, int32 [N, 2].

    Args:
      contents: string [N].
      length: bytes of each file, int32 [N].
      first: offset of the first chunk.
      name: the chunk's name.
      last: name of the chunk at which a file ends.
      little_endian: False for PNG: size, name, data, 4 bytes of a checksum. True for RIFF: name, size, data, and a zero
        after an odd size.
    """
    sizes, longest = tf.fill(tf.shape(length), 8), length - 8
    sought, stop = (int.from_bytes(some, "little" if little_endian else "big") for some in (name, last))

    def read(here: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the name as a number, and the end of the data."""
        words = tf.unstack(_numbers(tf.strings.substr(contents, here, sizes), tf.int32, 8, little_endian), axis=1)
        found, size = words if little_endian else reversed(words)
        is_there = (size >= 0) & (size <= longest - here)
        return found, tf.where(is_there, here + 8 + size, length)

    def hop(here: tf.Tensor) -> tf.Tensor:
        found, end = read(here)
        after = tf.minimum(end + (end % 2 if little_endian else 4), length)
        return tf.where((found == sought) | (found == stop), here, after)

    here = _walk(first, length, hop)
    found, end = read(here)
    start = tf.minimum(_after_prefix(contents, tf.minimum(here + 8, end)), end)
    return tf.where((found == sought)[:, tf.newaxis], tf.stack([start, end], axis=1), 0)


def _after_prefix(contents: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Return the offsets behind JPEG's prefix of EXIF, which some programs write into other formats, too."""
    size = len(EXIF_PREFIX)
    return start + tf.where(tf.strings.substr(contents, start, tf.fill(tf.shape(start), size)) == EXIF_PREFIX, size, 0)


def _read_directories(contents: tf.Tensor, spans: tf.Tensor) -> tf.Tensor:
    """Return the orientations in TIFF data, int32 [N]: each the last entry of that tag in the first directory."""
    start, end = tf.unstack(spans, axis=1)

    def piece(here: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
        return tf.strings.substr(contents, here, tf.minimum(end - here, size))

    def numbers(pieces: tf.Tensor, kind: tf.DType, size: tf.Tensor | int) -> tf.Tensor:
        either = [_numbers(pieces, kind, size, little_endian) for little_endian in (True, False)]
        return tf.where(is_little[:, tf.newaxis], *either)

    is_little, is_big = (
        tf.strings.regex_full_match(piece(start, 4), order + r"(\*\x00|\x00\*)") for order in ("II", "MM")
    )
    offset = numbers(piece(start, 8), tf.int32, 8)[:, 1]
    directory = tf.where((offset < 0) | (offset > end - start), end, start + offset)
    count = numbers(piece(directory, 2), tf.uint16, 2)[:, 0]
    # A truncated entry does not count.
    count = tf.minimum(tf.minimum(count, MOST_ENTRIES), (end - directory - 2) // _ENTRY)
    count = tf.where(is_little | is_big, tf.maximum(count, 0), 0)
    entries = piece(tf.minimum(directory + 2, end), count * _ENTRY)
    most = tf.reduce_max(count) + 1  # decode_raw rejects a length of 0
    fields = tf.reshape(numbers(entries, tf.uint16, most * _ENTRY), [-1, most, _ENTRY // 2])
    return _orientations(fields, is_little)


def _orientations(fields: tf.Tensor, is_little: tf.Tensor) -> tf.Tensor:
    """Return the orientations in the entries of directories, int32 [N].

    Args:
      fields: tag, type, count (two numbers) and value (two) of each entry: 16 bits each, int32 [N, entries, 6]; zeros
        after the last entry.
      is_little: whether the first of two numbers is the lower half, bool [N].
    """
    tag, kind, *halves = tf.unstack(fields, axis=2)
    count, value = (
        tf.where(is_little[:, tf.newaxis], first + 65536 * second, second + 65536 * first)
        for first, second in (halves[:2], halves[2:])
    )
    value = tf.where(kind == _LONG, value, halves[2])  # a SHORT is the first of the two, whatever follows it
    is_valid = ((kind == _SHORT) | (kind == _LONG)) & (count == 1) & (value >= 1) & (value <= 8)
    last = tf.reduce_max(tf.where(tag == ORIENTATION, tf.range(tf.shape(tag)[1]), -1), axis=1)
    found = tf.gather(tf.where(is_valid, value, 1), tf.maximum(last, 0), batch_dims=1)
    return tf.where(last < 0, 1, found)


def stored_size(height: int, width: int, orientation: tf.Tensor) -> tf.Tensor:
    """Return height and width, int32 [2], of a picture before a turn after which it has these."""
    return tf.where(orientation >= 5, (width, height), (height, width))


def turn_upright(images: Sequence[tf.Tensor], orientations: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Turn and mirror pictures by their orientations, as Pillow's `ImageOps.exif_transpose` does.

    Args:
      images: each [h, w, channels].
      orientations: int32 scalars, 1 to 8.
    """

    def turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
        called = tf.function(
            _turned,
            [tf.TensorSpec(image.shape, image.dtype), tf.TensorSpec([], tf.int32)],
            autograph=False,
            experimental_attributes={"_noinline": True},
        )
        return called(image, orientation)

    upright: list[tf.Tensor] = tf.cond(
        tf.reduce_all(tf.stack(list(orientations)) == 1),
        lambda: list(images),
        lambda: [turned(*one) for one in zip(images, orientations, strict=True)],
    )
    return upright


def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Swap the axes (from 5 on), then reverse the rows (3, 4, 7, 8) and the columns (2, 3, 6, 7)."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    reverses = [tf.reduce_any(orientation == each) for each in ((3, 4, 7, 8), (2, 3, 6, 7))]
    return tf.reverse(image, tf.boolean_mask([0, 1], tf.stack(reverses)))
