"""One affine resampling of each picture of a batch, as `scipy.ndimage.affine_transform` does it for orders 0 and 1.

A coordinate is the sum of a term of its row and one of its column. Both are whole multiples of 2^-44 pixel, so sums are
exact: eagerly, in tf.data, in a model, on a CPU or a GPU, a pixel is on the same side of a border and of a half.
Bilinear weights are float32: a rounded uint8 equals scipy's, except within 0.0001 of a half.

It is fast on a CPU because XLA makes one loop of it that LLVM can vectorise. Three things prevent that: an operand of
`gather` that was reshaped in the same function (XLA then divides to recompute its indices), terms computed in the same
function (XLA multiplies 64-bit numbers for each pixel), and a gather of bytes (there is an instruction for words only).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from data.augmentation.config import FillMode

_BITS = 44  # of a coordinate's fraction; 19 are left for whole pixels and a sign
_HALF = 1 << 31  # of a fraction in 2^-32
_FARTHEST = 2.0**16  # pixels; larger shifts and slopes are clipped, so that sums fit in 64 bits

Corner = Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]  # channels of the pixels (row, column)


class Flips(NamedTuple):
    """Which pictures to mirror after the resampling: two bool [N]."""

    horizontal: tf.Tensor
    vertical: tf.Tensor


class Terms(NamedTuple):
    """The coordinates in the picture of pixel (i, j) of a result, in 2^-44 pixel.

    The row is `rows[0][n, i] + rows[1][n, j]`, the column `columns[0][n, i] + columns[1][n, j]`; int64 [N, h], [N, w].
    """

    rows: tuple[tf.Tensor, tf.Tensor]
    columns: tuple[tf.Tensor, tf.Tensor]


class _Coordinates(NamedTuple):
    """Whole pixels, rounded down, int32 [N, h, w], and the fraction, uint32 [N, h, w] in 2^-32 pixel."""

    whole: tf.Tensor
    part: tf.Tensor


def terms(matrices: tf.Tensor, flips: Flips, height: int, width: int) -> Terms:
    """Return the coordinates for the matrices; a picture is mirrored by reading its terms backwards.

    Args:
      matrices: float64 [N, 2, 3]: (row, column, 1) of a pixel of the result to (row, column) in the picture, pixels.
      flips: which results to mirror.
      height: of the pictures, pixels.
      width: of the pictures, pixels.
    """
    limits = tf.constant([_FARTHEST / height, _FARTHEST / width, _FARTHEST], tf.float64)
    fixed = tf.cast(tf.round(tf.clip_by_value(matrices, -limits, limits) * 2.0**_BITS), tf.int64)
    down, along = tf.range(height, dtype=tf.int64), tf.range(width, dtype=tf.int64)
    down = tf.where(flips.vertical[:, None], height - 1 - down, down)
    along = tf.where(flips.horizontal[:, None], width - 1 - along, along)

    def one(axis: int) -> tuple[tf.Tensor, tf.Tensor]:
        return fixed[:, axis, 2, None] + fixed[:, axis, 0, None] * down, fixed[:, axis, 1, None] * along

    return Terms(one(0), one(1))


def as_list(images: tf.Tensor) -> tf.Tensor:
    """Return the pictures as the flat list of pixels that `resample` takes.

    float32 [N, h, w, c] becomes float32 [N * h * w * c]. uint8 [N, h, w, 1 to 4] becomes int32 [N * h * w] with the
    bytes of a pixel in one word, so that one look-up finds all of them.
    """
    _, height, width, channels = images.shape
    if images.dtype != tf.uint8:
        return tf.reshape(images, [-1])
    if channels == 3 and height * width % 4 == 0:
        return _four_in_three(tf.bitcast(tf.reshape(images, [-1, 3, 4]), tf.uint32))
    return tf.bitcast(tf.pad(tf.reshape(images, [-1, channels]), [[0, 0], [0, 4 - channels]]), tf.int32)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _four_in_three(words: tf.Tensor) -> tf.Tensor:
    """Convert uint32 [n, 3], 4 pixels of 3 bytes each, to int32 [4 * n]; the highest byte of each is arbitrary.

    This takes a third of the time of padding.
    """
    left, right, either = tf.bitwise.left_shift, tf.bitwise.right_shift, tf.bitwise.bitwise_or
    first, second, third = tf.unstack(words, axis=1)
    across = either(right(first, 24), left(second, 8)), either(right(second, 16), left(third, 16))
    return tf.reshape(tf.bitcast(tf.stack([first, *across, right(third, 8)], axis=1), tf.int32), [-1])


def resample(source: tf.Tensor, where: Terms, channels: int, fill_mode: FillMode, cval: float, order: int) -> tf.Tensor:
    """Look up every pixel of the results.

    Args:
      source: the result of `as_list`.
      where: coordinates in N pictures; their height and width must be known.
      channels: c.
      fill_mode: how a picture continues outside, with scipy's names. `nearest`: a a a | a b c d | d d d; `reflect`:
        c b a | a b c d | d c b; `wrap`: with a period of one pixel less than the size, as if the last pixel and
        the first were one; `constant`: `cval` beyond the centres of the outermost pixels, with no blending.
      cval: in units of the pixels.
      order: 1 bilinear, 0 nearest, halves up.

    Returns:
      uint8 or float32 [N, h, w, c], the type of the pictures; uint8 is rounded to nearest, halves up, as in scipy.
    """
    height, width = where.rows[0].shape[1], where.rows[1].shape[1]
    rows, columns = (_sum(one, exact=not order) for one in where)
    is_packed = source.dtype == tf.int32
    start = tf.range(tf.shape(where.rows[0])[0])[:, None, None] * height

    def corner(row: tf.Tensor, column: tf.Tensor) -> list[tf.Tensor]:
        """Return the channels of pixels: float32 [N, h, w] each, or one int32 [N, h, w] of words if `is_packed`."""
        at = (start + row) * width + column
        return [tf.gather(source, at)] if is_packed else [tf.gather(source, at * channels + k) for k in range(channels)]

    if order:
        found = _bilinear(corner, rows, columns, (height, width), fill_mode, channels if is_packed else 0)
    else:
        found = corner(_nearest(rows, height, fill_mode), _nearest(columns, width, fill_mode))
    result = tf.bitcast(found[0], tf.uint8)[..., :channels] if is_packed else tf.stack(found, axis=-1)
    if fill_mode != "constant":
        return result
    fill = np.floor(np.clip(cval, 0, 255) + 0.5) if is_packed else cval
    outside = _outside(rows, height) | _outside(columns, width)
    return tf.where(outside[..., None], tf.constant(fill, result.dtype), result)


def _sum(pair: tuple[tf.Tensor, tf.Tensor], exact: bool) -> _Coordinates:
    """Return the coordinates of one axis. Unless `exact`, terms are cut to 2^-32 pixel first, to use 32-bit numbers."""
    down, along = pair[0][:, :, None], pair[1][:, None, :]
    if exact:
        total = down + along
        whole, part = _split(total)
        rest = tf.bitwise.bitwise_and(total, tf.cast((1 << _BITS - 32) - 1, tf.int64))
        return _Coordinates(whole, tf.bitwise.bitwise_or(part, tf.cast(rest != 0, tf.uint32)))
    (down_whole, down_part), (along_whole, along_part) = _split(down), _split(along)
    part = down_part + along_part  # wraps round
    return _Coordinates(down_whole + along_whole + tf.cast(part < down_part, tf.int32), part)


def _split(term: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Split terms into whole pixels, int32, and 2^-32 pixels, uint32, rounded down."""
    whole = tf.cast(tf.bitwise.right_shift(term, tf.cast(_BITS, tf.int64)), tf.int32)
    return whole, tf.cast(tf.bitwise.right_shift(term, tf.cast(_BITS - 32, tf.int64)), tf.uint32)


