"""Known skews of pixels: the ways in which served pixels differ from those that a model was trained on.

Each skew replaces one step of training's preprocessing: decode, resize, round, order the channels, or scale. To add a
skew, add a `PixelSkew` to the function of its step: `_decode_skews`, `_resize_skews`, `_round_skews` or
`_channel_skews`. For scaling, add it to `serving.diagnosis.scaling`. The diagnosis then tries it, alone and with a
skew of another step. Then plant it in a model: one entry of `SKEWS` in `tests/serving/diagnosis/planted.py`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from data.images import framing, ops
from data.images.formats import decoder_name, read_header
from data.spec import Fit, Image
from serving.diagnosis.base import Array
from serving.diagnosis.scaling import Scaling, wrong_scalings
from serving.parity.report import Stage

Decode = Callable[[bytes], Array]
"""Decodes an image to uint8 [h, w, channels]; raises TensorFlow's errors."""
Change = Callable[[Array], Array]
Resize = Callable[[tf.Tensor], tf.Tensor]
"""Resizes images [1, h, w, channels] to [1, height, width, channels]."""
METHODS = tuple(tf.image.ResizeMethod.__dict__[name] for name in sorted(vars(tf.image.ResizeMethod)) if name.isupper())
_WITH_ANTIALIAS = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


class PixelStep(NamedTuple):
    """A step of preprocessing, and the stage under which a diagnosis reports it."""

    order: int
    stage: Stage


DECODE, RESIZE, ROUND = PixelStep(0, "decode"), PixelStep(1, "resize"), PixelStep(2, "resize")
CHANNELS, SCALE = PixelStep(3, "channel order"), PixelStep(4, "scale")


@dataclass(frozen=True)
class PixelSkew:
    """A variant of one step.

    Attributes:
      step: The step.
      what: What the variant does.
      instead_of: What training does; "" if `what` says enough.
      run: Runs the step. Decoding: `Decode`. Resizing: uint8 [h, w, c] to float32 [height, width, c], not rounded. All
        others: float32 [height, width, c] to the same.
    """

    step: PixelStep
    what: str
    instead_of: str
    run: Callable[[Any], Array]


def describe_skews(skews: Sequence[PixelSkew]) -> str:
    """Describe skews that explain a difference equally well: "nearest or area instead of bilinear"."""
    by_original: dict[str, dict[str, None]] = {}
    for skew in skews:
        by_original.setdefault(skew.instead_of, {})[skew.what] = None
    return " or ".join(
        " or ".join(whats) + (f" instead of {original}" if original else "") for original, whats in by_original.items()
    )


def training_steps(spec: Image) -> dict[PixelStep, PixelSkew]:
    """Return the steps of training's own preprocessing."""
    runs: dict[PixelStep, Callable[[Any], Array]] = {
        DECODE: _decoder(spec, spec.shrink_on_load),
        RESIZE: _resizer(spec, functools.partial(_by_method, spec, spec.resize, spec.antialias)),
        ROUND: lambda pixels: np.clip(np.round(pixels), 0, 255),  # rounds halves to even, as tf.round does
        CHANNELS: lambda pixels: pixels,
        SCALE: lambda pixels: pixels,
    }
    return {step: PixelSkew(step, "", "", run) for step, run in runs.items()}


def known_skews(spec: Image, scaling: Scaling | None) -> list[PixelSkew]:
    """Return all skews in the order of the steps; within a step, the most common comes first.

    Args:
      spec: Image spec of the model.
      scaling: The model's own scaling; None if it is not known.
    """
    scale_skews = [PixelSkew(SCALE, *wrong) for wrong in wrong_scalings(scaling, spec.channels)]
    return [*_unscaled_skews(spec), *scale_skews]


@functools.lru_cache(maxsize=4)  # several routes of one model may differ, and each skew traces TensorFlow functions
def _unscaled_skews(spec: Image) -> tuple[PixelSkew, ...]:
    return (*_decode_skews(spec), *_resize_skews(spec), *_round_skews(), *_channel_skews(spec))


