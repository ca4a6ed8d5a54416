"""What a record means: the feature that the model sees and the label it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from data.errors import UsageError
from data.fields import check_fields

IMAGE = "image"  # the feature's name in a record of pictures
VECTOR = "features"  # and in a record of numbers
LABEL = "label"
MAX_PIXELS = 2**26

ResizeMethod = Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"]
RESIZE_METHODS = ("nearest", "bilinear", "bicubic", "area", "lanczos3")


@dataclass(frozen=True)
class Image:
    """Pictures as the model gets them: uint8 [height, width, channels], 0..255.

    Attributes:
      height, width: pixels after the resizing in the graph.
      channels: 1 (grey) or 3 (RGB). An alpha channel is dropped, CMYK converted, as TensorFlow's decoders do.
      resize: the method of `tf.image.resize`; results are rounded to whole pixel values.
      antialias: low-pass filter when shrinking (bilinear, bicubic and lanczos3 only).
      shrink_on_load: JPEGs much larger than wanted are scaled by 1/2, 1/4 or 1/8 while they decode, then resized; both
        sides stay at least as long as wanted. Training, evaluation and serving do the same, by the file's own size.
        The pixels differ from those of a full decode: the scaling averages, which takes fine detail (and, without
        `antialias`, aliasing) away. Photographs of 12 megapixels to 224x224 were read 1.6 times as fast on two cores
        (`benchmarks.input`); one decoded in 21 ms at 1/8 and 35 ms whole: what no scaling saves is the entropy code.
      max_pixels: a file that claims more is refused before it is decoded: at ingestion it goes to quarantine, a server
        answers INVALID_ARGUMENT. The default, 67 million, is above today's cameras; decoded it takes 200 MB, and 32
        pictures of a batch may be under way at once. Where all pictures are small, a lower limit protects a server
        better.
    """

    height: int
    width: int
    channels: int = 3
    resize: ResizeMethod = "bilinear"
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
    """A row of numbers: float32 [size]."""

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
      names: the names in the order of the model's outputs. Empty: those found in the data, sorted, as Keras'
        directory readers do.
      allow_untrained: whether a name may have no training example; its output learns only what it is not.
    """

    names: tuple[str, ...] = ()
    allow_untrained: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "label")
        if len(set(self.names)) != len(self.names):
            raise UsageError(f"label.names has a name twice: {', '.join(self.names)}")
        if len(self.names) == 1 or "" in self.names:
            raise UsageError(f"label.names must be two names or more, none of them empty, got {self.names}")


@dataclass(frozen=True)
class Number:
    """A label that is a number, float32 scalar."""


Feature = Union[Image, Vector]
Label = Union[Classes, Number]
