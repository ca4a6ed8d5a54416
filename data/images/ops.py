"""Decoding and resizing in the graph: the one definition that ingestion, training and serving share."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from data.images import alpha, bmp, exif, framing, gif, jpeg_xl, pixel_limit, resizing, stored_png, webp
from data.images.formats import DECODED, FileFormat, ImageFormat, Magic
from data.spec import MAX_PIXELS, Fit, Image, Orientation, parse_colour

_RATIOS = (2, 4, 8)  # by which libjpeg scales while it decodes
_IN_ONE_OP = ("jpeg", "png")  # formats that one op decodes
# A step of a graph's loop costs as much as decoding a thumbnail, so thumbnails are decoded in groups. For larger
# pictures the step is a small part of the time, and copying into the group a larger one.
_GROUP, _GROUPED_PIXELS = 16, 96 * 96
_SMALL_PIXELS, _SMALL_BYTES = 2**20, 2**16


class Decoding(NamedTuple):
    """How to decode pictures.

    Attributes:
      channels: 1 or 3; 0 keeps the file's.
      at_least: least height and width of a result that is scaled while it is decoded; None: never scale.
      fit: how the result is fitted into `at_least`: "pad" needs one side that is at least as long, the others both.
      max_pixels: largest number of pixels of the file, before any scaling.
      background: colour on which transparent pixels are blended, as in `Image`; "" drops the alpha channel.
      orientation: whether to turn a picture upright, as in `Image`; `at_least` is its size after that.
    """

    channels: int
    at_least: tuple[int, int] | None = None
    fit: Fit = "stretch"
    max_pixels: int = MAX_PIXELS
    background: str = ""
    orientation: Orientation = "ignore"


Decoder = Callable[[tf.Tensor, tf.Tensor, Decoding], tf.Tensor]
"""Decodes a file that was checked, by its contents, its header and how."""


def how_to_decode(spec: Image) -> Decoding:
    """Return how the pictures of a model are decoded."""
    at_least = (spec.height, spec.width) if spec.shrink_on_load else None
    return Decoding(spec.channels, at_least, spec.fit, spec.max_pixels, spec.background, spec.orientation)


def decode(
    contents: tf.Tensor,
    channels: int,
    at_least: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    *,
    fit: Fit = "stretch",
    background: str = "",
    orientation: Orientation = "ignore",
) -> tf.Tensor:
    """Decode one JPEG, PNG, GIF or BMP, and on TensorFlow 2.21 WebP or JPEG XL; of an animation its first frame.

    The JPEG's inverse DCT is pinned: TensorFlow's default differs from PIL's and between versions, which alone
    costs about a point of ResNet-50's accuracy (SysNoise, arXiv 2307.00280).

    Args:
      contents: string scalar, the file's bytes.
      channels: 1 or 3; 0 keeps the file's.
      at_least: least height and width of the result; a JPEG is scaled while it is decoded, by the smallest of 1/2,
        1/4 and 1/8 that leaves both sides (with `fit="pad"`, one of them) at least as long (rounded up, as libjpeg
        does). None: never.
      max_pixels: largest number of pixels of the file, before any scaling.
      fit: as in `Image`.
      background: as in `Image`.
      orientation: as in `Image`; `at_least` is the size after the turn.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: If the file is of another format, truncated, not convertible to `channels`, or
        claims too many pixels.
    """
    how = Decoding(channels, at_least, fit, max_pixels, background, orientation)
    return _decode_upright(_decode, how, *_checked(contents, how))


def _checked(contents: tf.Tensor, how: Decoding) -> tuple[tf.Tensor, ...]:
    """Return files after the checks of `pixel_limit.check_pngs`, headers, and the orientations if they are needed."""
    allowed, headers = pixel_limit.check_pngs(contents, how.max_pixels)
    return (allowed, headers) if how.orientation == "ignore" else (allowed, headers, exif.read_orientations(allowed))


def _decode_upright(
    decoder: Decoder,
    how: Decoding,
    contents: tf.Tensor,
    header: tf.Tensor,
    orientation: tf.Tensor | None = None,
) -> tf.Tensor:
    """Decode a file that was checked, and turn it by an orientation; see `decode`.

    Args:
      decoder: `_decode`, or `_decode_common` if the file is known to need one op only.
      how: how to decode it.
      contents: string scalar, from `_checked`; the others, too.
      header: string scalar.
      orientation: int32 scalar.
    """
    if orientation is None:
        return decoder(contents, header, how)
    if how.at_least is not None:
        how = how._replace(at_least=exif.stored_size(*how.at_least, orientation))
    return exif.turn_upright([decoder(contents, header, how)], [orientation])[0]


def _decode(contents: tf.Tensor, header: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Decode a file that `pixel_limit.check_pngs` returned, with its header; see `decode`."""
    rare = _rare_decoder(how.channels, how.max_pixels, how.background)
    image = tf.cond(
        _is_rare(contents, how.background),
        lambda: rare(contents),
        lambda: _decode_common(contents, header, how),
    )
    image.set_shape([None, None, how.channels or None])
    return image