def _decode_skews(spec: Image) -> list[PixelSkew]:
    decode = _decoder(spec, spec.shrink_on_load)

    def with_options(**options: Any) -> Decode:
        def decode_jpeg(contents: bytes) -> Array:
            if decoder_name(contents) != "jpeg":
                return decode(contents)
            trained = {"ratio": _shrink_ratio(contents, spec), "dct_method": "INTEGER_ACCURATE"}
            pixels = np.asarray(tf.io.decode_jpeg(contents, spec.channels, **{**trained, **options}))
            return rotate_by_exif(pixels, _turn(contents, spec))

        return decode_jpeg

    whole, shrunk = "decoded whole", "decoded at a smaller scale"
    other = (whole, "shrink_on_load") if spec.shrink_on_load else (shrunk, "whole (shrink_on_load)")
    fast_dct = "JPEG's DCT method INTEGER_FAST (TensorFlow's default)"
    skews = [
        PixelSkew(DECODE, fast_dct, "INTEGER_ACCURATE", with_options(dct_method="")),
        _other_orientation(spec, decode),
        PixelSkew(DECODE, *other, _decoder(spec, not spec.shrink_on_load)),
        PixelSkew(DECODE, "JPEG chroma repeated", "fancy_upscaling", with_options(fancy_upscaling=False)),
    ]
    if spec.channels == 3:
        gray = _decoder(dataclasses.replace(spec, channels=1), spec.shrink_on_load)
        skews.append(PixelSkew(DECODE, "grayscale", "colour", lambda contents: np.repeat(gray(contents), 3, axis=2)))
    return [*skews, *_alpha_skews(spec)]


def _other_orientation(spec: Image, decode: Decode) -> PixelSkew:
    """Return the skew of a client that treats EXIF's orientation in the other way; `decode` is training's own."""
    if spec.orientation == "exif":
        ignoring = _decoder(dataclasses.replace(spec, orientation="ignore"), spec.shrink_on_load)
        return PixelSkew(DECODE, "EXIF orientation ignored", "", ignoring)
    return PixelSkew(
        DECODE,
        "rotated by EXIF",
        "",
        lambda contents: rotate_by_exif(decode(contents), read_header(contents).orientation),
    )


def _alpha_skews(spec: Image) -> list[PixelSkew]:
    """Return what else a client does with transparent pixels."""
    original = f"blended on {spec.background}" if spec.background else "dropped"
    names = {
        "": "alpha dropped",
        **{colour: f"alpha blended on {colour}" for colour in ("white", "black", spec.background) if colour},
    }
    return [
        PixelSkew(
            DECODE, what, original, _decoder(dataclasses.replace(spec, background=background), spec.shrink_on_load)
        )
        for background, what in names.items()
        if background != spec.background
    ]


def _resize_skews(spec: Image) -> list[PixelSkew]:
    own = _method_name(spec.resize, spec.antialias and spec.resize in _WITH_ANTIALIAS)
    skews = [(what, own, resize) for what, resize in _other_methods(spec) if what != own]
    skews += [(what, own, resize) for what, resize in _tensorflow_1_methods(spec)]
    skews += [(what, _FRAMINGS[spec.fit], resize) for what, resize in _framings(spec)]
    return [PixelSkew(RESIZE, what, instead_of, _resizer(spec, resize)) for what, instead_of, resize in skews]


def _round_skews() -> list[PixelSkew]:
    def truncated(pixels: Array) -> Array:  # values out of range become what tf.cast makes of them
        return np.asarray(tf.cast(tf.cast(pixels, tf.uint8), tf.float32))

    return [
        PixelSkew(ROUND, "results not rounded", "", lambda pixels: pixels),
        PixelSkew(ROUND, "results truncated", "rounded", truncated),
        PixelSkew(ROUND, "results truncated", "rounded", lambda pixels: np.floor(np.clip(pixels, 0, 255))),
    ]


def _channel_skews(spec: Image) -> list[PixelSkew]:
    return [PixelSkew(CHANNELS, "BGR", "RGB", lambda pixels: pixels[..., ::-1])] if spec.channels == 3 else []


