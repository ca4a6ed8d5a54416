"""Decode single files as the model's graph does, without building a graph: that takes seconds, a picture none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from data.images import ops
from data.images.formats import decoder_name, read_header
from data.spec import Image

_BATCH = 32  # files decoded in one call

Pixels = npt.NDArray[np.uint8]


def decode_file(contents: bytes, spec: Image) -> Pixels:
    """Return a file's pixels as the model decodes them, in full size and upright if it turns them.

    Args:
      contents: The encoded file of a record: the ingestion has checked it.
      spec: How the model decodes; its size is not used.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: If it cannot be decoded.
    """
    name = decoder_name(contents)
    with tf.device("CPU:0"):
        if name in ("jpeg", "png") and not spec.background:
            decoded = ops.decode_checked(tf.constant(contents), spec.channels)
        else:
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


def decode_for_model(files: Sequence[bytes], spec: Image) -> Pixels:
    """Return the pixels of files as the model gets them, but for `shrink_on_load`.

    Pictures of the same size are resized together.

    Args:
      files: N encoded files.
      spec: How the model decodes and resizes.

    Returns:
      uint8 [N, height, width, channels].
    """
    decoded = [decode_file(contents, spec) for contents in files]
    found = np.zeros((len(files), *spec.shape), np.uint8)
    for shape in {one.shape for one in decoded}:
        rows = [row for row, one in enumerate(decoded) if one.shape == shape]
        some = np.stack([decoded[row] for row in rows])
        with tf.device("CPU:0"):
            found[rows] = some if shape == spec.shape else ops.resize(tf.constant(some), spec).numpy()
    return found


def decode_as_served(files: Sequence[bytes], spec: Image) -> Pixels:
    """Return the pixels of files as the model gets them, `shrink_on_load` included: only that takes a graph.

    Args:
      files: N encoded files.
      spec: How the model decodes and resizes.

    Returns:
      uint8 [N, height, width, channels].
    """
    if not spec.shrink_on_load:
        return decode_for_model(files, spec)
    decode = tf.function(
        lambda contents: ops.decode_batch(contents, spec), [tf.TensorSpec([None], tf.string)], autograph=False
    )
    with tf.device("CPU:0"):
        parts = [decode(tf.constant(list(files[start : start + _BATCH]))) for start in range(0, len(files), _BATCH)]
    return np.concatenate([np.asarray(one) for one in parts])
