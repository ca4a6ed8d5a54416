"""Random parameters of each picture: the distributions of `ImageDataGenerator.get_random_transform`, without state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

if TYPE_CHECKING:
    from data.augmentation.config import Augmentation

_COLUMNS = 12  # random numbers for each picture; a new parameter takes a new column, so that the others keep theirs


class Draws(NamedTuple):
    """The parameters of N pictures, with the names and units of the old class; float64 [N] unless stated otherwise.

    Attributes:
      theta: rotation, degrees.
      tx, ty: shifts, pixels; drawn from `height_shift_range` and `width_shift_range`.
      shear: degrees.
      zx, zy: zoom; above 1 shows more of the picture, smaller.
      flip_horizontal, flip_vertical: bool [N].
      channel_shift_intensity: added to the pixels; None: no shift.
      brightness: factor; None: not changed.
    """

    theta: tf.Tensor
    tx: tf.Tensor
    ty: tf.Tensor
    shear: tf.Tensor
    zx: tf.Tensor
    zy: tf.Tensor
    flip_horizontal: tf.Tensor
    flip_vertical: tf.Tensor
    channel_shift_intensity: tf.Tensor | None
    brightness: tf.Tensor | None


def draw(augmentation: Augmentation, seed: tf.Tensor, n: tf.Tensor | int, height: int, width: int) -> Draws:
    """Draw the parameters of the `n` pictures of a batch; those of picture i do not depend on `n`.

    Args:
      augmentation: the ranges.
      seed: two whole numbers, int [2].
      n: number of pictures.
      height: of the pictures, pixels; the base of shifts given as fractions.
      width: likewise.
    """
    seed = tf.cast(seed, tf.int64)
    # Bits, not floats: XLA makes other floats from the same bits. Philox: otherwise each device has another default.
    bits = tf.random.stateless_uniform([n, _COLUMNS], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    shares = tf.unstack(tf.cast(bits, tf.float64) * 2.0**-32, axis=1)  # in [0, 1)

    def between(column: int, low: float, high: float) -> tf.Tensor:
        return low + shares[column] * (high - low)

    def around(column: int, reach: float) -> tf.Tensor:
        return between(column, -reach, reach)

    low, high = augmentation.zoom_limits
    channel_shift, brightness = augmentation.channel_shift_range, augmentation.brightness_range
    return Draws(
        theta=around(0, augmentation.rotation_range),
        tx=_shift(augmentation.height_shift_range, shares[1], shares[2], height),
        ty=_shift(augmentation.width_shift_range, shares[3], shares[4], width),
        shear=around(5, augmentation.shear_range),
        zx=between(6, low, high),
        zy=between(7, low, high),
        flip_horizontal=(shares[8] < 0.5) & augmentation.horizontal_flip,
        flip_vertical=(shares[9] < 0.5) & augmentation.vertical_flip,
        channel_shift_intensity=around(10, channel_shift) if channel_shift else None,
        brightness=between(11, *brightness) if brightness else None,
    )


def _shift(given: float | Sequence[float], share: tf.Tensor, sign: tf.Tensor, size: int) -> tf.Tensor:
    """Return shifts in pixels.

    A float is a range, a share of the size if below 1; an int n is one of 0 to n - 1, a list one of its values,
    each with either sign, as with `numpy.random.choice`.
    """
    if isinstance(given, float):
        pixels, largest = (2 * share - 1) * given, given
    else:
        values = list(range(given or 1)) if isinstance(given, int) else list(given)
        signs = tf.cast(tf.where(sign < 0.5, -1, 1), tf.float64)
        pixels = tf.gather(tf.constant(values, tf.float64), tf.cast(share * len(values), tf.int32)) * signs
        largest = given if isinstance(given, int) else max(given)
    return pixels * size if largest < 1 else pixels
