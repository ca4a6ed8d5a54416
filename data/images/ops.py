"""Decoding and resizing in the graph: the one definition that ingestion, training and serving share."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import tensorflow as tf

from data.images import bmp, jpeg_xl, pixel_limit, stored_png, webp
from data.images.formats import DECODED, FileFormat, Magic
from data.spec import MAX_PIXELS, Image

_RATIOS = (2, 4, 8)  # by which libjpeg scales while it decodes
_IN_ONE_OP = ("jpeg", "png")  # formats that one op decodes
# A step of a graph's loop costs as much as decoding a thumbnail, so thumbnails are decoded in groups. For larger
# pictures the step is a small part of the time, and copying into the group a larger one.
_GROUP, _GROUPED_PIXELS = 16, 96 * 96
_SMALL_PIXELS, _SMALL_BYTES = 2**20, 2**16


def decode(
    contents: tf.Tensor,
    channels: int,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tf.Tensor:
    """Decode one JPEG, PNG, GIF or BMP, and on TensorFlow 2.21 WebP or JPEG XL; of an animation its first frame.

    The JPEG's inverse DCT is pinned: TensorFlow's default differs from PIL's and between versions, which alone
    costs about a point of ResNet-50's accuracy (SysNoise, arXiv 2307.00280). EXIF orientation is ignored.

    Args:
      contents: string scalar, the file's bytes.
      channels: 1 or 3; 0 keeps the file's.
      at_least: least height and width of the result; a JPEG is scaled while it is decoded, by the smallest of 1/2,
        1/4 and 1/8 that leaves both sides at least as long (rounded up, as libjpeg does). None: never.
      max_pixels: largest number of pixels of the file, before any scaling.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: If the file is of another format, truncated, not convertible to `channels`, or
        claims too many pixels.
    """
    allowed, header = pixel_limit.check_pngs(contents, max_pixels)
    return _decode(allowed, header, channels, at_least, max_pixels)


def _decode(
    contents: tf.Tensor, header: tf.Tensor, channels: int, at_least: tuple[int, int] | None, max_pixels: int
) -> tf.Tensor:
    """Decode a file that `pixel_limit.check_pngs` returned, with its header; see `decode`."""

    def jpeg_or_png() -> tf.Tensor:
        allowed = pixel_limit.check_jpegs(contents, header, max_pixels, channels)
        return _decode_scaled(allowed, header, channels, at_least) if at_least else _decode_jpeg(allowed, channels)

    rare = pixel_limit.not_inlined(lambda one: _decode_rare(one, channels, max_pixels), tf.TensorSpec([], tf.string))
    image = tf.cond(_is_rare(contents), lambda: rare(contents), jpeg_or_png)
    image.set_shape([None, None, channels or None])
    return image


def _is_rare(contents: tf.Tensor) -> tf.Tensor:
    """Return whether each file (string [...]) needs more than the one op for JPEG and PNG, bool [...]."""
    return functools.reduce(operator.or_, [_matches(one, contents) for one in _RARE])


_RARE = [one for name, one in DECODED.items() if name not in _IN_ONE_OP]


def _matches(file_format: FileFormat, contents: tf.Tensor) -> tf.Tensor:
    """Return `FileFormat.matches` of files in the graph: string [...] to bool [...]."""

    def has(magic: Magic) -> tf.Tensor:
        return functools.reduce(operator.and_, [_has_piece(contents, at, piece) for at, piece in magic])

    return functools.reduce(operator.or_, map(has, file_format.magics))


def _has_piece(contents: tf.Tensor, at: int, piece: bytes) -> tf.Tensor:
    if at:  # `substr` fails after the end of a file
        contents = tf.strings.join([tf.strings.substr(contents, 0, at + len(piece)), bytes(at)])
    return tf.strings.substr(contents, at, len(piece)) == piece


def _decode_rare(contents: tf.Tensor, channels: int, max_pixels: int) -> tf.Tensor:
    matches = tf.stack([tf.cast(_matches(one, contents), tf.int32) for one in _RARE])
    decoders = [functools.partial(decode_as, one.name, contents, channels, max_pixels) for one in _RARE]
    return tf.switch_case(tf.argmax(matches, output_type=tf.int32), decoders)


def _decode_jpeg(contents: tf.Tensor, channels: int, ratio: int = 1) -> tf.Tensor:
    """Decode a JPEG or PNG: the op itself tests the first bytes, so no branch is needed; `ratio` is for JPEG only."""
    return tf.io.decode_jpeg(contents, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_scaled(contents: tf.Tensor, header: tf.Tensor, channels: int, at_least: tuple[int, int]) -> tf.Tensor:
    """Decode a JPEG at the smallest scale that is large enough; a PNG always at full size."""
    size = tf.io.extract_jpeg_shape(header)[:2]
    fits = [tf.reduce_all(-(-size // ratio) >= at_least) for ratio in _RATIOS]
    index = tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))  # if a ratio fits, all smaller ones do
    return tf.switch_case(
        index, [functools.partial(_decode_jpeg, contents, channels, ratio) for ratio in (1, *_RATIOS)]
    )


def decode_as(name: str, contents: tf.Tensor, channels: int, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decode one file of a known format, without the branches of `decode`.

    Args:
      name: of the format, as `data.images.formats.decoder_name` returns it.
      contents: string scalar.
      channels: 1 or 3; 0 keeps the file's.
      max_pixels: largest number of pixels of the file.

    Returns:
      uint8 [height, width, channels].
    """
    if name == "jpeg":
        return _decode_jpeg(pixel_limit.check_jpegs(contents, contents, max_pixels, channels), channels)
    if name == "png":
        return _decode_jpeg(pixel_limit.limit_pixels(contents, pixel_limit.png_pixels(contents), max_pixels), channels)
    # TensorFlow decodes the other formats to one depth only.
    if name == "gif":
        allowed = pixel_limit.limit_pixels(*pixel_limit.first_frame(contents), max_pixels)
        return _to_channels(tf.io.decode_image(allowed, expand_animations=False), channels)
    decoder = {"bmp": bmp.decode, "webp": webp.decode, "jxl": jpeg_xl.decode}[name]
    return _to_channels(decoder(contents, max_pixels), channels)


