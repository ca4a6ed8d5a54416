"""Decode single files as the model's graph does, without building a graph: that takes seconds, a picture none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from data.images import ops
from data.images.formats import decoder_name, read_header
from data.spec import Image

Pixels = npt.NDArray[np.uint8]


def decode_file(contents: bytes, spec: Image) -> Pixels:
    """Return a file's pixels as the model decodes them, in full size and upright if it turns them.

    Args:
      contents: The encoded file.
      spec: How the model decodes; its size is not used.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: If it cannot be decoded.
    """
    with tf.device("CPU:0"):
        name = decoder_name(contents)
        decoded = ops.decode_as(name, tf.constant(contents), spec.channels, spec.max_pixels, spec.background)
    pixels: Pixels = decoded.numpy()
    return _turned(pixels, read_header(contents).orientation) if spec.orientation == "exif" else pixels


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror by the EXIF orientation, 1 to 8, as `data.images.exif` does."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def decode_for_model(contents: bytes, spec: Image) -> Pixels:
    """Return a file's pixels as the model gets them, but for `shrink_on_load`: uint8 [height, width, channels].

    Args:
      contents: The encoded file.
      spec: How the model decodes and resizes.
    """
    pixels = decode_file(contents, spec)
    if pixels.shape == spec.shape:
        return pixels
    with tf.device("CPU:0"):
        return np.asarray(ops.resize(tf.constant(np.ascontiguousarray(pixels)), spec))