def _decode_common(contents: tf.Tensor, header: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Decode a file that is not `_is_rare`; see `_decode`."""
    allowed = pixel_limit.check_jpegs(contents, header, how.max_pixels, how.channels)
    return _decode_scaled(allowed, header, how) if how.at_least is not None else decode_checked(allowed, how.channels)


def _is_rare(contents: tf.Tensor, background: str) -> tf.Tensor:
    """Return whether each file (string [...]) needs more than the one op for JPEG and PNG, bool [...]."""
    return functools.reduce(operator.or_, [_matches(one, contents) for one in _rare_formats(background)])


def _rare_formats(background: str) -> list[ImageFormat]:
    in_one_op = ("jpeg",) if background else _IN_ONE_OP  # a PNG may have alpha
    return [one for name, one in DECODED.items() if name not in in_one_op]


def _matches(file_format: FileFormat, contents: tf.Tensor) -> tf.Tensor:
    """Return `FileFormat.matches` of files in the graph: string [...] to bool [...]."""

    def has(magic: Magic) -> tf.Tensor:
        return functools.reduce(operator.and_, [_has_piece(contents, at, piece) for at, piece in magic])

    return functools.reduce(operator.or_, map(has, file_format.magics))


def _has_piece(contents: tf.Tensor, at: int, piece: bytes) -> tf.Tensor:
    if at:  # `substr` fails after the end of a file
        contents = tf.strings.join([tf.strings.substr(contents, 0, at + len(piece)), bytes(at)])
    return tf.strings.substr(contents, at, len(piece)) == piece


@functools.cache
def _rare_decoder(channels: int, max_pixels: int, background: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `_decode_rare`, traced once per process: its many branches take a second."""
    return pixel_limit.not_inlined(
        lambda contents: _decode_rare(contents, channels, max_pixels, background), tf.TensorSpec([], tf.string)
    )


def _decode_rare(contents: tf.Tensor, channels: int, max_pixels: int, background: str) -> tf.Tensor:
    formats = _rare_formats(background)
    matches = tf.stack([tf.cast(_matches(one, contents), tf.int32) for one in formats])
    decoders = [functools.partial(decode_as, one.name, contents, channels, max_pixels, background) for one in formats]
    return tf.switch_case(tf.argmax(matches, output_type=tf.int32), decoders)


def decode_checked(contents: tf.Tensor, channels: int, ratio: int = 1) -> tf.Tensor:
    """Decode a JPEG or PNG whose size was checked; the op itself tests the first bytes, so no branch is needed.

    Args:
      contents: string scalar.
      channels: 1 or 3; 0 keeps the file's.
      ratio: By which a JPEG is scaled while it is decoded: 1, 2, 4 or 8.

    Returns:
      uint8 [height, width, channels].
    """
    return tf.io.decode_jpeg(contents, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_scaled(contents: tf.Tensor, header: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Decode a JPEG at the smallest scale that is large enough; a PNG always at full size."""
    size = tf.io.extract_jpeg_shape(header)[:2]
    are_enough = tf.reduce_any if how.fit == "pad" else tf.reduce_all
    fits = [are_enough(-(-size // ratio) >= how.at_least) for ratio in _RATIOS]
    index = tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))  # if a ratio fits, all smaller ones do
    return tf.switch_case(
        index, [functools.partial(decode_checked, contents, how.channels, ratio) for ratio in (1, *_RATIOS)]
    )


def decode_as(
    name: str, contents: tf.Tensor, channels: int, max_pixels: int = MAX_PIXELS, background: str = ""
) -> tf.Tensor:
    """Decode one file of a known format, without the branches of `decode`.

    Args:
      name: of the format, as `data.images.formats.decoder_name` returns it.
      contents: string scalar.
      channels: 1 or 3; 0 keeps the file's.
      max_pixels: largest number of pixels of the file.
      background: as in `Image`.

    Returns:
      uint8 [height, width, channels].
    """
    if name == "jpeg":
        return decode_checked(pixel_limit.check_jpegs(contents, contents, max_pixels, channels), channels)
    if name == "png":
        allowed = pixel_limit.limit_pixels(contents, pixel_limit.png_pixels(contents), max_pixels)
        return _decode_png_on(allowed, channels, background) if background else decode_checked(allowed, channels)
    # TensorFlow decodes the other formats to one depth only.
    if name == "gif":
        colour = parse_colour(background) if background else None
        allowed = pixel_limit.limit_pixels(*gif.first_frame(contents, colour), max_pixels)
        return _to_channels(tf.io.decode_image(allowed, expand_animations=False), channels)
    if name == "jxl":
        image = jpeg_xl.decode(contents, max_pixels)
    else:
        image = {"bmp": bmp.decode, "webp": webp.decode}[name](contents, max_pixels, keep_alpha=bool(background))
    return _to_channels(_blend_any(image, background) if background else image, channels)


def _decode_png_on(contents: tf.Tensor, channels: int, background: str) -> tf.Tensor:
    """Decode a PNG, on a background if it has alpha."""

    def blended() -> tf.Tensor:
        image = alpha.blend(tf.io.decode_png(contents, channels=4), parse_colour(background))
        return alpha.to_png_grey(image) if channels == 1 else image

    return tf.cond(alpha.is_png_with_alpha(contents), blended, lambda: decode_checked(contents, channels))


def _blend_any(image: tf.Tensor, background: str) -> tf.Tensor:
    """Blend uint8 [h, w, 1 to 4] on a background if it has 2 or 4 channels."""
    colour = parse_colour(background)
    return tf.cond(tf.shape(image)[2] % 2 == 0, lambda: alpha.blend(image, colour), lambda: image)


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
    """Resize uint8 or float [..., h, w, c] (values 0..255) to uint8 [..., height, width, c], rounded to nearest.

    Before, `spec.fit` crops or pads it.
    """
    framed = framing.fit_image(image, spec)
    return resizing.resize_to_uint8(framed, (spec.height, spec.width), spec.resize, spec.antialias)


def decode_and_resize(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode one picture (string scalar) and resize it to uint8 [height, width, channels]."""
    return _resized([decode(contents, **how_to_decode(spec)._asdict())], spec)[0]


def _resized(images: Sequence[tf.Tensor], spec: Image) -> list[tf.Tensor]:
    """Resize decoded pictures, uint8 [h, w, channels], to uint8 [height, width, channels]."""
    resized = _resizer(spec)
    # Resizing to the same size changes nothing and costs several times as much as decoding a thumbnail.
    as_wanted = tf.reduce_all([tf.reduce_all(tf.shape(one)[:2] == (spec.height, spec.width)) for one in images])
    sized = tf.cond(as_wanted, lambda: list(images), lambda: [resized(one) for one in images])
    return [tf.ensure_shape(one, spec.shape) for one in sized]


@functools.cache
def _resizer(spec: Image) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `resize`, traced once per process."""
    return pixel_limit.not_inlined(lambda one: resize(one, spec), tf.TensorSpec([None, None, spec.channels], tf.uint8))


def decode_batch(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode pictures (string [N]) in parallel and resize them to uint8 [N, height, width, channels].

    Each result is that of `decode_and_resize`; it does not depend on the rest of the batch.

    Raises:
      tf.errors.InvalidArgumentError: If one is not a picture, or claims more than `spec.max_pixels`.
    """
    if spec.shrink_on_load or not stored_png.fits(*spec.shape):
        return _any_decoder(spec)(contents)
    return tf.cond(
        stored_png.are_stored(contents, *spec.shape),
        lambda: stored_png.decode(contents, *spec.shape),
        lambda: _any_decoder(spec)(contents),
    )


@functools.cache
def _any_decoder(spec: Image) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `_decode_any`, traced once per process: training, export and proof build several graphs with it."""
    return pixel_limit.not_inlined(lambda some: _decode_any(some, spec), tf.TensorSpec([None], tf.string))


def _decode_any(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode a batch of files of any format; see `decode_batch`.

    Rare formats are looked for once a batch: most batches have none, and a branch for each picture takes time.
    """
    is_odd = tf.reduce_any(_is_rare(contents, spec.background))
    decode_common: Callable[[tf.Tensor, Image], tf.Tensor] = functools.partial(_one_by_one, _decode_common)
    if not spec.shrink_on_load and spec.height * spec.width <= _GROUPED_PIXELS:
        decode_common = _grouped
        # Several groups of large pictures would not fit in memory; and fewer than a group are faster one by one.
        is_large = (pixel_limit.png_pixels(contents) > _SMALL_PIXELS) | (tf.strings.length(contents) > _SMALL_BYTES)
        is_odd |= tf.reduce_any(is_large) | (tf.size(contents) < _GROUP)
    return tf.cond(is_odd, lambda: _one_by_one(_decode, contents, spec), lambda: decode_common(contents, spec))


def _one_by_one(decoder: Decoder, contents: tf.Tensor, spec: Image) -> tf.Tensor:
    how = how_to_decode(spec)
    return tf.map_fn(
        lambda one: _resized([_decode_upright(decoder, how, *one)], spec)[0],
        _checked(contents, how),
        fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8),
        parallel_iterations=32,
    )


def _grouped(contents: tf.Tensor, spec: Image) -> tf.Tensor:
    """Decode small JPEGs and PNGs, `_GROUP` pictures a step; the last picture is repeated to fill the last group."""
    checked = _checked(contents, how_to_decode(spec))
    count = tf.size(checked[0])
    rows = tf.minimum(tf.range(-(-count // _GROUP) * _GROUP), count - 1)
    groups = tf.map_fn(
        lambda group: _decode_group(spec, *group),
        tuple(tf.reshape(tf.gather(some, rows), [-1, _GROUP]) for some in checked),
        fn_output_signature=tf.TensorSpec((_GROUP, *spec.shape), tf.uint8),
        parallel_iterations=4,
    )
    return tf.reshape(groups, [-1, *spec.shape])[:count]


def _decode_group(
    spec: Image, contents: tf.Tensor, headers: tf.Tensor, orientations: tf.Tensor | None = None
) -> tf.Tensor:
    allowed = tf.unstack(pixel_limit.check_jpegs(contents, headers, spec.max_pixels, spec.channels))
    images = [decode_checked(one, spec.channels) for one in allowed]
    if orientations is not None:
        images = exif.turn_upright(images, tf.unstack(orientations))
    return tf.stack(_resized(images, spec))
