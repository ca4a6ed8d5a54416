"""Channel shift and brightness of each picture of a batch, with the old class's arithmetic and its rounding."""

from __future__ import annotations

import tensorflow as tf


def adjust(images: tf.Tensor, channel_shift: tf.Tensor | None, brightness: tf.Tensor | None) -> tf.Tensor:
    """Do `apply_channel_shift`, then `apply_brightness_shift(scale=False)`, of keras.src.legacy.preprocessing.image.

    Args:
      images: uint8 or float32 [N, h, w, c]; for brightness c must be 1 or 3.
      channel_shift: float64 [N], added to every pixel; the result is clipped to the picture's own extremes. None:
        no shift.
      brightness: float64 [N], factor. None: not changed.

    Returns:
      Type and shape of `images`. Fractions, which the old class keeps, are rounded to nearest, halves up, for uint8.
    """
    if channel_shift is None and brightness is None:
        return images
    is_whole = images.dtype == tf.uint8
    values = tf.cast(images, tf.float64) if is_whole else images
    if channel_shift is not None:
        values = _shift_channels(values, channel_shift)
    values = tf.cast(values, tf.float32)
    if brightness is not None:
        values = _brighten(values, brightness)
    return tf.cast(tf.floor(values + 0.5), tf.uint8) if is_whole else values


def _each(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Reshape [N] to [N, 1, 1, 1]."""
    return tf.cast(values, dtype)[:, None, None, None]


def _extremes(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the least and the largest value of each picture, [N, 1, 1, 1]."""
    axes = (1, 2, 3)
    return tf.reduce_min(images, axes, keepdims=True), tf.reduce_max(images, axes, keepdims=True)


def _shift_channels(values: tf.Tensor, intensity: tf.Tensor) -> tf.Tensor:
    least, largest = _extremes(values)
    return tf.clip_by_value(values + _each(intensity, values.dtype), least, largest)


def _brighten(values: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiply by the factor as PIL does: on bytes, so fractions are cut off before and after; float32 to float32.

    A picture with a value outside 0..255 is rescaled to 0..255 and back, as in `array_to_img`.
    """
    least, largest = _extremes(values)
    stretched = (least < 0) | (largest > 255)
    spread = largest - least
    scaled = (values - least) / tf.where(spread == 0, tf.ones_like(spread), spread) * 255.0
    pixels = tf.floor(tf.where(stretched, scaled, values))
    brightened = tf.clip_by_value(tf.floor(pixels * _each(factor, tf.float32)), 0.0, 255.0)
    return tf.where(stretched, brightened / 255.0 * spread + least, brightened)
