"""Decoding and resizing, in the graph: the one definition that ingestion, training and serving share."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence

import tensorflow as tf

from data.families import IS_NEW
from data.images import bmp, jpeg_xl, pixel_limit, stored_png, webp
from data.images.formats import FORMATS
from data.spec import MAX_PIXELS, Image

_RATIOS = (2, 4, 8)  # by which libjpeg scales while it decodes
# A step of a graph's loop costs as much as decoding a thumbnail, so that these are decoded so many a step. Of larger
# pictures the step is a small part, and the copy into the group a larger one.
_GROUP, _GROUPED_PIXELS = 16, 96 * 96
_SMALL_PIXELS, _SMALL_BYTES = 2**20, 2**16


def decode(
    contents: tf.Tensor,
    channels: int,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tf.Tensor:
    """Decodes one JPEG, PNG, GIF or BMP, and on TensorFlow 2.21 WebP or JPEG XL; of an animation its first frame.

    The JPEG's inverse DCT is pinned: TensorFlow's default differs from PIL's and between versions, which alone
    costs about a point of ResNet-50's accuracy (SysNoise, arXiv 2307.00280). EXIF orientation is ignored.

    Args:
      contents: string scalar, the file's bytes.
      channels: 1 or 3; 0 keeps the file's own.
      at_least: height and width wanted; a JPEG is scaled while it decodes, by the largest of 1/2, 1/4 and 1/8 that
        leaves both sides as long (rounded up, as libjpeg does). None: never.
      max_pixels: of the file, before any scaling.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: not such a file, truncated, not convertible to `channels`, or too many pixels.
    """

    allowed, header = pixel_limit.checked(contents, max_pixels)
    return _decode(allowed, header, channels, at_least, max_pixels)


def _decode(
    contents: tf.Tensor, header: tf.Tensor, channels: int, at_least: tuple[int, int] | None, max_pixels: int
) -> tf.Tensor:
    """`decode` of what `pixel_limit.checked` gave."""

    def jpeg_or_png() -> tf.Tensor:
        allowed = pixel_limit.checked_jpegs(contents, header, max_pixels, channels)
        return _decode_scaled(allowed, header, channels, at_least) if at_least else _decode_jpeg(allowed, channels)

    rare = pixel_limit.apart(lambda one: _decode_rare(one, channels, max_pixels), tf.TensorSpec([], tf.string))
    image = tf.cond(_is_rare(contents), lambda: rare(contents), jpeg_or_png)
    image.set_shape([None, None, channels or None])
    return image


def _is_rare(contents: tf.Tensor) -> tf.Tensor:
    """Whether each file (string [...]) needs more than the one op that knows JPEG and PNG, bool [...]."""
    return functools.reduce(operator.or_, [is_kind(contents) for is_kind in _RARE.values()])


_RARE: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gif": lambda contents: tf.strings.substr(contents, 0, 3) == b"GIF",
    "bmp": lambda contents: tf.strings.substr(contents, 0, 2) == b"BM",
    **({"webp": webp.is_webp, "jxl": jpeg_xl.is_jpeg_xl} if IS_NEW else {}),
}


def _decode_rare(contents: tf.Tensor, channels: int, max_pixels: int) -> tf.Tensor:
    kinds = list(_RARE)
    kind = tf.argmax(
        tf.stack([tf.cast(is_kind(contents), tf.int32) for is_kind in _RARE.values()]), output_type=tf.int32
    )
    return tf.switch_case(kind, [functools.partial(decode_kind, one, contents, channels, max_pixels) for one in kinds])


def _decode_jpeg(contents: tf.Tensor, channels: int, ratio: int = 1) -> tf.Tensor:
    """JPEG, or PNG: the op goes by the first bytes, so that no branch is needed; `ratio` counts for JPEG alone."""
    return tf.io.decode_jpeg(contents, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_scaled(contents: tf.Tensor, header: tf.Tensor, channels: int, at_least: tuple[int, int]) -> tf.Tensor:
    """A JPEG at the smallest scale that is large enough; a PNG as it is, whatever its scale."""
    size = tf.io.extract_jpeg_shape(header)[:2]
    fits = [tf.reduce_all(-(-size // ratio) >= at_least) for ratio in _RATIOS]
    index = tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))  # the larger the ratio the fewer fit
    return tf.switch_case(
        index, [functools.partial(_decode_jpeg, contents, channels, ratio) for ratio in (1, *_RATIOS)]
    )


def kind_of(contents: bytes) -> str:
    """The kind that `decode` takes a file for, by its first bytes: what is none of the others is tried as PNG."""
    if contents[:3] == pixel_limit.JPEG_MAGIC:
        return "jpeg"
    found = "gif" if contents[:3] == b"GIF" else "bmp" if contents[:2] == b"BM" else "png"
    if contents[:4] == b"RIFF" and contents[8:12] == b"WEBP":
        found = "webp"
    elif contents.startswith((jpeg_xl.CODESTREAM, jpeg_xl.CONTAINER)):
        found = "jxl"
    return found if found in FORMATS else "png"


def decode_kind(kind: str, contents: tf.Tensor, channels: int, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """`decode` where the kind of the file is known beforehand, one of `data.images.formats.FORMATS`."""
    if kind == "jpeg":
        return _decode_jpeg(pixel_limit.checked_jpegs(contents, contents, max_pixels, channels), channels)
    if kind == "png":
        return _decode_jpeg(pixel_limit.within(contents, pixel_limit.png_pixels(contents), max_pixels), channels)
    # The others TensorFlow decodes to one depth only.
    if kind == "gif":
        allowed = pixel_limit.within(*pixel_limit.first_frame(contents), max_pixels)
        return _to_channels(tf.io.decode_image(allowed, expand_animations=False), channels)
    decoder = {"bmp": bmp.decode, "webp": webp.decode, "jxl": jpeg_xl.decode}[kind]
    return _to_channels(decoder(contents, max_pixels), channels)


def _to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey, RGB or RGBA of any depth, uint8 [h, w, ?], to uint8 [h, w, channels]."""
    image.set_shape([None, None, None])
    if not channels:
        return image
    has_colour = tf.shape(image)[2] >= 3
    if channels == 1:
        return tf.cond(has_colour, lambda: tf.image.rgb_to_grayscale(image[:, :, :3]), lambda: image[:, :, :1])
    return tf.cond(has_colour, lambda: image[:, :, :3], lambda: tf.repeat(image[:, :, :1], 3, axis=2))


