"""The specification of a task's records: the feature that the model sees and the label that it learns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Union

from data.errors import UsageError
from data.fields import check_fields

IMAGE = "image"  # the feature's name in a record of a picture
VECTOR = "features"  # the feature's name in a record of numbers
LABEL = "label"
MAX_PIXELS = 2**26

ResizeMethod = Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"]
Fit = Literal["stretch", "crop", "pad"]
Orientation = Literal["ignore", "exif"]
RESIZE_METHODS = ("nearest", "bilinear", "bicubic", "area", "lanczos3")
FITS = ("stretch", "crop", "pad")
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


@dataclass(frozen=True)
class Image:
    """A picture as the model gets it: uint8 [height, width, channels], 0..255.

    Attributes:
      height: pixels of the result, after resizing in the graph.
      width: pixels of the result.
      channels: 1 (grey) or 3 (RGB). CMYK is converted, as TensorFlow's decoders do. Of 16 bits a channel, the upper 8
        are used.
      background: colour on which transparent pixels are blended before anything else: "white", "black" or "#rrggbb".
        Each channel becomes (value * alpha + colour * (255 - alpha)) / 255, rounded, as in Pillow's `alpha_composite`.
        "": the alpha channel is dropped, as TensorFlow's decoders do, so that the colours of transparent pixels, often
        black, appear.
      resize: the method of `tf.image.resize`; results are rounded to whole pixel values.
      fit: what to do if a picture has another aspect ratio: "stretch" changes it; "crop" cuts the longer side around
        the centre, as `crop_to_aspect_ratio` of Keras' `Resizing`; "pad" adds black pixels around the shorter side, as
        its `pad_to_aspect_ratio`, and only then resizes. A picture that padding would make larger than 8 times
        `max_pixels` (or than 67 million pixels) is a narrow strip; of it, every second, third, ... row and column is
        used.
      orientation: "exif" turns a picture upright by the EXIF orientation in its file (JPEG, PNG and WebP), before it is
        cropped or resized; "ignore" uses the pixels as they are stored, as TensorFlow's decoders do.
      antialias: whether to apply a low-pass filter when shrinking (bilinear, bicubic and lanczos3 only).
      shrink_on_load: whether to scale large JPEGs by 1/2, 1/4 or 1/8 while they are decoded, before resizing; both
        sides stay at least as long as the result's (with "crop", those of the part that is kept; with "pad", one side
        of the picture, so that it is not enlarged). Training, evaluation and serving do the same, depending on the
        file's size. The pixels differ from those of a full decode: the scaling averages, which removes fine detail
        (and, without `antialias`, aliasing). Photographs of 12 megapixels to 224x224 were read 1.6 times as fast on
        two cores (`benchmarks.input`); one was decoded in 21 ms at 1/8 and in 35 ms at full size: no scaling saves
        the entropy decoding.
      max_pixels: largest number of pixels that a file may claim. A larger file is rejected before it is decoded:
        ingestion puts it into quarantine, a server answers INVALID_ARGUMENT. The default, 67 million, is above
        today's cameras; such a picture takes 200 MB decoded, and up to 32 pictures of a batch are decoded at once. If
        all pictures are small, a lower limit protects a server better.
    """

    height: int
    width: int
    channels: int = 3
    background: str = ""
    resize: ResizeMethod = "bilinear"
    fit: Fit = "stretch"
    orientation: Orientation = "ignore"
    antialias: bool = False
    shrink_on_load: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        check_fields(self, "feature")
        if self.height < 1 or self.width < 1:
            raise UsageError(f"feature.height and feature.width must be at least 1, got {self.height}x{self.width}")
        if self.height * self.width > MAX_PIXELS:
            raise UsageError(
                f"feature.height x feature.width must be at most {MAX_PIXELS} pixels, got {self.height}x{self.width}"
            )
        if self.channels not in (1, 3):
            raise UsageError(f"feature.channels must be 1 or 3, got {self.channels}")
        if self.resize not in RESIZE_METHODS:
            raise UsageError(f"feature.resize must be one of {', '.join(RESIZE_METHODS)}, got '{self.resize}'")
        if self.max_pixels < 1:
            raise UsageError(f"feature.max_pixels must be at least 1, got {self.max_pixels}")
        if self.fit not in FITS:
            raise UsageError(f"feature.fit must be one of {', '.join(FITS)}, got '{self.fit}'")
        if self.background:
            parse_colour(self.background)

    @property
    def name(self) -> str:
        """The feature's name in records and batches."""
        return IMAGE

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example after the transform."""
        return (self.height, self.width, self.channels)

    @property
    def bytes_per_example(self) -> int:
        """Memory of one transformed example (uint8)."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Vector:
    """A row of numbers: float32 [size].

    Attributes:
      size: how many numbers.
    """

    size: int

    def __post_init__(self) -> None:
        check_fields(self, "feature")
        if not 1 <= self.size <= MAX_PIXELS:
            raise UsageError(f"feature.size must be 1 to {MAX_PIXELS}, got {self.size}")

    @property
    def name(self) -> str:
        """The feature's name in records and batches."""
        return VECTOR

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example after the transform."""
        return (self.size,)

    @property
    def bytes_per_example(self) -> int:
        """Memory of one transformed example (float32)."""
        return 4 * self.size


@dataclass(frozen=True)
class Classes:
    """A label that is one of several names; the model sees its index, int64 scalar.

    Attributes:
      names: the names in the order of the model's outputs. Empty: the names in the data, sorted, as in Keras'
        directory readers.
      allow_untrained: whether a name may have no training example; its output then learns from negative examples
        only.
    """

    names: tuple[str, ...] = ()
    allow_untrained: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "label")
        _check_no_repeats(self.names)
        if len(self.names) == 1 or "" in self.names:
            raise UsageError(f"label.names must be two or more names that are not empty, got {self.names}")


@dataclass(frozen=True)
class Labels:
    """A label that is any number of several names; the model sees float32 [names], 1 for each name that applies.

    A model ends in one sigmoid for each name. A threshold for each name is chosen on the evaluation split and is part
    of the exported model: a name applies if its score is at least its threshold.

    Attributes:
      names: the names in the order of the model's outputs. Empty: the names in the data, sorted, as for `Classes`.
      allow_untrained: whether a name may have no training example; its output then learns from negative examples
        only.
    """

    names: tuple[str, ...] = ()
    allow_untrained: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "label")
        _check_no_repeats(self.names)
        if "" in self.names:
            raise UsageError(f"label.names must be names that are not empty, got {self.names}")


def _check_no_repeats(names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names):
        raise UsageError(f"label.names contains a name twice: {', '.join(names)}", hint="Remove one of them.")


@dataclass(frozen=True)
class Number:
    """A label that is a number, float32 scalar."""


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0..255, of a colour as `Image.background` names it.

    Raises:
      UsageError: If it is not "white", "black" or "#rrggbb".
    """
    if text in _COLOURS:
        return _COLOURS[text]
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise UsageError(
            f"feature.background must be white, black or #rrggbb, got '{text}'",
            hint="Give red, green and blue two hexadecimal digits each, such as #ff8000; '' drops the alpha channel.",
        )
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


Feature = Union[Image, Vector]
Label = Union[Classes, Labels, Number]
