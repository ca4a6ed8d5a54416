"""Random changes to training pictures: what Keras' `ImageDataGenerator` did, with its names and units, in the graph.

    AUGMENT = Augmentation(rotation_range=40, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
    batches.enumerate().map(lambda step, images: AUGMENT(images, (seed, step)))

The same (seed, step) gives the same batch on every machine. With the same parameters, `apply` returns what the old
class's `apply_transform` returns for an array of the same type: order 0 exactly; order 1 for float32 to the precision
of float32, for uint8 with the same rounding, except for about one value in 100,000, which is at a half and differs by
one. Fractions after a channel shift are rounded. The old class has these surprising properties, which are kept:

* `shear_range` is in degrees, and the horizontal and the vertical zoom are drawn independently;
* the centre of an oblong picture is at (width / 2, height / 2), rows first, and `height_shift_range` moves along the
  width, `width_shift_range` along the height (keras.src.legacy swaps the axes of the whole matrix);
* a shift given as an int n is 0 to n - 1 pixels, so 1 never shifts, while 1.0 is any shift up to one pixel;
* `brightness_range` cuts off fractions, so pictures scaled to 0..1 become black: keep them at 0..255.

This module checks the configuration and loads no TensorFlow; `data.augmentation.ops` is loaded by the first picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from data.errors import UsageError, unknown
from data.fields import check_fields

if TYPE_CHECKING:
    import tensorflow as tf

    from data.augmentation.draws import Draws

FillMode = Literal["constant", "nearest", "reflect", "wrap"]
FILL_MODES = ("constant", "nearest", "reflect", "wrap")
_MOST = 1e6  # degrees, pixels or units of colour; float32 numbers of this size are still exact enough


@dataclass(frozen=True)
class Augmentation:
    """The fields of `ImageDataGenerator` that change pictures at random. By default, nothing changes.

    Attributes:
      rotation_range: largest rotation in either direction, degrees.
      width_shift_range: shift along the height: the old class swaps the axes. A float is a range in either direction: a
        share of the size if below 1, otherwise pixels. An int n is one of 0 to n - 1 pixels in either direction; a list
        is one of its values in either direction: shares if all are below 1.
      height_shift_range: the same, along the width.
      brightness_range: (lowest, highest) factor, for grey and RGB pictures; None: not changed.
      shear_range: largest shear in either direction, degrees.
      zoom_range: (lowest, highest) factor, or z for (1 - z, 1 + z); drawn for each axis; above 1 shows more.
      channel_shift_range: largest number added to or subtracted from all pixels; the result is clipped to the
        picture's own extremes.
      fill_mode: what fills the outside: "constant" (`cval`), "nearest" (the edge), "reflect" (mirrored, the edge twice)
        or "wrap" (repeated).
      cval: the value outside for "constant".
      horizontal_flip: whether to mirror every second picture left to right, at random.
      vertical_flip: whether to mirror every second picture top to bottom, at random.
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
        self._check_ranges()
        self._check_choices()
        check_fields(self, "augment")

    def _check_ranges(self) -> None:
        for name in ("rotation_range", "shear_range", "channel_shift_range"):
            _require_number(name, getattr(self, name), least=0)
        _require_number("cval", self.cval)
        for name in ("width_shift_range", "height_shift_range", "zoom_range", "brightness_range"):
            if isinstance(getattr(self, name), Sequence):
                object.__setattr__(self, name, tuple(getattr(self, name)))  # a list has no hash
        for name in ("width_shift_range", "height_shift_range"):
            _require_shift(name, getattr(self, name))
        if not isinstance(self.zoom_range, tuple):
            _require_number("zoom_range", self.zoom_range, least=0)
        _require_pair("zoom_range", self.zoom_limits)
        if self.brightness_range is not None:
            _require_pair("brightness_range", self.brightness_range)

    def _check_choices(self) -> None:
        if self.fill_mode not in FILL_MODES:
            raise unknown("fill_mode", str(self.fill_mode), FILL_MODES)
        for name in ("horizontal_flip", "vertical_flip"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"augment.{name} must be True or False, got {getattr(self, name)!r}")
        if self.interpolation_order not in (0, 1):
            raise UsageError(
                f"augment.interpolation_order must be 0 (nearest) or 1 (bilinear), got {self.interpolation_order!r}"
            )

    @property
    def zoom_limits(self) -> tuple[float, float]:
        """Lowest and highest factor."""
        if isinstance(self.zoom_range, tuple):
            return self.zoom_range
        return 1 - self.zoom_range, 1 + self.zoom_range

    def __call__(self, images: tf.Tensor, seed: tf.Tensor | tuple[Any, Any]) -> tf.Tensor:
        """Draw parameters and apply them, compiled by XLA: once for each shape, which takes about a second.

        Args:
          images: uint8 or float32 [N, h, w, c], values 0..255.
          seed: (seed, step), whole numbers or an int [2]: the same pair gives the same changes.

        Returns:
          Type and shape of `images`.

        Raises:
          UsageError: If h, w or c is unknown when the graph is built, or not supported.
        """
        from data.augmentation import ops

        return ops.augment(images, seed, self)

    def draw(self, seed: tf.Tensor | tuple[int, int], n: tf.Tensor | int, height: int, width: int) -> Draws:
        """Draw parameters for `n` pictures, from the distributions of `ImageDataGenerator.get_random_transform`."""
        from data.augmentation import draws

        return draws.draw(self, seed, n, height, width)

    def apply(self, images: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Change each picture by its parameters, as `ImageDataGenerator.apply_transform` does, compiled by XLA.

        Args:
          images: uint8 or float32 [N, h, w, c].
          draws: parameters of N pictures.

        Returns:
          Type and shape of `images`.

        Raises:
          UsageError: If h, w or c is unknown when the graph is built, or not supported.
        """
        from data.augmentation import ops

        return ops.apply_draws(images, draws, self)


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
