"""Bitmaps of every layout, written byte by byte, compared with PIL; with known pixels if PIL cannot read them."""

from __future__ import annotations

import functools
import struct

import numpy as np
import pytest
import tensorflow as tf

from data.errors import op_message
from data.images import bmp, ops, pixel_limit
from data.images.validate import check_bytes
from data.spec import Image
from tests.data.images.test_ops import pil

HEADERS = (12, 40, 52, 56, 64, 108, 124)
LIMIT = 10_000


def bitmap(
    bits: int,
    header: int = 40,
    size: tuple[int, int] = (7, 5),
    *,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    colours: int | None = None,
    from_top: bool = False,
    gap: int = 0,
    missing: int = 0,
    seed: int = 0,
) -> bytes:
    """A file of random pixels.

    Args:
      bits: of a pixel.
      header: bytes of the second header; 12 is OS/2's.
      size: width, height.
      compression: 0 none, 3 bit masks.
      masks: of red, green, blue (and alpha).
      colours: in the palette; all, if None.
      from_top: the first row is the upper one.
      gap: bytes between the palette and the pixels.
      missing: bytes at the end.
    """
    rng, (width, height) = np.random.default_rng(seed), size
    pixels = rng.bytes((width * bits + 31) // 32 * 4 * height)
    entries = (2**bits if colours is None else colours) if bits <= 8 else 0
    palette = rng.bytes(entries * (3 if header == 12 else 4))
    coded = struct.pack(f"<{len(masks)}I", *masks)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if from_top else height
        head = struct.pack(
            "<IiiHHIIiiII", header, width, signed, 1, bits, compression, len(pixels), 0, 0, colours or 0, 0
        )
        head += coded[: header - 40].ljust(header - 40, b"\0")  # longer headers hold the masks, the short one does not
        coded = coded[header - 40 :]
    start = 14 + len(head) + (len(coded) if header == 40 else 0) + len(palette) + gap
    file = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head
    return (file + (coded if header == 40 else b"") + palette + bytes(gap) + pixels)[: -missing or None]


decode = functools.partial(bmp.decode, max_pixels=LIMIT)
graph = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])  # traced once for all files


def read(contents: bytes) -> np.ndarray:
    return graph(contents).numpy()


@pytest.mark.parametrize(
    ("bits", "header"),
    [(bits, 12) for bits in (1, 4, 8, 24)] + [(bits, one) for bits in (1, 4, 8, 16, 24, 32) for one in HEADERS[1:]],
)
def test_every_depth_with_every_header(bits, header):
    for width in (1, 5, 8, 13):
        contents = bitmap(bits, header, (width, 6), seed=width)
        # Of a channel of 5 bits, PIL cuts v * 255 / 31 off; here it is rounded.
        np.testing.assert_allclose(read(contents), pil(contents, "RGB"), atol=bits == 16, rtol=0)


@pytest.mark.parametrize("bits", [1, 4, 8, 24, 32])
def test_from_the_top_behind_a_gap_and_with_something_after_it(bits):
    for contents in (bitmap(bits, from_top=True), bitmap(bits, gap=6), bitmap(bits) + b"more"):
        np.testing.assert_array_equal(read(contents), pil(contents, "RGB"))


def test_the_last_rows_filling_may_lack():
    """A row of 7 pixels of 24 bits has 21 bytes, filled up to 24."""
    contents = bitmap(24, missing=3)
    np.testing.assert_array_equal(read(contents), pil(contents + bytes(3), "RGB"))
    assert refused(bitmap(24, missing=4)) == "a BMP that is cut off"


@pytest.mark.parametrize("header", [12, 40])
def test_a_short_palette(header):
    """PIL reads it, and the indices behind it as what it likes; here they are black."""
    contents = bytearray(bitmap(8, header, colours=10))
    start = int.from_bytes(contents[10:14], "little")
    contents[start:] = bytes(one % 12 for one in contents[start:])
    each = 3 if header == 12 else 4
    palette = np.frombuffer(contents, np.uint8, 10 * each, 14 + header).reshape(10, each)[:, 2::-1]
    palette = np.concatenate([palette, np.zeros((2, 3), np.uint8)])
    indices = np.frombuffer(contents, np.uint8, 5 * 8, start).reshape(5, 8)[::-1, :7]
    np.testing.assert_array_equal(read(bytes(contents)), palette[indices])


BYTES = [0xFF, 0xFF00, 0xFF0000, 0xFF000000]


@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize(
    "order",
    [(2, 1, 0, None), (3, 2, 1, None), (3, 1, 0, None), (3, 2, 1, 0), (0, 1, 2, 3), (2, 1, 0, 3), (3, 1, 0, 2)],
)
def test_masks_of_whole_bytes(header, order):
    masks = tuple(0 if at is None else BYTES[at] for at in order)
    contents = bitmap(32, header, compression=3, masks=masks[:3] if header == 40 else masks)
    got = read(contents)
    stored = np.frombuffer(contents[-7 * 5 * 4 :], np.uint8).reshape(5, 7, 4)[::-1]
    np.testing.assert_array_equal(got, stored[:, :, order[:3]])
    if not (header == 40 and order == (0, 1, 2, 3)):  # which PIL does not read
        np.testing.assert_array_equal(got, pil(contents, "RGB"))


