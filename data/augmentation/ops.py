"""Random changes to training pictures: what Keras' `ImageDataGenerator` did, by its own names and units, in the graph.

    AUGMENT = Augmentation(rotation_range=40, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
    batches.enumerate().map(lambda step, images: AUGMENT(images, (seed, step)))

The same (seed, step) gives the same batch wherever it runs. Given the same parameters, `apply` gives what the old
class's `apply_transform` gives for an array of the same type: order 0 exactly; order 1 for float32 to float32's
precision, for uint8 rounded alike but for about one value in 100,000, which lies at a half and is one unit off. What
channel shift leaves as a fraction of a uint8 is rounded. What may surprise is the old class's own:

* `shear_range` is in degrees, and the horizontal and the vertical zoom are drawn independently;
* the centre of an oblong picture is taken at (width / 2, height / 2), rows first, and `height_shift_range` moves along
  the width, `width_shift_range` along the height (keras.src.legacy swaps the axes of the whole matrix);
* an int n as a shift is one of 0 to n - 1 pixels, so 1 never shifts, where 1.0 is any shift up to one pixel;
* `brightness_range` cuts fractions off, so it blackens pictures scaled to 0..1: keep them at 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import tensorflow as tf

from data.augmentation.affine import FILL_MODES, FillMode, Flips, Terms, as_list, resample, terms
from data.augmentation.draws import Draws, draw
from data.augmentation.intensity import adjust
from data.errors import UsageError, unknown
from data.fields import check_fields

_MOST = 1e6  # degrees, pixels or units of colour; float32, which draws them, still tells neighbours apart


@dataclass(frozen=True)
class Augmentation:
    """The fields of `ImageDataGenerator` that change pictures at random. Its defaults: nothing changes.

    Attributes:
      rotation_range: up to so many degrees either way.
      width_shift_range, height_shift_range: a float is a range either way: a share of the size below 1, else pixels.
        An int n is one of 0 to n - 1 pixels either way, a list one of its values either way: shares if all are below 1.
      brightness_range: (lowest, highest) factor, for grey and RGB pictures; None: left as it is.
      shear_range: up to so many degrees either way.
      zoom_range: (lowest, highest) factor, or z for (1 - z, 1 + z); drawn for each axis, above 1 shows more.
      channel_shift_range: up to so much is added to or taken from all pixels, cut at the picture's own extremes.
      fill_mode: what lies outside: "constant", "nearest", "reflect" or "wrap"; see `data.augmentation.affine.resample`.
      cval: the value outside for "constant".
      horizontal_flip, vertical_flip: every second picture is mirrored.
      interpolation_order: 1 bilinear, 0 nearest.
    """

    rotation_range: float = 0.0
    width_shift_range: float | tuple[float, ...] = 0.0
    height_shift_range: float | tuple[float, ...] = 0.0
    brightness_range: tuple[float, float] | None = None
    shear_range: float = 0.0
    zoom_range: float | tuple[float, float] = 0.0
    channel_shift_range: float = 0.0
    fill_mode: FillMode = "nearest"
    cval: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    interpolation_order: int = 1

    def __post_init__(self) -> None:
        for name in ("rotation_range", "shear_range", "channel_shift_range"):
            _require_number(name, getattr(self, name), least=0)
        _require_number("cval", self.cval)
        for name in ("width_shift_range", "height_shift_range", "zoom_range", "brightness_range"):
            if isinstance(getattr(self, name), Sequence):
                object.__setattr__(self, name, tuple(getattr(self, name)))  # a list would not hash
        for name in ("width_shift_range", "height_shift_range"):
            _require_shift(name, getattr(self, name))
        if not isinstance(self.zoom_range, tuple):
            _require_number("zoom_range", self.zoom_range, least=0)
        _require_pair("zoom_range", self.zoom_limits)
        if self.brightness_range is not None:
            _require_pair("brightness_range", self.brightness_range)
        if self.fill_mode not in FILL_MODES:
            raise unknown("fill_mode", str(self.fill_mode), FILL_MODES)
        for name in ("horizontal_flip", "vertical_flip"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"augment.{name} must be True or False, got {getattr(self, name)!r}")
        if self.interpolation_order not in (0, 1):
            raise UsageError(
                f"augment.interpolation_order must be 0 (nearest) or 1 (bilinear), got {self.interpolation_order!r}"
            )
        check_fields(self, "augment")

    @property
    def zoom_limits(self) -> tuple[float, float]:
        """Lowest and highest factor."""
        if isinstance(self.zoom_range, tuple):
            return self.zoom_range
        return 1 - self.zoom_range, 1 + self.zoom_range

    def __call__(self, images: tf.Tensor, seed: tf.Tensor | tuple[Any, Any]) -> tf.Tensor:
        """`draw` and `apply` in one, compiled by XLA: once for each shape, which takes about a second.

        Args:
          images: uint8 or float32 [N, h, w, c], values 0..255.
          seed: (seed, step), whole numbers or an int [2]: the same pair gives the same changes.

        Returns:
          Type and shape of `images`.

        Raises:
          UsageError: h, w or c is not known when the graph is built, or not supported.
        """
        images = _checked(images, self)
        pair = tf.stack([tf.cast(part, tf.int64) for part in tf.unstack(seed, num=2)])
        draws, where = _draw(pair, tf.shape(images)[0], *images.shape[1:3], self)
        return _change_all(images, where, draws, self)

    def draw(self, seed: tf.Tensor | tuple[int, int], n: tf.Tensor | int, height: int, width: int) -> Draws:
        """Parameters for `n` pictures, by the distributions of `ImageDataGenerator.get_random_transform`."""
        return draw(self, tf.cast(seed, tf.int64), n, height, width)

    def apply(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        """What `ImageDataGenerator.apply_transform` makes of each picture with its parameters, compiled by XLA.

        Args:
          images: uint8 or float32 [N, h, w, c].
          draws: of N pictures.

        Returns:
          Type and shape of `images`.

        Raises:
          UsageError: h, w or c is not known when the graph is built, or not supported.
        """
        images = _checked(images, self)
        return _change_all(images, _terms(draws, *images.shape[1:3]), draws, self)


def matrices(draws: Draws, height: int, width: int) -> tf.Tensor:
    """The affine transforms that `apply_affine_transform` of keras.src.legacy.preprocessing.image composes.

    Rotation, shift, shear and zoom, in this order, are one matrix about a centre; then its two axes are swapped,
    the centre's with them, which the module's docstring tells the consequences of.

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


