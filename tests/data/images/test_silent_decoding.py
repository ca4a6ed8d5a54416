"""What decoders ignore without an error: each kind of file is read as by PIL, rejected, or reported with a remark."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.images import ops
from data.images.formats import read_header
from data.images.headers import ALPHA, ANIMATION, CMYK, INKS, PART, PROFILE, SIXTEEN_BITS
from data.images.validate import check_bytes
from data.records import image_record
from tests.conftest import encode_picture, smooth_pixels

PIXELS = smooth_pixels(1)
PICTURE = Pil.fromarray(PIXELS)
OTHER = Pil.fromarray(255 - PIXELS)
Make = Callable[[], bytes]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    pixels: np.ndarray, bits: int, colour_type: int, *before: tuple[bytes, bytes], interlaced: bool = False
) -> bytes:
    """A PNG of rows that are packed already, uint8 [h, bytes]; width 37. `before` are chunks before the pixels."""
    passes = [pixels]
    if interlaced:  # RGB of 8 bits only
        whole = pixels.reshape(23, 37, 3)
        starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        passes = [whole[y::dy, x::dx].reshape(-(-(23 - y) // dy), -1) for y, x, dy, dx in starts]
    rows = b"".join(b"\0" + row.tobytes() for one in passes for row in one)
    head = struct.pack(">IIBBBBB", 37, 23, bits, colour_type, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def packed(bits: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 256, (23, (37 * bits * channels + 7) // 8), np.uint8)


def palette(bits: int) -> tuple[bytes, bytes]:
    return b"PLTE", np.random.default_rng(9).bytes(3 * 2**bits)


def saved(kind: str, image: Pil.Image = PICTURE, **options: object) -> Make:
    return functools.partial(encode_picture, image, kind, **options)


def without(jpeg: bytes, marker: int) -> bytes:
    """The JPEG without the segments of a marker."""
    kept, position = jpeg[:2], 2
    while jpeg[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        kept += b"" if jpeg[position + 1] == marker else jpeg[position:end]
        position = end
    return kept + jpeg[position:]


def on_canvas(left: int, top: int) -> bytes:
    """A GIF with its frame of 37x23 on a canvas of 60x50."""
    contents = bytearray(encode_picture(PICTURE.quantize(16), "GIF"))
    at = contents.index(b",\0\0\0\0")
    contents[6:10], contents[at + 1 : at + 5] = struct.pack("<HH", 60, 50), struct.pack("<HH", left, top)
    return bytes(contents)


QUANTIZED = PICTURE.quantize(16)
WIDE = bytes(128) + b"Display P3"
# Read as by PIL; with the remarks on them.
READ: dict[str, tuple[Make, tuple[str, ...]]] = {
    "JPEG, progressive": (saved("JPEG", progressive=True), ()),
    "JPEG, grey": (saved("JPEG", PICTURE.convert("L")), ()),
    "JPEG, stored as RGB": (saved("JPEG", keep_rgb=True), ()),
    "JPEG, CMYK with Adobe's mark": (saved("JPEG", PICTURE.convert("CMYK")), (CMYK,)),
    "JPEG, Display P3": (saved("JPEG", icc_profile=WIDE), (PROFILE,)),
    "JPEG with something behind it": (lambda: encode_picture(PICTURE, "JPEG") + b"more", ()),
    **{f"PNG, grey of {bits}": (functools.partial(png, packed(bits), bits, 0), ()) for bits in (1, 2, 4, 8)},
    **{
        f"PNG, palette of {bits}": (functools.partial(png, packed(bits), bits, 3, palette(bits)), ())
        for bits in (1, 2, 4, 8)
    },
    "PNG, palette with transparency": (
        lambda: png(packed(4), 4, 3, palette(4), (b"tRNS", bytes(3))),
        (ALPHA,),
    ),
    "PNG, one colour transparent": (
        lambda: png(PIXELS.reshape(23, -1), 8, 2, (b"tRNS", struct.pack(">3H", *PIXELS[0, 0].tolist()))),
        (ALPHA,),
    ),
    "PNG, grey and alpha": (lambda: png(packed(8, 2), 8, 4), (ALPHA,)),
    "PNG, RGBA": (lambda: png(packed(8, 4), 8, 6), (ALPHA,)),
    "PNG, RGB of 16": (lambda: png(packed(16, 3), 16, 2), (SIXTEEN_BITS,)),
    "PNG, grey and alpha of 16": (lambda: png(packed(16, 2), 16, 4), (SIXTEEN_BITS, ALPHA)),
    "PNG, RGBA of 16": (lambda: png(packed(16, 4), 16, 6), (SIXTEEN_BITS, ALPHA)),
    "PNG, interlaced": (lambda: png(PIXELS.reshape(23, -1), 8, 2, interlaced=True), ()),
    "PNG, gamma": (lambda: png(PIXELS.reshape(23, -1), 8, 2, (b"gAMA", struct.pack(">I", 100_000))), ()),
    "PNG, animated": (saved("PNG", save_all=True, append_images=[OTHER]), (ANIMATION,)),
    "GIF": (saved("GIF", QUANTIZED), ()),
    "GIF, interlaced": (saved("GIF", QUANTIZED, interlace=1), ()),
    "GIF, animated": (saved("GIF", QUANTIZED, save_all=True, append_images=[OTHER.quantize(16)]), (ANIMATION,)),
}


@pytest.mark.parametrize("name", READ)
def test_read_as_pil_reads_it(name):
    make, remarks = READ[name]
    contents = make()
    got = ops.decode(tf.constant(contents), 3).numpy()
    np.testing.assert_array_equal(got, np.asarray(Pil.open(io.BytesIO(contents)).convert("RGB")))
    found = image_record(contents, got.shape[:2], read_header(contents), "a", "s")
    assert set(found.remarks) == set(remarks)


def test_a_grey_png_of_16_bits_is_its_high_bytes():
    """PIL gives all 16 bits, and clips them where it is asked for 8."""
    contents = png(packed(16), 16, 0)
    deep = np.asarray(Pil.open(io.BytesIO(contents))).astype(np.int64)
    np.testing.assert_array_equal(ops.decode(tf.constant(contents), 1)[..., 0], deep >> 8)
    assert image_record(contents, (23, 37), read_header(contents), "a", "s").remarks == (SIXTEEN_BITS,)


def test_a_transparent_gif_is_black_there_with_a_remark():
    contents = encode_picture(QUANTIZED, "GIF", transparency=3)
    seen = Pil.open(io.BytesIO(contents))
    expected = np.array(seen.convert("RGB"))
    expected[np.asarray(seen.convert("RGBA"))[..., 3] == 0] = 0
    np.testing.assert_array_equal(ops.decode(tf.constant(contents), 3), expected)
    assert (expected == 0).all(axis=2).any() and read_header(contents).remarks == (ALPHA,)


@pytest.mark.parametrize("corner", [(0, 0), (5, 7)])
def test_a_gif_whose_frame_is_smaller_than_its_canvas_is_the_frame_with_a_remark(corner):
    contents = on_canvas(*corner)
    left, top = corner
    canvas = np.asarray(Pil.open(io.BytesIO(contents)).convert("RGB"))
    assert canvas.shape == (50, 60, 3)
    got = ops.decode(tf.constant(contents), 3)
    np.testing.assert_array_equal(got, canvas[top : top + 23, left : left + 37])
    assert read_header(contents).remarks == (PART,)


def test_cmyk_without_adobes_mark_is_taken_as_it_is_with_a_remark():
    """PIL inverts all CMYK; TensorFlow that with the mark."""
    contents = without(encode_picture(PICTURE.convert("CMYK"), "JPEG"), 0xEE)
    inverted = Pil.fromarray(255 - np.asarray(Pil.open(io.BytesIO(contents))), "CMYK").convert("RGB")
    np.testing.assert_allclose(ops.decode(tf.constant(contents), 3), np.asarray(inverted), atol=1, rtol=0)
    assert read_header(contents).remarks == (INKS,)


def test_cut_files_are_refused():
    """PIL's `verify` passes most of them."""
    files = [encode_picture(PICTURE, kind) for kind in ("JPEG", "PNG", "GIF", "BMP")]
    cut = [one[:-length] for one in files for length in (12, len(one) // 2)]
    assert {one.reason for one in check_bytes(cut, 3)} == {"not decodable"}
    assert all("cut off" in one.message for one in check_bytes(cut, 3))
