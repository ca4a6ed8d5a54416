"""Previews of files that TensorFlow refuses, and of any bytes at all."""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from data.images.previews import MOST_PIXELS, SIDE, Preview, preview_file, to_data_uri
from data.images.validate import check_bytes


def shown(contents: bytes) -> Preview:
    """The preview of a file that has one."""
    preview = preview_file(contents)
    assert preview
    return preview


def pixels_of(uri: str, mode: str = "RGB"):
    """Pixels of a data URI, uint8; its kind must be that of its bytes."""
    head, _, encoded = uri.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert head == f"data:image/{str(image.format).lower()};base64"
        return np.asarray(image.convert(mode))


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "PPM", "ICO"])
def test_a_format_that_tensorflow_does_not_decode_is_shown(smooth, encode, kind):
    contents = encode(smooth(1, 32, 32), kind)
    assert check_bytes([contents], 3)[0].reason
    preview = shown(contents)
    assert (preview.width, preview.height) == (32, 32)
    assert np.abs(pixels_of(preview.thumbnail).astype(int) - smooth(1, 32, 32)).max() < 30


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_a_truncated_file_is_shown_as_far_as_it_goes(smooth, encode, kind):
    pixels = smooth(2, 200, 300)
    contents = encode(pixels, kind, **({"interlace": 0} if kind == "GIF" else {}))
    cut = contents[: len(contents) // 2]
    assert check_bytes([cut], 3)[0].reason == "not decodable"
    preview = shown(cut)
    assert (preview.width, preview.height) == (300, 200)
    found, whole = pixels_of(preview.thumbnail), pixels_of(to_data_uri(Image.fromarray(pixels)))
    assert found.shape == whole.shape == (75, SIDE, 3)
    top = slice(0, 20) if kind != "BMP" else slice(-20, None)  # a BMP begins at the bottom
    assert np.abs(found[top].astype(int) - whole[top]).mean() < 12
    assert not ImageFile.LOAD_TRUNCATED_IMAGES  # others' files are read as before


def test_the_real_truncated_picture_is_shown(shared_data):
    preview = shown((shared_data / "odd-images" / "truncated_jpeg.jpg").read_bytes())
    assert (preview.width, preview.height) == (100, 100) and np.ptp(pixels_of(preview.thumbnail)) > 100


def test_transparency_is_white_and_wide_values_are_scaled(encode):
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (255, 0, 0, 255)
    (red, white) = pixels_of(shown(encode(clear, "PNG")).thumbnail)[[0, 3], 0]
    assert red.tolist() == [255, 0, 0] and white.tolist() == [255, 255, 255]
    deep = np.array([[1000, 1100], [1200, 1510]], np.uint16)
    found = pixels_of(shown(encode(Image.fromarray(deep), "TIFF")).thumbnail, "L")
    assert found.tolist() == [[0, 50], [100, 255]]
    inks = shown(encode(Image.new("CMYK", (3, 3), (0, 255, 255, 0)), "JPEG"))
    np.testing.assert_allclose(pixels_of(inks.thumbnail)[1, 1], [255, 0, 0], atol=2)


def test_a_trap_is_not_decoded():
    """A PNG of 67 million pixels in a few kilobytes, and a JPEG that is scaled while it is decoded."""
    side = 8192
    row = zlib.compress(bytes(side + 1) * side, 9)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", row), (b"IEND", b""))
    contents = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    assert side * side > MOST_PIXELS and preview_file(contents) is None


def test_a_large_jpeg_is_scaled_while_it_is_decoded(encode):
    preview = shown(encode(Image.new("L", (8192, 4096), 77), "JPEG"))
    assert (preview.width, preview.height) == (8192, 4096)
    assert pixels_of(preview.thumbnail, "L").shape == (56, 112)


def test_no_bytes_raise_an_exception_or_warn(smooth, encode):
    rng = np.random.default_rng(0)
    whole = [encode(smooth(3), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for contents in (b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", bytes(99)):
            assert preview_file(contents) is None
        for contents in whole:
            for _ in range(40):
                damaged = bytearray(contents[: rng.integers(1, len(contents) + 1)])
                for at in rng.integers(0, len(damaged), 3):
                    damaged[at] = rng.integers(256)
                preview_file(bytes(damaged))


def test_a_small_picture_stays_exact_and_a_large_one_is_reduced(smooth):
    pixels = smooth(4, 28, 28)
    np.testing.assert_array_equal(pixels_of(to_data_uri(Image.fromarray(pixels))), pixels)
    large = to_data_uri(Image.fromarray(smooth(5, 600, 300)))
    assert large.startswith("data:image/jpeg") and pixels_of(large).shape == (112, 56, 3)
    assert pixels_of(to_data_uri(Image.fromarray(smooth(5, 600, 300)), side=40)).shape == (40, 20, 3)