@tf.function(jit_compile=True)
def _terms(draws: Draws, height: int, width: int) -> Terms:
    return terms(matrices(draws, height, width), Flips(draws.flip_horizontal, draws.flip_vertical), height, width)


def _change_all(images: tf.Tensor, where: Terms, draws: Draws, augmentation: Augmentation) -> tf.Tensor:
    """The list and the terms are made before, not within: `data.augmentation.affine` tells why."""
    changed = _change(as_list(images), where, draws, images.shape[-1], augmentation)
    return tf.ensure_shape(changed, images.shape)


@tf.function(jit_compile=True)
def _change(source: tf.Tensor, where: Terms, draws: Draws, channels: int, augmentation: Augmentation) -> tf.Tensor:
    fill_mode, cval, order = augmentation.fill_mode, augmentation.cval, augmentation.interpolation_order
    moved = resample(source, where, channels, fill_mode, cval, order)
    return adjust(moved, draws.channel_shift_intensity, draws.brightness)


@tf.function(jit_compile=True)
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
        raise UsageError(f"uint8 pictures to augment have at most 4 channels, got {channels}; cast them to float32")
    return images


def _require_number(name: str, value: Any, least: float = -_MOST) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= _MOST:
        bound = "" if least == -_MOST else f" of at least {least:g}"
        bound = f" of at most {_MOST:g}" if isinstance(value, Real) and float(value) > _MOST else bound
        raise UsageError(f"augment.{name} must be a number{bound}, got {value!r}")


def _require_pair(name: str, value: Any) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise UsageError(f"augment.{name} must be two numbers (lowest, highest), got {value!r}")
    for one in value:
        _require_number(name, one, least=0)
    if value[0] > value[1]:
        raise UsageError(f"augment.{name} must be (lowest, highest), got {value!r}")


def _require_shift(name: str, value: Any) -> None:
    if not isinstance(value, tuple):
        _require_number(name, value, least=0)
        return
    if not value:
        raise UsageError(f"augment.{name} is an empty list: give 0 for no shift")
    for one in value:
        _require_number(name, one)
