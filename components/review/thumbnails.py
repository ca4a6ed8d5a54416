"""Thumbnails: small pictures as data URIs, which a page holds without another file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from data.images import previews

SIDE = previews.SIDE


def thumbnail(pixels: npt.NDArray[np.uint8], side: int = SIDE) -> str:
    """Return decoded pixels as a data URI: a JPEG, or a PNG if the picture is not reduced and that is small.

    Args:
      pixels: uint8 [height, width, channels], with 1 or 3 channels.
      side: Longest side of the thumbnail; a smaller picture keeps its size.
    """
    return previews.to_data_uri(Pil.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), side)