def _to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Convert grey, RGB or RGBA with or without alpha, uint8 [h, w, ?], to uint8 [h, w, channels]."""
    image.set_shape([None, None, None])
    if not channels:
        return image
    has_colour = tf.shape(image)[2] >= 3
    if channels == 1:
        return tf.cond(has_colour, lambda: tf.image.rgb_to_grayscale(image[:, :, :3]), lambda: image[:, :, :1])
    return tf.cond(has_colour, lambda: image[:, :, :3], lambda: tf.repeat(image[:, :, :1], 3, axis=2))


def resize(image: tf.Tensor, spec: Image) -> tf.Tensor:
    """Resize uint8 or float [..., h, w, c] (values 0..255) to uint8 [..., height, width, c], rounded to nearest."""
    resized = tf.image.resize(image, (spec.height, spec.width), method=spec.resize, antialias=spec.antialias)
    if resized.dtype != tf.uint8:
        resized = tf.saturate_cast(tf.round(resized), tf.uint8)
    return resized


def decode_and_resize(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode one picture (string scalar) and resize it to uint8 [height, width, channels]."""
    return _decode_and_resize(*pixel_limit.check_pngs(contents, spec.max_pixels), spec)


def _decode_and_resize(contents: tf.Tensor, header: tf.Tensor, spec: Image) -> tf.Tensor:
    at_least = (spec.height, spec.width) if spec.shrink_on_load else None
    return _resized([_decode(contents, header, spec.channels, at_least, spec.max_pixels)], spec)[0]


def _resized(images: Sequence[tf.Tensor], spec: Image) -> list[tf.Tensor]:
    """Resize decoded pictures, uint8 [h, w, channels], to uint8 [height, width, channels]."""
    resized = pixel_limit.not_inlined(
        lambda one: resize(one, spec), tf.TensorSpec([None, None, spec.channels], tf.uint8)
    )
    # Resizing to the same size changes nothing and costs several times as much as decoding a thumbnail.
    as_wanted = tf.reduce_all([tf.reduce_all(tf.shape(one)[:2] == (spec.height, spec.width)) for one in images])
    sized = tf.cond(as_wanted, lambda: list(images), lambda: [resized(one) for one in images])
    return [tf.ensure_shape(one, spec.shape) for one in sized]


def decode_batch(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode pictures (string [N]) in parallel and resize them to uint8 [N, height, width, channels].

    Each result is that of `decode_and_resize`; it does not depend on the rest of the batch.

    Raises:
      tf.errors.InvalidArgumentError: If one is not a picture, or claims more than `spec.max_pixels`.
    """
    if spec.shrink_on_load or not stored_png.fits(*spec.shape):
        return _decode_any(contents, spec)
    return tf.cond(
        stored_png.are_stored(contents, *spec.shape),
        lambda: stored_png.decode(contents, *spec.shape),
        lambda: pixel_limit.not_inlined(lambda some: _decode_any(some, spec), tf.TensorSpec([None], tf.string))(
            contents
        ),
    )


def _decode_any(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode a batch of files of any format; see `decode_batch`."""
    allowed, headers = pixel_limit.check_pngs(contents, spec.max_pixels)
    if spec.shrink_on_load or spec.height * spec.width > _GROUPED_PIXELS:
        return _one_by_one(allowed, headers, spec)
    # Fewer pictures than a group are faster one by one; and several groups of large pictures would not fit in memory.
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
    """Decode small JPEGs and PNGs, `_GROUP` pictures a step; the last picture is repeated to fill the last group."""
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
    allowed = tf.unstack(pixel_limit.check_jpegs(contents, headers, spec.max_pixels, spec.channels))
    return tf.stack(_resized([_decode_jpeg(one, spec.channels) for one in allowed], spec))