def resize(image: tf.Tensor, spec: Image) -> tf.Tensor:
    """Resizes uint8 or float [..., h, w, c] (values 0..255) to uint8 [..., height, width, c], rounded to nearest."""
    resized = tf.image.resize(image, (spec.height, spec.width), method=spec.resize, antialias=spec.antialias)
    if resized.dtype != tf.uint8:
        resized = tf.saturate_cast(tf.round(resized), tf.uint8)
    return resized


def decode_and_resize(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """One encoded picture (string scalar) to uint8 [height, width, channels]."""
    return _decode_and_resize(*pixel_limit.checked(contents, spec.max_pixels), spec)


def _decode_and_resize(contents: tf.Tensor, header: tf.Tensor, spec: Image) -> tf.Tensor:
    at_least = (spec.height, spec.width) if spec.shrink_on_load else None
    return _resized([_decode(contents, header, spec.channels, at_least, spec.max_pixels)], spec)[0]


def _resized(images: Sequence[tf.Tensor], spec: Image) -> list[tf.Tensor]:
    """Decoded pictures, uint8 [h, w, channels], to uint8 [height, width, channels]."""
    resized = pixel_limit.apart(lambda one: resize(one, spec), tf.TensorSpec([None, None, spec.channels], tf.uint8))
    # Resizing to the same size changes nothing and costs several times the decoding of a thumbnail.
    as_wanted = tf.reduce_all([tf.reduce_all(tf.shape(one)[:2] == (spec.height, spec.width)) for one in images])
    sized = tf.cond(as_wanted, lambda: list(images), lambda: [resized(one) for one in images])
    return [tf.ensure_shape(one, spec.shape) for one in sized]


def decode_batch(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Encoded pictures (string [N]) to uint8 [N, height, width, channels]; the pictures decode in parallel.

    Each is what `decode_and_resize` gives for it, whatever else is in the batch.

    Raises:
      tf.errors.InvalidArgumentError: one of them is none, or claims more than `spec.max_pixels`.
    """
    if spec.shrink_on_load or not stored_png.fits(*spec.shape):
        return _decode_any(contents, spec)
    return tf.cond(
        stored_png.are_stored(contents, *spec.shape),
        lambda: stored_png.decode(contents, *spec.shape),
        lambda: pixel_limit.apart(lambda some: _decode_any(some, spec), tf.TensorSpec([None], tf.string))(contents),
    )


def _decode_any(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """`decode_batch` of files of any kind."""
    allowed, headers = pixel_limit.checked(contents, spec.max_pixels)
    if spec.shrink_on_load or spec.height * spec.width > _GROUPED_PIXELS:
        return _one_by_one(allowed, headers, spec)
    # Less than a group is faster one by one; and of large pictures, a few groups would not fit in memory side by side.
    is_large = (pixel_limit.png_pixels(contents) > _SMALL_PIXELS) | (tf.strings.length(contents) > _SMALL_BYTES)
    return tf.cond(
        tf.reduce_any(is_large | _is_rare(contents)) | (tf.size(contents) < _GROUP),
        lambda: _one_by_one(allowed, headers, spec),
        lambda: _grouped(allowed, headers, spec),
    )


def _one_by_one(contents: tf.Tensor, headers: tf.Tensor, spec: Image) -> tf.Tensor:
    return tf.map_fn(
        lambda one: _decode_and_resize(one[0], one[1], spec),
        (contents, headers),
        fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8),
        parallel_iterations=32,
    )


def _grouped(contents: tf.Tensor, headers: tf.Tensor, spec: Image) -> tf.Tensor:
    """Small JPEGs and PNGs only: `_GROUP` pictures a step, the last one again and again to fill the last group."""
    count = tf.size(contents)
    rows = tf.minimum(tf.range(-(-count // _GROUP) * _GROUP), count - 1)
    groups = tf.map_fn(
        lambda group: _decode_group(group[0], group[1], spec),
        tuple(tf.reshape(tf.gather(some, rows), [-1, _GROUP]) for some in (contents, headers)),
        fn_output_signature=tf.TensorSpec((_GROUP, *spec.shape), tf.uint8),
        parallel_iterations=4,
    )
    return tf.reshape(groups, [-1, *spec.shape])[:count]


def _decode_group(contents: tf.Tensor, headers: tf.Tensor, spec: Image) -> tf.Tensor:
    allowed = tf.unstack(pixel_limit.checked_jpegs(contents, headers, spec.max_pixels, spec.channels))
    return tf.stack(_resized([_decode_jpeg(one, spec.channels) for one in allowed], spec))
