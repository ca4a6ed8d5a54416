"""The task that fits what was found: sizes, network and limits, by plain rules that a user may overrule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from pipeline.scaffold.survey import Survey

LONGEST = 160  # pixels of a side: larger sees more, but takes longer than a first try should
SMALLEST = 8
OWN_SIZE = 64  # pixels up to which pictures of one size keep it
SAME_SHAPE = 1.15  # largest ratio of the aspects of pictures that are taken for one shape
MAX_BLOCKS = 5
AUGMENTED_BELOW = 2000  # pictures for training
PICTURES_TO_SEE = 100_000  # in all epochs together
MARGIN = 0.05  # of the accuracy above that of a model which knows the largest class only

_SIDES = {"left", "right", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
_SYMBOLS = {"digit", "letter", "character", "arrow"}


@dataclass(frozen=True)
class Choice:
    """What the module of a new task says.

    Attributes:
      height, width, channels, antialias: of `data.spec.Image`.
      filters: of each block of convolution and pooling.
      units: of the dense layer before the last.
      batch_size, epochs: of `Train`.
      largest: the class with the most pictures for evaluation.
      share: its share of them, the accuracy of a model that knows no other.
      min_accuracy: of `Evaluate`; a little above `share`.
      augment: whether training changes the pictures at random.
      flip: whether a mirrored picture may be of the same class.
    """

    height: int
    width: int
    channels: int
    antialias: bool
    filters: tuple[int, ...]
    units: int
    batch_size: int
    epochs: int
    largest: str
    share: float
    min_accuracy: float
    augment: bool
    flip: bool


def choose_task(survey: Survey) -> Choice:
    """The task for the data."""
    height, width = feature_size(np.array(survey.sizes))
    train, classes = survey.of_split("train"), sorted(survey.by_class)
    largest, most = survey.split["eval"].most_common(1)[0]
    share = most / survey.of_split("eval")
    return Choice(
        height=height,
        width=width,
        channels=1 if survey.is_grey else 3,
        antialias=any(tall > height or wide > width for tall, wide in survey.sizes),
        filters=filters(min(height, width)),
        units=64 if len(classes) <= 10 else 128 if len(classes) <= 50 else 256,
        batch_size=16 if train < 1000 else 32 if train < 20_000 else 64 if train < 100_000 else 128,
        epochs=min(30, max(5, math.ceil(PICTURES_TO_SEE / train))),
        largest=largest,
        share=share,
        min_accuracy=round(share + min(MARGIN, (1 - share) / 2), 2 if share < 0.9 else 4),
        augment=train < AUGMENTED_BELOW,
        flip=not any(map(has_a_side, classes)),
    )


def feature_size(sizes: np.ndarray) -> tuple[int, int]:
    """Height and width for the model.

    Small pictures of one size keep it. Others get their median, shrunk to `LONGEST` and rounded to a multiple of 16
    (8 below 64 pixels), oblong where all have about the same shape, else square.

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
    """Filters of each block: as many blocks as leave 4 pixels of the shorter side, fewer filters for large pictures."""
    blocks = max(1, min(MAX_BLOCKS, int(math.log2(side / 4))))
    first = 16 if side > OWN_SIZE else 32
    return tuple(min(128, first << block) for block in range(blocks))


def has_a_side(name: str) -> bool:
    """Whether a class's name speaks of something that a mirror changes: digits, letters, left and right."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return len(name) == 1 or any(word.isdecimal() or word.rstrip("s") in _SYMBOLS | _SIDES for word in words)