def rotate_by_exif(pixels: Array, orientation: int) -> Array:
    """Rotate and flip pixels [h, w, c] by EXIF's orientation, 1 to 8 (CIPA DC-008, 4.6.4 A)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _turn(contents: bytes, spec: Image) -> int:
    """Return the EXIF orientation by which training turns an image; 1 for none."""
    return read_header(contents).orientation if spec.orientation == "exif" else 1


def _shrink_ratio(contents: bytes, spec: Image) -> int:
    """Return the factor by which training shrinks a JPEG while decoding it."""
    if not spec.shrink_on_load:
        return 1
    height, width, _ = tf.io.extract_jpeg_shape(contents).numpy()
    if _turn(contents, spec) >= 5:
        height, width = width, height
    are_enough = any if spec.fit == "pad" else all
    fitting = [
        ratio
        for ratio in (8, 4, 2)
        if are_enough((-(-height // ratio) >= spec.height, -(-width // ratio) >= spec.width))
    ]
    return fitting[0] if fitting else 1


def _decoder(spec: Image, shrink: bool) -> Decode:
    how = ops.how_to_decode(dataclasses.replace(spec, shrink_on_load=shrink))
    return _traced_decoder(how if shrink else how._replace(fit="stretch"))  # the fit only limits the shrinking


# Traced once for all images, at the first call: eager execution would trace the branches of each image. Training and
# several skews decode in the same way, and so do the models of other sizes.
@functools.lru_cache(maxsize=32)
def _traced_decoder(how: ops.Decoding) -> Decode:
    decode = tf.function(
        lambda contents: ops.decode(contents, **how._asdict()),
        [tf.TensorSpec([], tf.string)],
        autograph=False,
    )
    return lambda contents: np.asarray(decode(tf.constant(contents)))


def _resizer(spec: Image, resize: Resize) -> Change:
    traced = tf.function(
        lambda pixels: tf.cast(resize(pixels[tf.newaxis])[0], tf.float32),
        [tf.TensorSpec([None, None, spec.channels], tf.uint8)],
        autograph=False,
    )
    return lambda pixels: np.asarray(traced(tf.constant(pixels)))


def _method_name(method: str, antialias: bool) -> str:
    return method + (" with antialias" if antialias else "")


def _by_method(spec: Image, method: str, antialias: bool, pixels: tf.Tensor) -> tf.Tensor:
    framed = framing.fit_image(pixels, spec)
    return tf.image.resize(framed, (spec.height, spec.width), method, antialias=antialias)


def _other_methods(spec: Image) -> list[tuple[str, Resize]]:
    """Return all of tf.image.resize's methods, those with the spec's own name first."""
    return [
        (_method_name(method, antialias), functools.partial(_by_method, spec, method, antialias))
        for method in sorted(METHODS, key=lambda name: name != spec.resize)
        for antialias in ((False, True) if method in _WITH_ANTIALIAS else (False,))
    ]


def _tensorflow_1_methods(spec: Image) -> list[tuple[str, Resize]]:
    """Return the methods of TensorFlow 1, which align pixels in other ways."""
    kernels = {
        "bilinear": tf.raw_ops.ResizeBilinear,
        "bicubic": tf.raw_ops.ResizeBicubic,
        "nearest": tf.raw_ops.ResizeNearestNeighbor,
    }
    alignments = {
        "without half-pixel centres (TensorFlow 1)": {"half_pixel_centers": False},
        "with align_corners": {"align_corners": True},
    }
    return [
        (f"{method} {alignment}", functools.partial(_by_kernel, kernel, spec, options))
        for method, kernel in kernels.items()
        for alignment, options in alignments.items()
    ]


def _by_kernel(kernel: Callable[..., tf.Tensor], spec: Image, options: dict[str, bool], pixels: tf.Tensor) -> tf.Tensor:
    return kernel(images=framing.fit_image(pixels, spec), size=(spec.height, spec.width), **options)


_FRAMINGS: dict[Fit, str] = {
    "stretch": "stretched",
    "crop": "cropped to the model's aspect ratio",
    "pad": "letterboxed (padded to the model's aspect ratio)",
}


def _framings(spec: Image) -> list[tuple[str, Resize]]:
    """Return other ways to fit an image into the result than that of training."""
    resize = functools.partial(_by_method, spec, spec.resize, spec.antialias)

    def padded(pixels: tf.Tensor) -> tf.Tensor:
        return tf.image.resize_with_pad(pixels, spec.height, spec.width, spec.resize, spec.antialias)

    after_resizing = _FRAMINGS["pad"] if spec.fit != "pad" else "padded after resizing (tf.image.resize_with_pad)"
    return [
        *[
            (what, functools.partial(_by_method, dataclasses.replace(spec, fit=fit), spec.resize, spec.antialias))
            for fit, what in _FRAMINGS.items()
            if fit != spec.fit
        ],
        (after_resizing, padded),
        ("cropped to the middle 87.5 %", lambda pixels: resize(tf.image.central_crop(pixels, 0.875))),
        (
            "cropped or padded, not resized",
            lambda pixels: tf.image.resize_with_crop_or_pad(pixels, spec.height, spec.width),
        ),
    ]
