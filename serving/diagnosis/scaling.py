"""Scalings of pixels, and the wrong ones that are seen in the wild."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Of ImageNet, R, G, B: as torchvision has them (pixels 0..1), and Caffe (0..255).
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_CAFFE_MEAN = np.array([123.68, 116.779, 103.939])


@dataclass(frozen=True)
class Scaling:
    """x * scale + offset for a pixel x, 0..255.

    Attributes:
      scale, offset: a number, or float [channels].
    """

    scale: float | np.ndarray
    offset: float | np.ndarray

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """float32 [..., channels] to float32 of the same shape."""
        return (pixels * np.float32(self.scale) + np.float32(self.offset)).astype(np.float32)

    def after(self, other: Scaling) -> Scaling:
        """First the other, then this."""
        return Scaling(np.multiply(self.scale, other.scale), np.multiply(self.scale, other.offset) + self.offset)

    def inverse(self) -> Scaling:
        """What gives the pixel again.

        Raises:
          ValueError: a scale is 0.
        """
        if not np.all(self.scale):
            raise ValueError("no inverse: the scale is 0")
        return Scaling(1 / np.asarray(self.scale), -np.divide(self.offset, self.scale))

    def equals(self, other: Scaling) -> bool:
        """Whether both make the same of pixels, but for rounding."""
        return all(np.allclose(self(x), other(x), 1e-5, 1e-5) for x in (np.zeros(1), np.full(1, 255.0)))


TO_1, TO_PLUS_MINUS_1 = Scaling(1 / 255, 0.0), Scaling(1 / 127.5, -1.0)
_KNOWN = {
    "pixels 0..255": Scaling(1.0, 0.0),
    "pixels scaled to 0..1": TO_1,
    "pixels scaled to -1..1": TO_PLUS_MINUS_1,
    "ImageNet's mean and standard deviation": Scaling(1 / (255 * _STD), -_MEAN / _STD),
    "Caffe's mean of ImageNet": Scaling(1.0, -_CAFFE_MEAN),
}


def name_of(scaling: Scaling) -> str:
    """ "pixels scaled to 0..1", or "the model's own scaling" where it is none of those in wide use."""
    return next((name for name, known in _KNOWN.items() if known.equals(scaling)), "the model's own scaling")


def wrong(scaling: Scaling | None, channels: int) -> Iterator[tuple[str, str, Scaling]]:
    """Wrong scalings, as what is done to the pixels that the trained model then scales in its own way.

    Where the model computes x * s + o, and x * s' + o' was served, the model sees x' = (x * s' + o' - o) / s.

    Args:
      scaling: the model's own; None: not known, and only what may stand before the model is told.
      channels: of the pictures.

    Yields:
      What it is, what it is instead of ("" where that says nothing), and the scaling of the pixels. What is most
      usual comes first; none twice, and none that changes nothing.
    """
    seen = [Scaling(1.0, 0.0)]
    for what, instead_of, found in _candidates(scaling):
        fits = all(np.size(value) in (1, channels) for value in (found.scale, found.offset))
        finite = fits and np.isfinite(found(np.array([0.0, 255.0])[:, None])).all()
        if finite and not any(found.equals(one) for one in seen):
            seen.append(found)
            yield what, instead_of, found


def _candidates(scaling: Scaling | None) -> Iterator[tuple[str, str, Scaling]]:
    to_1 = "/255 twice" if scaling is None or TO_1.equals(scaling) else "/255 before the model's own scaling"
    if scaling is not None and np.all(scaling.scale):
        yield from _in_place_of(scaling, name_of(scaling))
    yield to_1, "", TO_1
    yield "scaled to -1..1 before the model's own scaling", "", TO_PLUS_MINUS_1
    yield "/255 missing", "", TO_1.inverse()
    if scaling is not None:
        yield "the model's own scaling twice", "", scaling


def _in_place_of(own: Scaling, name: str) -> Iterator[tuple[str, str, Scaling]]:
    """Other scalings than the model's own."""

    def instead(served: Scaling) -> Scaling:
        return own.inverse().after(served)

    if TO_1.equals(own):  # first, for it is the better name of pixels 0..255
        yield "/255 missing", "", TO_1.inverse()
    for known, served in _KNOWN.items():
        yield known, name, instead(served)
    if np.any(own.offset):
        # (x - mean) / std: what it is made of.
        mean, std = -np.divide(own.offset, own.scale), 1 / np.asarray(own.scale)
        with np.errstate(all="ignore"):  # a mean of 0: not looked at
            yield "mean and standard deviation swapped", "", instead(Scaling(1 / mean, -std / mean))
        yield "mean not subtracted", "", instead(Scaling(own.scale, 0.0))
        yield "not divided by the standard deviation", "", instead(Scaling(1.0, -mean))
        yield "mean added instead of subtracted", "", instead(Scaling(own.scale, -np.asarray(own.offset)))
        yield "divided by the variance, not the standard deviation", "", instead(Scaling(1 / std**2, -mean / std**2))
        if np.size(own.scale) > 1 or np.size(own.offset) > 1:
            turned = Scaling(np.flip(own.scale), np.flip(own.offset))
            yield "mean and standard deviation in the order of BGR", "", instead(turned)
