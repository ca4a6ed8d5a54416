"""The known ways in which the pixels that a model is served differ from those that it was trained on.

Each is a change of one step of training's own route: decode, resize, round, order the channels, scale.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from data.images import ops
from data.images.formats import decoder_name, read_header
from data.spec import Image
from serving.diagnosis.scaling import Scaling, wrong
from serving.parity.report import Stage

Decode = Callable[[bytes], np.ndarray]
"""An encoded picture to uint8 [h, w, channels]; raises what TensorFlow raises."""
Change = Callable[[np.ndarray], np.ndarray]
METHODS = tuple(tf.image.ResizeMethod.__dict__[name] for name in sorted(vars(tf.image.ResizeMethod)) if name.isupper())
_ANTIALIASED = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


class Step(NamedTuple):
    """A step of the route, and the stage that it is told as."""

    order: int
    stage: Stage


DECODE, RESIZE, ROUND = Step(0, "decode"), Step(1, "resize"), Step(2, "resize")
CHANNELS, SCALE = Step(3, "channel order"), Step(4, "scale")


@dataclass(frozen=True)
class Skew:
    """One step, done otherwise.

    Attributes:
      step: which.
      what: is done.
      instead_of: what training does; "" where `what` says it all.
      run: the step. Decoding: `Decode`; resizing: uint8 [h, w, c] to float32 [height, width, c], not rounded; all
        others: float32 [height, width, c] to the same.
    """

    step: Step
    what: str
    instead_of: str
    run: Callable[[Any], np.ndarray]


def phrase(skews: Sequence[Skew]) -> str:
    """Those that explain a fault equally well: "nearest or area instead of bilinear"."""
    whats: dict[str, dict[str, None]] = {}
    for one in skews:
        whats.setdefault(one.instead_of, {})[one.what] = None
    return " or ".join(
        " or ".join(what) + (f" instead of {instead_of}" if instead_of else "") for instead_of, what in whats.items()
    )


def training_route(spec: Image) -> dict[Step, Skew]:
    """The steps as training does them."""
    runs: dict[Step, Callable[[Any], np.ndarray]] = {
        DECODE: _decoder(spec, spec.shrink_on_load),
        RESIZE: _resizer(spec, functools.partial(_by_method, spec, spec.resize, spec.antialias)),
        ROUND: lambda pixels: np.clip(np.round(pixels), 0, 255),  # halves to even, as tf.round
        CHANNELS: lambda pixels: pixels,
        SCALE: lambda pixels: pixels,
    }
    return {step: Skew(step, "", "", run) for step, run in runs.items()}


def known_skews(spec: Image, scaling: Scaling | None) -> list[Skew]:
    """All of them, in the order of the steps; within a step, what is most usual comes first."""
    return [*_unscaled(spec), *_scalings(spec, scaling)]


@functools.lru_cache(maxsize=4)  # several routes of one model may differ
def _unscaled(spec: Image) -> tuple[Skew, ...]:
    return (*_decodings(spec), *_resizings(spec), *_roundings(), *_channel_orders(spec))


def _decodings(spec: Image) -> list[Skew]:
    plain = _decoder(spec, spec.shrink_on_load)

    def jpeg(**options: Any) -> Decode:
        def decode(contents: bytes) -> np.ndarray:
            if decoder_name(contents) != "jpeg":
                return plain(contents)
            given = {"ratio": _ratio(contents, spec), "dct_method": "INTEGER_ACCURATE", **options}
            return tf.io.decode_jpeg(contents, spec.channels, **given).numpy()

        return decode

    def turned(contents: bytes) -> np.ndarray:
        return turn(plain(contents), read_header(contents).orientation)

    whole, shrunk = "decoded whole", "decoded at a smaller scale"
    instead = (whole, "shrink_on_load") if spec.shrink_on_load else (shrunk, "whole (shrink_on_load)")
    skews = [
        Skew(DECODE, "JPEG's DCT method INTEGER_FAST (TensorFlow's default)", "INTEGER_ACCURATE", jpeg(dct_method="")),
        Skew(DECODE, "turned as EXIF says", "", turned),
        Skew(DECODE, *instead, _decoder(spec, not spec.shrink_on_load)),
        Skew(DECODE, "JPEG's colours upscaled plainly", "fancy_upscaling", jpeg(fancy_upscaling=False)),
    ]
    if spec.channels == 3:
        one = _decoder(dataclasses.replace(spec, channels=1), spec.shrink_on_load)
        skews.append(Skew(DECODE, "grey", "colour", lambda contents: np.repeat(one(contents), 3, axis=2)))
    return skews


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [h, w, c] as EXIF's orientation, 1 to 8, means them to be seen (CIPA DC-008, 4.6.4 A)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _ratio(contents: bytes, spec: Image) -> int:
    """By which training scales a JPEG while it decodes."""
    if not spec.shrink_on_load:
        return 1
    height, width, _ = tf.io.extract_jpeg_shape(contents).numpy()
    fits = [one for one in (8, 4, 2) if -(-height // one) >= spec.height and -(-width // one) >= spec.width]
    return fits[0] if fits else 1


# Traced once for all pictures, when it is first used: eagerly, each picture would trace the branches that it takes.
def _decoder(spec: Image, shrink: bool) -> Decode:
    at_least = (spec.height, spec.width) if shrink else None
    decode = tf.function(
        lambda contents: ops.decode(contents, spec.channels, at_least, spec.max_pixels),
        [tf.TensorSpec([], tf.string)],
        autograph=False,
    )
    return lambda contents: decode(tf.constant(contents)).numpy()


def _resizer(spec: Image, resize: Callable[[tf.Tensor], tf.Tensor]) -> Change:
    traced = tf.function(
        lambda pixels: tf.cast(resize(pixels[tf.newaxis])[0], tf.float32),
        [tf.TensorSpec([None, None, spec.channels], tf.uint8)],
        autograph=False,
    )
    return lambda pixels: traced(tf.constant(pixels)).numpy()


def _by_method(spec: Image, method: str, antialias: bool, pixels: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(pixels, (spec.height, spec.width), method, antialias=antialias)


def _resizings(spec: Image) -> list[Skew]:
    size = (spec.height, spec.width)
    own = spec.resize + (" with antialias" if spec.antialias and spec.resize in _ANTIALIASED else "")
    skews = []
    for method in sorted(METHODS, key=lambda name: name != spec.resize):
        for antialias in (False, True) if method in _ANTIALIASED else (False,):
            what = method + (" with antialias" if antialias else "")
            if what != own:
                run = functools.partial(_by_method, spec, method, antialias)
                skews.append(Skew(RESIZE, what, own, _resizer(spec, run)))
    legacy = {
        "bilinear": tf.raw_ops.ResizeBilinear,
        "bicubic": tf.raw_ops.ResizeBicubic,
        "nearest": tf.raw_ops.ResizeNearestNeighbor,
    }
    for method, op in legacy.items():
        for what, options in (
            ("without half-pixel centres (TensorFlow 1)", {"half_pixel_centers": False}),
            ("with align_corners", {"align_corners": True}),
        ):
            run = functools.partial(_by_op, op, size, options)
            skews.append(Skew(RESIZE, f"{method} {what}", own, _resizer(spec, run)))
    return skews + [Skew(RESIZE, what, "stretched", _resizer(spec, run)) for what, run in _framings(spec).items()]


def _by_op(
    op: Callable[..., tf.Tensor], size: tuple[int, int], options: dict[str, bool], pixels: tf.Tensor
) -> tf.Tensor:
    return op(images=pixels, size=size, **options)


def _framings(spec: Image) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
    """Ways to keep the proportions of a picture that training stretches."""
    resize = functools.partial(_by_method, spec, spec.resize, spec.antialias)

    def padded(pixels: tf.Tensor) -> tf.Tensor:
        return tf.image.resize_with_pad(pixels, spec.height, spec.width, spec.resize, spec.antialias)

    def cropped(pixels: tf.Tensor) -> tf.Tensor:
        height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
        high = tf.maximum(1, tf.minimum(height, width * spec.height // spec.width))
        wide = tf.maximum(1, tf.minimum(width, height * spec.width // spec.height))
        return resize(tf.image.crop_to_bounding_box(pixels, (height - high) // 2, (width - wide) // 2, high, wide))

    return {
        "letterboxed (padded to the wanted proportions)": padded,
        "cropped to the wanted proportions": cropped,
        "cropped to the middle 87.5 %": lambda pixels: resize(tf.image.central_crop(pixels, 0.875)),
        "cropped or padded, not resized": lambda pixels: tf.image.resize_with_crop_or_pad(
            pixels, spec.height, spec.width
        ),
    }


def _roundings() -> list[Skew]:
    def truncated(pixels: np.ndarray) -> np.ndarray:  # out of range as tf.cast has it
        return tf.cast(tf.cast(pixels, tf.uint8), tf.float32).numpy()

    return [
        Skew(ROUND, "results not rounded", "", lambda pixels: pixels),
        Skew(ROUND, "results truncated", "rounded", truncated),
        Skew(ROUND, "results truncated", "rounded", lambda pixels: np.floor(np.clip(pixels, 0, 255))),
    ]


def _channel_orders(spec: Image) -> list[Skew]:
    return [Skew(CHANNELS, "BGR", "RGB", lambda pixels: pixels[..., ::-1])] if spec.channels == 3 else []


def _scalings(spec: Image, scaling: Scaling | None) -> list[Skew]:
    return [Skew(SCALE, what, instead_of, run) for what, instead_of, run in wrong(scaling, spec.channels)]
