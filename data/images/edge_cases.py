"""Kinds of pictures that data sets often lack but users send: how to recognise each, and how to make one."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from data.images.formats import DECODED, read_header
from data.images.headers import ALPHA, ANIMATION, ORIENTATION

SIDE = 256  # pixels of the longer side of a generated picture: large enough to be resized, small enough for any message
STRIP = 64  # width of a strip in units of its height
_PNG_BITS = 24  # offset of the bits a channel
# EXIF orientations: shown rotated by 90 degrees clockwise, as of a telephone held upright; shown mirrored and rotated.
_TURN, _MIRROR = 6, 5


def edge_cases_of(contents: bytes) -> set[str]:
    """Return those of `EDGE_CASES` that an encoded picture is; never raise an exception for any bytes."""
    header = read_header(contents)
    try:
        with Pil.open(io.BytesIO(contents)) as image:  # reads the header only
            (width, height), progressive = image.size, "progressive" in image.info
    except Exception:  # PIL has many ways to refuse a file
        width = height = 0
        progressive = False
    is_jpeg, channels = header.format == "jpeg", header.channels
    found = {
        "grey JPEG": is_jpeg and channels == 1,
        "RGBA PNG": header.format == "png" and channels == 4,
        "16-bit PNG": header.format == "png" and contents[_PNG_BITS : _PNG_BITS + 1] == b"\x10",
        "CMYK JPEG": is_jpeg and channels == 4,
        "GIF": header.format == "gif",
        "BMP": header.format == "bmp",
        "WebP": header.format == "webp" and not header.remarks,
        "WebP with alpha": header.format == "webp" and ALPHA in header.remarks,
        "animated WebP": header.format == "webp" and ANIMATION in header.remarks,
        "JPEG XL": header.format == "jxl",
        "EXIF-rotated JPEG": is_jpeg and header.orientation > 1,
        "EXIF-mirrored PNG": header.format == "png" and header.orientation > 1,
        "EXIF-rotated WebP": header.format == "webp" and header.orientation > 1,
        "progressive JPEG": is_jpeg and progressive,
        "one pixel": width * height == 1,
        "wide strip": width >= STRIP * height > 0,
    }
    return {kind for kind, it_is in found.items() if it_is and kind in EDGE_CASES}


def make_edge_case(kind: str, pixels: NDArray[np.uint8], max_pixels: int) -> bytes:
    """Make a picture of one of `EDGE_CASES` from the pixels of another.

    Args:
      kind: one of `EDGE_CASES`.
      pixels: uint8 [height, width, 3].
      max_pixels: largest number of pixels of the result. Larger pictures are scaled down; no side is longer than
        `SIDE`, except that of a strip.

    Returns:
      The encoded file.
    """
    image = Pil.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    if image.width * image.height > max_pixels:
        scale = math.sqrt(max_pixels / (image.width * image.height))
        # A side has at least one pixel, so with a very low limit the other side must become shorter.
        width = min(max(1, int(image.width * scale)), max_pixels)
        image = image.resize((width, max(1, min(int(image.height * scale), max_pixels // width))))
    return _MAKERS[kind](image, max_pixels)


def _saved(image: Pil.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _rgba(image: Pil.Image, kind: str = "PNG") -> bytes:
    """Encode with an alpha channel from 0 to 255: the result differs if a client blends it instead of dropping it."""
    alpha = np.linspace(0, 255, image.width).astype(np.uint8)
    image.putalpha(Pil.fromarray(np.tile(alpha, (image.height, 1))))
    return _saved(image, kind)


def _deep(image: Pil.Image, _: int) -> bytes:
    """Encode 16 bits; the lower 8 are noise, so that the result differs if a client rounds or clips."""
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    return _saved(Pil.fromarray(256 * grey + grey[::-1]), "PNG")


def _animated(image: Pil.Image, _: int) -> bytes:
    return _saved(image, "WEBP", save_all=True, append_images=[image.transpose(Pil.Transpose.ROTATE_180)])


def _turned(image: Pil.Image, kind: str, orientation: int = _TURN, order: str = ">") -> bytes:
    exif = Pil.Exif()
    exif.endian = order
    exif[ORIENTATION] = orientation
    return _saved(image, kind, exif=exif)


def _strip(image: Pil.Image, max_pixels: int) -> bytes:
    height = max(1, min(8, math.isqrt(max_pixels // STRIP)))
    return _saved(image.resize((min(STRIP * height, max_pixels), height)), "PNG")


# One pixel, made with cjxl: Pillow does not write JPEG XL.
_JPEG_XL = bytes.fromhex("ff0a001010505c080802010034004b188b15c2411d1e4085e7c201")

_MAKERS: dict[str, Callable[[Pil.Image, int], bytes]] = {
    "grey JPEG": lambda image, _: _saved(image.convert("L"), "JPEG"),
    "RGBA PNG": lambda image, _: _rgba(image),
    "16-bit PNG": _deep,
    "CMYK JPEG": lambda image, _: _saved(image.convert("CMYK"), "JPEG"),
    "GIF": lambda image, _: _saved(image, "GIF"),
    "BMP": lambda image, _: _saved(image, "BMP"),
    "EXIF-rotated JPEG": lambda image, _: _turned(image, "JPEG"),
    "EXIF-mirrored PNG": lambda image, _: _turned(image, "PNG", _MIRROR, "<"),
    "progressive JPEG": lambda image, _: _saved(image, "JPEG", progressive=True, subsampling="4:2:0"),
    "one pixel": lambda image, _: _saved(image.resize((1, 1)), "PNG"),
    "wide strip": _strip,
}
if "webp" in DECODED:
    _MAKERS |= {
        "WebP": lambda image, _: _saved(image, "WEBP"),
        "WebP with alpha": lambda image, _: _rgba(image, "WEBP"),
        "animated WebP": _animated,
        "EXIF-rotated WebP": lambda image, _: _turned(image, "WEBP"),
    }
if "jxl" in DECODED:
    _MAKERS["JPEG XL"] = lambda *_: _JPEG_XL
EDGE_CASES = tuple(_MAKERS)
