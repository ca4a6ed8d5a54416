"""The facts read from a picture's first bytes, compared with PIL; and no bytes raise an exception."""

from __future__ import annotations

import io
import struct
import timeit

import numpy as np
import pytest
from PIL import Image as Pil

from data.images.formats import read_header
from data.images.headers import (
    ALPHA,
    CMYK,
    EXIF_ROTATION,
    PROFILE,
    REMARKS,
    SIXTEEN_BITS,
    Header,
    JpegFrame,
    jpeg_frame,
    without_handled,
)
from data.spec import Image, Vector

CHANNELS = {"1": 1, "L": 1, "I;16": 1, "LA": 2, "RGB": 3, "P": 3, "RGBA": 4, "CMYK": 4}


def tiff(orientation: int, order: str = "<", tag: int = 0x0112) -> bytes:
    """A TIFF header of one directory: another tag first, then the orientation (SHORT)."""
    directory = struct.pack(order + "HHHIHH", 2, 0x0110, 3, 1, 5, 0) + struct.pack(
        order + "HHIHH", tag, 3, 1, orientation, 0
    )
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory


def with_segment(jpeg: bytes, marker: int, payload: bytes, fill: int = 0) -> bytes:
    """The JPEG with one more segment after its first two bytes."""
    head = b"\xff" * fill + bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2)
    return jpeg[:2] + head + payload + jpeg[2:]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "JPEG") for mode in ("L", "RGB")]
    + [("JPEG", "CMYK"), ("BMP", "RGB"), ("BMP", "P"), ("GIF", "P")]
    + [("PNG", mode) for mode in ("1", "LA", "P", "RGBA")],
)
def test_format_and_channels_are_pils(kind, mode, smooth, encode):
    image = Pil.fromarray(smooth(1))
    contents = encode(image.quantize(16) if mode == "P" else image.convert(mode), kind)
    seen = Pil.open(io.BytesIO(contents))
    remarks = {"CMYK": (CMYK,), "LA": (ALPHA,), "RGBA": (ALPHA,)}.get(mode, ())
    assert read_header(contents) == Header(str(seen.format).lower(), CHANNELS[seen.mode], 1, remarks)


def test_a_32_bit_bmp(smooth, encode):
    contents = encode(Pil.fromarray(smooth(1)).convert("RGBA"), "BMP")
    assert int.from_bytes(contents[28:30], "little") == 32  # biBitCount; PIL shows such a file as RGB
    assert read_header(contents) == Header("bmp", 4)


def test_a_16_bit_png(encode):
    assert read_header(encode(np.ones((3, 4), np.uint16), "PNG")) == Header("png", 1, 1, (SIXTEEN_BITS,))


