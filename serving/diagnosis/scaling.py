"""Scalings of pixels, and the wrong ones that occur in practice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# ImageNet's statistics for R, G, B: torchvision's (pixels 0..1), and Caffe's (0..255).
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939])

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scaling:
    """The function x * scale + offset of a pixel x, 0..255.

    Attributes:
      scale: A number, or float [channels].
      offset: A number, or float [channels].
    """

    scale: float | Array
    offset: float | Array

    def __call__(self, pixels: Array) -> Array:
        """Scale pixels: float32 [..., channels] to float32 of the same shape."""
        scaled: Array = (pixels * np.float32(self.scale) + np.float32(self.offset)).astype(np.float32)
        return scaled

    def after(self, other: Scaling) -> Scaling:
        """Return the scaling that applies the other one first, then this one."""
        return Scaling(np.multiply(self.scale, other.scale), np.multiply(self.scale, other.offset) + self.offset)

    def inverse(self) -> Scaling:
        """Return the scaling that restores the pixels.

        Raises:
          ValueError: If a scale is 0.
        """
        if not np.all(self.scale):
            raise ValueError("no inverse: the scale is 0")
        return Scaling(1 / np.asarray(self.scale), -np.divide(self.offset, self.scale))

    def equals(self, other: Scaling) -> bool:
        """Return whether both give the same values, except for rounding."""
        return all(np.allclose(self(x), other(x), 1e-5, 1e-5) for x in (np.zeros(1), np.full(1, 255.0)))


TO_1, TO_PLUS_MINUS_1 = Scaling(1 / 255, 0.0), Scaling(1 / 127.5, -1.0)
_KNOWN = {
    "pixels 0..255": Scaling(1.0, 0.0),
    "pixels scaled to 0..1": TO_1,
    "pixels scaled to -1..1": TO_PLUS_MINUS_1,
    "ImageNet's mean and standard deviation": Scaling(1 / (255 * _STD), -_MEAN / _STD),
    "Caffe's mean of ImageNet": Scaling(1.0, -_CAFFE_MEAN),
}


def scaling_name(scaling: Scaling) -> str:
    """Return the name of a scaling in wide use ("pixels scaled to 0..1"), otherwise "the model's own scaling"."""
    return next((name for name, known in _KNOWN.items() if known.equals(scaling)), "the model's own scaling")


def wrong_scalings(scaling: Scaling | None, channels: int) -> Iterator[tuple[str, str, Scaling]]:
    """Yield wrong scalings, as a change of the pixels that the trained model then scales in its own way.

    If the model computes x * s + o, and x * s' + o' was served, the model receives x' = (x * s' + o' - o) / s.

    Args:
      scaling: The model's own scaling. None if it is not known: then only changes before the model are yielded.
      channels: Number of channels of the images.

    Yields:
      What is wrong, what it replaces ("" if that adds nothing), and the scaling of the pixels. The most common comes
      first. No scaling is yielded twice, and none that changes nothing.
    """
    seen = [Scaling(1.0, 0.0)]
    for what, instead_of, candidate in _candidates(scaling):
        fits = all(np.size(value) in (1, channels) for value in (candidate.scale, candidate.offset))
        is_finite = fits and np.isfinite(candidate(np.array([0.0, 255.0])[:, None])).all()
        if is_finite and not any(candidate.equals(other) for other in seen):
            seen.append(candidate)
            yield what, instead_of, candidate


def _candidates(scaling: Scaling | None) -> Iterator[tuple[str, str, Scaling]]:
    to_1 = "/255 twice" if scaling is None or TO_1.equals(scaling) else "/255 before the model's own scaling"
    if scaling is not None and np.all(scaling.scale):
        yield from _replacements(scaling, scaling_name(scaling))
    yield to_1, "", TO_1
    yield "scaled to -1..1 before the model's own scaling", "", TO_PLUS_MINUS_1
    yield "/255 missing", "", TO_1.inverse()
    if scaling is not None:
        yield "the model's own scaling twice", "", scaling


def _replacements(own: Scaling, name: str) -> Iterator[tuple[str, str, Scaling]]:
    """Yield scalings that replace the model's own one."""

    def instead(served: Scaling) -> Scaling:
        return own.inverse().after(served)

    if TO_1.equals(own):  # first, as it is a better name than "pixels 0..255"
        yield "/255 missing", "", TO_1.inverse()
    for known, served in _KNOWN.items():
        yield known, name, instead(served)
    if np.any(own.offset):
        for what, served in _wrong_normalizations(own):
            yield what, "", instead(served)


def _wrong_normalizations(own: Scaling) -> Iterator[tuple[str, Scaling]]:
    """Yield mistakes in (x - mean) / std, for the mean and std that a scaling consists of."""
    mean, std = -np.divide(own.offset, own.scale), 1 / np.asarray(own.scale)
    with np.errstate(all="ignore"):  # a mean of 0 gives infinities, which the caller leaves out
        yield "mean and standard deviation swapped", Scaling(1 / mean, -std / mean)
    yield "mean not subtracted", Scaling(own.scale, 0.0)
    yield "not divided by the standard deviation", Scaling(1.0, -mean)
    yield "mean added instead of subtracted", Scaling(own.scale, -np.asarray(own.offset))
    yield "divided by the variance, not the standard deviation", Scaling(1 / std**2, -mean / std**2)
    if np.size(own.scale) > 1 or np.size(own.offset) > 1:
        yield "mean and standard deviation in the order of BGR", Scaling(np.flip(own.scale), np.flip(own.offset))
