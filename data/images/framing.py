"""Crop or pad a decoded picture to the aspect ratio of the result, exactly as Keras' `Resizing` layer does.

Keras computes the box in float32, and with all its rounding: `keras.src.backend.tensorflow.image.resize`, the same in
Keras 3.12 and 3.15. It pads before it resizes, so the picture's edge is blended with the black next to it. The box of
`smart_resize`, for `image_dataset_from_directory(crop_to_aspect_ratio=True)`, is the same; its results are not rounded.
"""

from __future__ import annotations

import tensorflow as tf

from data.spec import MAX_PIXELS, Image

_MOST_PADDING = 8  # pixels of a padded picture, in units of `Image.max_pixels`: an aspect ratio that is rarely exceeded


def fit_image(image: tf.Tensor, spec: Image) -> tf.Tensor:
    """Return [..., h, w, c] cropped or padded to the aspect ratio of the result; unchanged for `fit="stretch"`."""
    if spec.fit == "stretch":
        return image
    framed = _crop(image, spec) if spec.fit == "crop" else _pad(image, spec)
    rank = len(image.shape)
    framed.set_shape([*[None] * (rank - 1), image.shape[-1]])  # slicing a batch with unknown strides loses the rank
    return framed


def _crop(image: tf.Tensor, spec: Image) -> tf.Tensor:
    sides = tf.shape(image)[-3:-1]
    fitting = tf.minimum(tf.cast(_fitting(sides, spec), tf.int64), tf.cast(sides, tf.int64))
    kept = tf.maximum(tf.cast(fitting, tf.int32), 1)
    top, left = tf.unstack(_half(sides - kept))
    return image[..., top : top + kept[0], left : left + kept[1], :]


def _pad(image: tf.Tensor, spec: Image) -> tf.Tensor:
    batches = len(image.shape) - 3
    image = _thin_out(image, spec)
    sides = tf.shape(image)[-3:-1]
    padded = tf.maximum(sides, tf.cast(_fitting(sides, spec), tf.int32))
    before = _half(padded - sides)  # the same after it: an odd row or column is left out
    top, left = tf.unstack(before)
    return tf.pad(image, [*[[0, 0]] * batches, [top, top], [left, left], [0, 0]])


def _fitting(sides: tf.Tensor, spec: Image) -> tf.Tensor:
    """Return the height that fits the width, and the width that fits the height, float32 [2].

    Keras multiplies in int32, which overflows for large sides.
    """
    result = tf.constant([spec.height, spec.width], tf.int64)
    product = tf.cast(sides[::-1], tf.int64) * result
    return tf.cast(product, tf.float32) / tf.cast(result[::-1], tf.float32)


def _half(number: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(number, tf.float32) / 2, tf.int32)


def _thin_out(image: tf.Tensor, spec: Image) -> tf.Tensor:
    """Drop rows and columns of a strip, evenly, until the padded picture is not too large.

    A file of 8000 pixels may be a line of 1 x 8000, padded to 8000 x 8000.
    """
    most = max(spec.max_pixels, min(MAX_PIXELS, _MOST_PADDING * spec.max_pixels))
    sides = tf.shape(image)[-3:-1]
    padded = tf.maximum(tf.cast(sides, tf.float32), _fitting(sides, spec))
    every = tf.cast(tf.math.ceil(tf.sqrt(tf.reduce_prod(padded) / most)), tf.int32)
    return image[..., ::every, ::every, :]