def test_a_progressive_jpeg_behind_long_segments(smooth, encode):
    contents = encode(smooth(1), "JPEG", progressive=True)
    for _ in range(3):
        contents = with_segment(contents, 0xE2, bytes(60_000))
    assert Pil.open(io.BytesIO(contents)).info["progressive"]
    assert read_header(contents) == Header("jpeg", 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_pil_writes_and_reads_it(orientation, smooth, encode):
    exif = Pil.Exif()
    exif[0x0112] = orientation
    contents = encode(smooth(1), "JPEG", exif=exif)
    assert Pil.open(io.BytesIO(contents)).getexif()[0x0112] == orientation
    assert read_header(contents) == Header("jpeg", 3, orientation, (EXIF_ROTATION,) * (orientation > 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_both_byte_orders(order, orientation, smooth, encode):
    contents = with_segment(encode(smooth(1), "JPEG"), 0xE1, b"Exif\0\0" + tiff(orientation, order), fill=2)
    assert Pil.open(io.BytesIO(contents)).getexif().get(0x0112) == orientation
    assert read_header(contents) == Header("jpeg", 3, orientation, (EXIF_ROTATION,) * (orientation > 1))


@pytest.mark.parametrize(
    "payload",
    [
        b"Exif\0\0" + tiff(0),
        b"Exif\0\0" + tiff(9),
        b"Exif\0\0" + tiff(6, tag=0x0113),
        b"Exif\0\0" + tiff(6)[:12],
        b"Exif\0\0" + b"XX" + tiff(6)[2:],
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0",
        b"http://ns.adobe.com/xap/1.0/\0" + tiff(6),
    ],
)
def test_an_orientation_that_means_nothing_is_upright(payload, smooth, encode):
    assert read_header(with_segment(encode(smooth(1), "JPEG"), 0xE1, payload)) == Header("jpeg", 3, 1)


@pytest.mark.parametrize(
    "name", ["hopper_gray.jpg", "hopper.gif", "hopper.bmp", "pil_sample_cmyk.jpg", "Landscape_6.jpg"]
)
def test_the_odd_pictures_are_as_pil_sees_them(name, shared_data):
    contents = (shared_data / "odd-images" / name).read_bytes()
    seen = Pil.open(io.BytesIO(contents))
    orientation = seen.getexif().get(0x0112, 1)
    remarks = (EXIF_ROTATION,) * (orientation > 1) + (CMYK,) * (seen.mode == "CMYK")
    expected = Header(str(seen.format).lower(), CHANNELS[seen.mode], orientation, remarks)
    assert read_header(contents) == expected
    assert (expected.orientation == 6) == (name == "Landscape_6.jpg")


def test_remarks_on_what_the_task_handles_are_left_out():
    found = (EXIF_ROTATION, ALPHA, CMYK)
    assert without_handled(found, Vector(3)) == without_handled(found, Image(8, 8)) == found
    assert without_handled(found, Image(8, 8, orientation="exif")) == (ALPHA, CMYK)
    assert without_handled(found, Image(8, 8, background="white")) == (EXIF_ROTATION, CMYK)


def test_what_is_no_picture():
    for contents in (b"", b"text", b"RIFF\0\0\0\0WAVE", b"II*\0"):
        assert read_header(contents) == Header("", 0)


def test_random_bytes_never_raise():
    rng = np.random.default_rng(0)
    magics = (b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"")
    for number in range(6000):
        header = read_header(magics[number % len(magics)] + rng.bytes(int(rng.integers(0, 90))))
        assert header.format in ("jpeg", "png", "gif", "bmp", "") and 1 <= header.orientation <= 8
        assert set(header.remarks) <= set(REMARKS)


def test_a_file_cut_at_any_byte_never_raises(smooth, encode):
    for kind in ("JPEG", "PNG", "GIF", "BMP"):
        contents = encode(smooth(1), kind)
        if kind == "JPEG":
            contents = with_segment(contents, 0xE1, b"Exif\0\0" + tiff(6))
        whole = read_header(contents)
        for length in range(len(contents)):
            cut = read_header(contents[:length])
            assert cut.channels in (0, whole.channels) and cut.orientation in (1, whole.orientation)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB (1998)", "sRGB IEC61966-2.1"])
@pytest.mark.parametrize("code", ["latin-1", "utf-16-be"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_profiles_of_more_colours(kind, code, name, smooth, encode):
    """By the profile's description, in the text of ICC's versions 2 and 4; of a PNG by the profile's name."""
    contents = encode(smooth(1), kind, icc_profile=bytes(128) + name.encode(code) + bytes(40))
    if kind == "PNG":
        contents = contents.replace(b"ICC Profile\0", name.encode() + b"\0")
    assert read_header(contents).remarks == (() if "sRGB" in name else (PROFILE,))


def test_a_pngs_exif_as_pil_writes_and_reads_it(smooth, encode):
    exif = Pil.Exif()
    exif[0x0112] = 6
    contents = encode(smooth(1), "PNG", exif=exif)
    assert Pil.open(io.BytesIO(contents)).getexif()[0x0112] == 6
    assert read_header(contents) == Header("png", 3, 6, (EXIF_ROTATION,))


def test_the_frame_of_a_jpeg(smooth, encode):
    for options, marker in (({}, 0xC0), ({"progressive": True}, 0xC2)):
        assert jpeg_frame(encode(smooth(1), "JPEG", **options)) == JpegFrame(marker, 8, 3)
    assert jpeg_frame(b"\xff\xd8\xff") == JpegFrame()


def test_reading_a_large_animation_is_quick(encode):
    """A frame of megabytes has thousands of blocks: walked, not parsed."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000), np.uint8)
    contents = encode(Pil.fromarray(noise), "GIF", save_all=True, append_images=[Pil.fromarray(255 - noise)])
    assert len(contents) > 2_000_000
    assert timeit.timeit(lambda: read_header(contents), number=10) / 10 < 0.02
