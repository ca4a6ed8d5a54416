"""The augmentation in the graph: parameters are drawn, become one affine transform, and change the pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from data.augmentation.affine import Flips, Terms, as_list, resample, terms
from data.augmentation.draws import Draws, draw
from data.augmentation.intensity import adjust
from data.errors import UsageError

if TYPE_CHECKING:
    from data.augmentation.config import Augmentation


def augment(images: tf.Tensor, seed: tf.Tensor | tuple[Any, Any], augmentation: Augmentation) -> tf.Tensor:
    """Draw parameters and apply them: `Augmentation.__call__`."""
    images = _checked(images, augmentation)
    pair = tf.stack([tf.cast(part, tf.int64) for part in tf.unstack(seed, num=2)])
    draws, where = _draw(pair, tf.shape(images)[0], *images.shape[1:3], augmentation)
    return _change_all(images, where, draws, augmentation)


def apply_draws(images: tf.Tensor, draws: Draws, augmentation: Augmentation) -> tf.Tensor:
    """Change each picture by its parameters: `Augmentation.apply`."""
    images = _checked(images, augmentation)
    return _change_all(images, _terms(draws, *images.shape[1:3]), draws, augmentation)


def matrices(draws: Draws, height: int, width: int) -> tf.Tensor:
    """Return the affine transforms that `apply_affine_transform` of keras.src.legacy.preprocessing.image composes.

    Rotation, shift, shear and zoom, in this order, are one matrix about a centre; then its two axes are swapped,
    also those of the centre. `data.augmentation.config` describes the consequences.

    Returns:
      float64 [N, 2, 3]: (row, column, 1) in the result to (row, column) in the picture, pixels.
    """
    theta, shear = (angle * (math.pi / 180) for angle in (draws.theta, draws.shear))
    cos, sin = tf.cos(theta), tf.sin(theta)
    xx, xy = cos * draws.zx, -tf.sin(theta + shear) * draws.zy
    yx, yy = sin * draws.zx, tf.cos(theta + shear) * draws.zy
    centre_x, centre_y = height / 2 - 0.5, width / 2 - 0.5
    x = cos * draws.tx - sin * draws.ty + centre_x - xx * centre_x - xy * centre_y
    y = sin * draws.tx + cos * draws.ty + centre_y - yx * centre_x - yy * centre_y
    return tf.stack([tf.stack([yy, yx, y], axis=1), tf.stack([xy, xx, x], axis=1)], axis=1)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _terms(draws: Draws, height: int, width: int) -> Terms:
    return terms(matrices(draws, height, width), Flips(draws.flip_horizontal, draws.flip_vertical), height, width)


def _change_all(images: tf.Tensor, where: Terms, draws: Draws, augmentation: Augmentation) -> tf.Tensor:
    """Change the pictures; the list and the terms are computed outside `_change`: see `data.augmentation.affine`."""
    changed = _change(as_list(images), where, draws, images.shape[-1], augmentation)
    return tf.ensure_shape(changed, images.shape)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _change(source: tf.Tensor, where: Terms, draws: Draws, channels: int, augmentation: Augmentation) -> tf.Tensor:
    fill_mode, cval, order = augmentation.fill_mode, augmentation.cval, augmentation.interpolation_order
    moved = resample(source, where, channels, fill_mode, cval, order)
    return adjust(moved, draws.channel_shift_intensity, draws.brightness)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _draw(seed: tf.Tensor, n: tf.Tensor, height: int, width: int, augmentation: Augmentation) -> tuple[Draws, Terms]:
    draws = draw(augmentation, seed, n, height, width)
    return draws, _terms(draws, height, width)


def _checked(images: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    images = tf.convert_to_tensor(images)
    if images.dtype not in (tf.uint8, tf.float32):
        raise UsageError(f"pictures to augment must be uint8 or float32, got {images.dtype.name}")
    if images.shape.rank != 4 or None in images.shape[1:]:
        raise UsageError(
            f"pictures to augment must be [N, height, width, channels] of known size, got {images.shape}",
            hint="Resize them first, or name their size with tf.ensure_shape.",
        )
    channels = images.shape[-1]
    if augmentation.brightness_range and channels not in (1, 3):
        raise UsageError(f"augment.brightness_range needs 1 or 3 channels, got {channels}")
    if images.dtype == tf.uint8 and channels > 4:
        raise UsageError(
            f"uint8 pictures to augment have at most 4 channels, got {channels}", hint="Cast them to float32."
        )
    return images