def _outside(where: _Coordinates, size: int) -> tf.Tensor:
    """Return whether coordinates are beyond the centres of the outermost pixels."""
    last = size - 1
    return (where.whole < 0) | (where.whole > last) | ((where.whole == last) & (where.part != 0))


def _fold(whole: tf.Tensor, size: int, fill_mode: FillMode) -> tf.Tensor:
    """Return the pixel, 0 to size - 1, whose value a whole coordinate has."""
    if fill_mode == "reflect":
        around = tf.math.floormod(whole, 2 * size)
        return tf.minimum(around, 2 * size - 1 - around)
    return tf.clip_by_value(whole, 0, size - 1)


def _wrap(where: _Coordinates, size: int) -> tf.Tensor:
    """Return the pixel at or before a coordinate.

    Inside, the last pixel is itself. Outside, a multiple of the period is the first pixel to the right of the picture
    and the last pixel to its left (`map_coordinate` in ni_interpolation.c).
    """
    last = max(size - 1, 1)
    around = tf.math.floormod(where.whole, last)
    around = tf.where((around == 0) & (where.part == 0) & (where.whole < 0), last, around)
    return tf.minimum(tf.where(_outside(where, size), around, where.whole), size - 1)


def _neighbours(where: _Coordinates, size: int, fill_mode: FillMode) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pixels before and after a coordinate, int32 [N, h, w]."""
    if fill_mode == "wrap":
        before = _wrap(where, size)
        return before, tf.minimum(before + 1, size - 1)
    return _fold(where.whole, size, fill_mode), _fold(where.whole + 1, size, fill_mode)


def _nearest(where: _Coordinates, size: int, fill_mode: FillMode) -> tf.Tensor:
    """Return the pixel nearest to a coordinate; scipy rounds halves up after folding: down in a mirror image."""
    part = where.part
    if fill_mode == "wrap":
        return tf.minimum(_wrap(where, size) + tf.cast(part >= _HALF, tf.int32), size - 1)
    up = part >= _HALF
    if fill_mode == "reflect":
        up &= (part != _HALF) | (tf.math.floormod(where.whole, 2 * size) < size)
    return _fold(where.whole + tf.cast(up, tf.int32), size, fill_mode)


def _bilinear(
    corner: Corner, rows: _Coordinates, columns: _Coordinates, size: tuple[int, int], fill_mode: FillMode, packed: int
) -> list[tf.Tensor]:
    """Return the blended pixels in the form of `corner`; `packed` is the number of bytes in a word, or 0."""
    upper, lower = _neighbours(rows, size[0], fill_mode)
    left, right = _neighbours(columns, size[1], fill_mode)
    down, along = _weight(rows), _weight(columns)

    def blend(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
        above, below = a + (b - a) * along, c + (d - c) * along
        return above + (below - above) * down

    corners = [corner(row, column) for row in (upper, lower) for column in (left, right)]
    if not packed:
        return [blend(*planes) for planes in zip(*corners, strict=True)]
    words = [one for (one,) in corners]
    found = tf.zeros_like(words[0])
    for k in range(packed):
        value = blend(*(tf.cast(_byte(word, k), tf.float32) for word in words))
        found = tf.bitwise.bitwise_or(found, tf.bitwise.left_shift(tf.cast(value + 0.5, tf.int32), 8 * k))
    return [found]


def _weight(where: _Coordinates) -> tf.Tensor:
    """Return the share of the pixel after the coordinate, float32 in [0, 1): 24 bits, which XLA converts fast."""
    return tf.cast(tf.cast(tf.bitwise.right_shift(where.part, tf.cast(8, tf.uint32)), tf.int32), tf.float32) * 2.0**-24


def _byte(words: tf.Tensor, number: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(words, 8 * number), 255)