@pytest.mark.parametrize(
    ("bits", "masks"),
    [(16, (0xF800, 0x7E0, 0x1F)), (16, (0x7C00, 0x3E0, 0x1F)), (16, (0xF00, 0xF0, 0xF)), (16, (0xC0, 0x38, 0x7))]
    + [(32, (0x3FF00000, 0xFFC00, 0x3FF)), (32, (0xE0, 0x1C, 0x3)), (32, (0xFFFF0000, 0xFF00, 0xFF))],
)
@pytest.mark.parametrize("compression", [3, 6])
def test_masks_of_other_lengths_are_fractions_of_their_highest_value(bits, masks, compression):
    contents = bitmap(bits, compression=compression, masks=masks)
    row = (7 * bits + 31) // 32 * 4
    stored = np.frombuffer(contents[-5 * row :], f"<u{bits // 8}").reshape(5, -1)[::-1, :7]
    lowest = [mask & -mask for mask in masks]
    exact = [(stored & mask) // low * 255 / (mask // low) for mask, low in zip(masks, lowest, strict=True)]
    np.testing.assert_array_equal(read(contents), np.rint(np.stack(exact, axis=2)))


def refused(contents: bytes) -> str:
    """The reason that the graph gives, which is ingestion's, too."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        read(contents)
    message = op_message(caught.value.message)
    assert check_bytes([contents], 3, LIMIT)[0][2:] == ("not decodable", message)
    return message


def with_field(contents: bytes, at: int, value: int) -> bytes:
    """The file with other four bytes."""
    return contents[:at] + struct.pack("<i", value) + contents[at + 4 :]


def test_what_is_not_read_is_refused_with_the_reason():
    for compression in (1, 2):
        assert refused(bitmap(8, compression=compression)) == "a BMP with run-length encoding, which is not supported"
    for compression, header in ((4, 40), (5, 40), (7, 40), (3, 64), (4, 64)):
        inside = "a BMP with another file inside (JPEG, PNG), which is not supported"
        assert refused(bitmap(24, header, compression=compression)) == inside
    for bits, masks in ((32, (0xF0F0, 0xFF, 0xFF00)), (24, (0xFF, 0xFF00, 0xFF0000)), (8, (1, 2, 4))):
        message = "a BMP with unsupported bit masks"
        assert refused(bitmap(bits, compression=3, masks=masks)) == message
    assert refused(bitmap(2)) == "a BMP with an unsupported number of bits"
    assert refused(with_field(bitmap(24), 14, 41)) == "a BMP with a header of an unknown kind"
    assert refused(with_field(bitmap(8), 10, 54)) == "a BMP whose pixels begin inside its header"
    for width, height in ((0, 5), (-7, 5), (7, 0)):
        assert refused(with_field(with_field(bitmap(24), 18, width), 22, height)) == "a BMP without pixels"


def test_cut_anywhere():
    for header in (12, 40):
        contents = bitmap(24, header)
        for length in range(2, len(contents) - 3, 5):
            assert "cut off" in refused(contents[:length])


def test_the_limit_on_pixels():
    limited = pixel_limit.refusal(LIMIT)
    wide = bitmap(24, size=(1, 1))
    for width, height in ((101, 100), (101, -100), (2**31 - 1, -(2**31))):
        assert refused(with_field(with_field(wide, 18, width), 22, height)) == limited
    for header in (12, 40):
        assert read(bitmap(1, header, (100, 100))).shape == (100, 100, 3)
        assert refused(bitmap(1, header, (101, 100))) == limited


@pytest.mark.parametrize("header", [12, 40])
def test_every_file_is_read_in_batches_and_eagerly(header, in_both):
    """The sides of OS/2 have 16 bits; read as 32 they would claim billions of pixels."""
    files = [bitmap(bits, header, (16, 16)) for bits in (1, 4, 8, 24)]
    got = in_both(lambda some: ops.decode_batch(some, Image(16, 16)), files)
    for contents, pixels in zip(files, got, strict=True):
        np.testing.assert_array_equal(pixels, pil(contents, "RGB"))
        np.testing.assert_array_equal(pixels, decode(tf.constant(contents)))


def test_damaged_headers_are_refused_in_plain_words():
    rng = np.random.default_rng(0)
    for number in range(1500):
        contents = bytearray(bitmap((1, 4, 8, 16, 24, 32)[number % 6], (12, 40, 124)[number % 3], seed=number))
        for at in rng.integers(2, min(60, len(contents)), 3):
            contents[at] = rng.integers(0, 256)
        try:
            assert read(bytes(contents)).shape[2] == 3
        except tf.errors.InvalidArgumentError as error:
            assert pixel_limit.is_refusal(error.message), error.message
