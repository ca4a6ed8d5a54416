"""Previews: small pictures as data URIs, also of files that Pillow can show though TensorFlow cannot decode them."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image as Pil
from PIL import ImageFile

SIDE = 112  # pixels of the longer side, at most
MOST_PIXELS = 2**24  # of a file, after a JPEG was scaled while it is decoded: a quarantine may hold traps
MOST_BYTES = 2**26  # of a file
_SMALL_PNG = 3000  # bytes up to which a picture that is not reduced stays exact
# Without the formats that Pillow hands to other programs (EPS to Ghostscript), and those that it cannot recognize.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "PPM", "ICO", "PSD", "DDS", "AVIF")
_LOCK = threading.Lock()  # of Pillow's setting for truncated files, and of Python's for warnings


class Preview(NamedTuple):
    """A small picture of a file.

    Attributes:
      thumbnail: Data URI of a PNG or JPEG of at most `SIDE` pixels.
      width: Of the file, in pixels.
      height: Of the file, in pixels.
    """

    thumbnail: str
    width: int
    height: int


def preview_file(contents: bytes) -> Preview | None:
    """Return a preview of an encoded picture, of a truncated one as far as it goes; None if Pillow cannot show it.

    Never raise an exception for any bytes. Transparent pixels are shown on white, and a wide range of values (16 bits,
    numbers) between its smallest and its largest.

    Args:
      contents: The file.
    """
    if not 0 < len(contents) <= MOST_BYTES:
        return None
    try:
        with _truncated_files_allowed():
            return _preview(contents)
    except Exception:  # Pillow has many ways to refuse a file
        return None


def to_data_uri(picture: Pil.Image, side: int = SIDE) -> str:
    """Return a picture as a data URI, reduced if need be: a PNG if that is small or exact at little cost, or a JPEG.

    Args:
      picture: Of the mode "L" or "RGB"; it is reduced in place.
      side: Longest side of the result; a smaller picture keeps its size.
    """
    is_whole = max(picture.size) <= side
    if not is_whole:
        picture.thumbnail((side, side), Pil.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=82)
    kind, content = "jpeg", jpeg.getvalue()
    if is_whole:
        png = io.BytesIO()
        picture.save(png, "PNG", optimize=True)
        if len(png.getvalue()) <= max(_SMALL_PNG, len(content)):
            kind, content = "png", png.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@contextlib.contextmanager
def _truncated_files_allowed() -> Iterator[None]:
    """Let Pillow read what there is of a truncated file, without its warnings."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _preview(contents: bytes) -> Preview | None:
    Pil.init()
    known = [name for name in _FORMATS if name in Pil.OPEN]
    with Pil.open(io.BytesIO(contents), formats=known) as image:
        width, height = image.size
        image.draft(None, (SIDE, SIDE))
        if image.width * image.height > MOST_PIXELS:
            return None
        return Preview(to_data_uri(_to_bytes(image)), width, height)


def _to_bytes(image: Pil.Image) -> Pil.Image:
    """Return a picture of any mode as "L" or "RGB"."""
    if image.mode in ("L", "RGB"):
        image.load()
        return image
    if image.mode.startswith(("I", "F")):
        return _to_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        above = image.convert("RGBA")
        below = Pil.new("RGBA", above.size, "white")
        return Pil.alpha_composite(below, above).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _to_grey(image: Pil.Image) -> Pil.Image:
    """Return numbers as grey: the smallest becomes black, the largest white."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low) if high > low else 1)
    return Pil.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))
