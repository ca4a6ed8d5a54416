"""Thumbnails: small pictures as data URIs, which a page holds without another file."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

SIDE = 112  # pixels of the longer side, at most


def thumbnail(pixels: npt.NDArray[np.uint8], side: int = SIDE) -> str:
    """Return decoded pixels as a data URI: a JPEG, or a PNG if that is smaller or the picture is not reduced.

    Args:
      pixels: uint8 [height, width, channels], with 1 or 3 channels.
      side: Longest side of the thumbnail; a smaller picture keeps its size.
    """
    picture = Pil.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    is_small = max(picture.size) <= side
    picture.thumbnail((side, side), Pil.Resampling.LANCZOS)
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG", optimize=True)
    picture.save(jpeg, "JPEG", quality=82)
    is_png = len(png.getvalue()) <= len(jpeg.getvalue()) or (is_small and len(png.getvalue()) < 3000)
    kind, content = ("png", png) if is_png else ("jpeg", jpeg)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
