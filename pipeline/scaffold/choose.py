"""Choose sizes, network and limits for a task by simple rules; users can change them in the written module."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from data.images.headers import EXIF_ROTATION
from data.spec import Orientation
from pipeline.scaffold.survey import Survey

LONGEST = 160  # pixels of a side; more shows more detail, but a first training should not take long
SMALLEST = 8
OWN_SIZE = 64  # pixels; pictures that all have one size up to this keep it
SAME_SHAPE = 1.15  # largest ratio between aspect ratios that count as one shape
MAX_BLOCKS = 5
AUGMENTED_BELOW = 2000  # training pictures
PICTURES_TO_SEE = 100_000  # in all epochs together
MARGIN = 0.05  # required accuracy above that of a model which always answers the largest class

_SIDES = {"left", "right", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
_SYMBOLS = {"digit", "letter", "character", "arrow"}


@dataclass(frozen=True)
class Choice:
    """The values in the module of a new task.

    Attributes:
      height, width, channels, antialias, orientation, background: Fields of `data.spec.Image`.
      filters: Filters of each block of convolution and pooling.
      units: Units of the dense layer before the last.
      batch_size, epochs: Fields of `Train`.
      largest: The class or label with the most pictures for evaluation.
      share: Its share of them: the accuracy of a model that always answers it. Of several labels, the mean share of a
        label: the mean average precision of a model that orders the pictures at random.
      minimum: `min_accuracy` or `min_average_precision` of `Evaluate`; a little above `share`.
      augment: Whether training changes the pictures at random.
      flip: Whether a mirrored picture can belong to the same class.
    """

    height: int
    width: int
    channels: int
    antialias: bool
    orientation: Orientation
    background: str
    filters: tuple[int, ...]
    units: int
    batch_size: int
    epochs: int
    largest: str
    share: float
    minimum: float
    augment: bool
    flip: bool


def choose_task(survey: Survey) -> Choice:
    """Choose the values for the data."""
    height, width = feature_size(np.array(survey.sizes))
    train, classes = survey.of_split("train"), sorted(survey.by_class)
    largest, most = survey.split["eval"].most_common(1)[0]
    share = most / max(1, survey.of_split("eval"))
    if survey.is_multi_label:
        share = min(1.0, survey.split["eval"].total() / max(1, survey.of_split("eval")) / len(classes))
    return Choice(
        height=height,
        width=width,
        channels=1 if survey.is_grey else 3,
        antialias=any(tall > height or wide > width for tall, wide in survey.sizes),
        orientation="exif" if survey.remarks[EXIF_ROTATION] else "ignore",
        background="white" if survey.see_through else "",
        filters=filters(min(height, width)),
        units=64 if len(classes) <= 10 else 128 if len(classes) <= 50 else 256,
        batch_size=16 if train < 1000 else 32 if train < 20_000 else 64 if train < 100_000 else 128,
        epochs=min(30, max(5, math.ceil(PICTURES_TO_SEE / train))),
        largest=largest,
        share=share,
        minimum=round(share + min(MARGIN, (1 - share) / 2), 2 if share < 0.9 else 4),
        augment=train < AUGMENTED_BELOW,
        flip=not any(map(has_a_side, classes)),
    )


def feature_size(sizes: np.ndarray) -> tuple[int, int]:
    """Return height and width for the model.

    Small pictures of one size keep it. Others get their median, reduced to `LONGEST` and rounded to a multiple of 16
    (8 below 64 pixels); the result is square unless all pictures have about the same shape.

    Args:
      sizes: int [N, 2], height and width of the pictures.
    """
    height, width = np.median(sizes, axis=0).tolist()
    if len(np.unique(sizes, axis=0)) == 1 and min(height, width) >= SMALLEST and max(height, width) <= OWN_SIZE:
        return int(height), int(width)
    aspects = sizes[:, 1] / sizes[:, 0]
    if aspects.max() / aspects.min() > SAME_SHAPE:
        height = width = math.sqrt(height * width)
    shrink = min(1.0, LONGEST / max(height, width))
    return _rounded(height * shrink), _rounded(width * shrink)


def _rounded(pixels: float) -> int:
    step = 16 if pixels >= OWN_SIZE else 8
    return max(SMALLEST, step * round(pixels / step))


def filters(side: int) -> tuple[int, ...]:
    """Return the filters of each block; the blocks leave 4 pixels of the shorter side."""
    blocks = max(1, min(MAX_BLOCKS, int(math.log2(side / 4))))
    first = 16 if side > OWN_SIZE else 32
    return tuple(min(128, first << block) for block in range(blocks))


def has_a_side(name: str) -> bool:
    """Return whether a class name means something that a mirror changes: digits, letters, left and right."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return len(name) == 1 or any(word.isdecimal() or word.rstrip("s") in _SYMBOLS | _SIDES for word in words)
