"""Choose sizes, network and limits for a task by simple rules; users can change them in the written module.

`python -m benchmarks.new_task` measures what the rules give, beside a notebook.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from data.images.headers import EXIF_ROTATION
from data.spec import Orientation
from pipeline.scaffold.pretrained import SIDE, Pretrained
from pipeline.scaffold.survey import Survey

LONGEST = 160  # pixels of a side without pretrained weights; with more, a first training would take long
LEAST = 96  # pixels of a side with pretrained weights; each backbone takes them, and sees little in fewer
SMALLEST = 8
OWN_SIZE = 64  # pixels; pictures that all have one size up to this keep it
SAME_SHAPE = 1.15  # largest ratio between aspect ratios that count as one shape
MAX_BLOCKS = 5
AVERAGED_FROM = 4  # blocks; the average of what fewer see loses where it is, and with it what digits differ in
FEW = 2000  # training pictures; with fewer, pretrained weights also help with small pictures
AUGMENTED_BELOW = 10_000  # training pictures
PICTURES_TO_SEE = 100_000  # in all epochs together, from random weights
HEAD_PICTURES, TUNED_PICTURES = 3000, 2000  # in all epochs of the two phases with pretrained weights
RATE, HEAD_RATE, TUNED_RATE = 1e-3, 2e-3, 1e-5  # learning rates of Adam
UNEVEN = 3  # ratio of the sizes of the largest and the smallest class from which on each class weighs the same
MARGIN = 0.05  # required accuracy above that of a model which always answers the largest class

_SIDES = {"left", "right", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
_SYMBOLS = {"digit", "letter", "character", "arrow"}


@dataclass(frozen=True)
class Choice:
    """The values in the module of a new task.

    Attributes:
      height, width, channels, antialias, orientation, background: Fields of `data.spec.Image`.
      pretrained: The backbone and its weights; None: a small network from random weights.
      weights: Field of `Transfer`; "" without pretrained weights.
      filters: Field of `ConvNet`.
      batch_size, epochs, rate, schedule: Fields of `Train`.
      pooling, dense, dropout: Fields of the model.
      tuned_epochs, tuned_rate, tuned_from: Fields of `FineTune`, the second phase, which also trains the last layers of
        the backbone; 0 and "" without pretrained weights.
      balanced: Whether all classes weigh the same in the loss.
      largest: The class or label with the most pictures for evaluation.
      share: Its share of them: the accuracy of a model that always answers it. With `balanced`, the balanced accuracy
        of such a model: 1 / classes. Of several labels, the mean share of a label: the mean average precision of a
        model that orders the pictures at random.
      minimum: The limit of `Evaluate` for the same metric; a little above `share`.
      augment: Whether training changes the pictures at random.
      flip: Whether a mirrored picture can belong to the same class.
    """

    height: int
    width: int
    channels: int
    antialias: bool
    orientation: Orientation
    background: str
    pretrained: Pretrained | None
    weights: str
    filters: tuple[int, ...]
    pooling: str
    dense: int
    dropout: float
    batch_size: int
    epochs: int
    rate: float
    schedule: tuple[tuple[int, float], ...]
    tuned_epochs: int
    tuned_rate: float
    tuned_from: str
    balanced: bool
    largest: str
    share: float
    minimum: float
    augment: bool
    flip: bool


def helps_pretrained(survey: Survey) -> bool:
    """Return whether weights that were trained on photographs are likely to help with the pictures."""
    if min(np.median(np.array(survey.sizes), axis=0)) > OWN_SIZE:
        return True
    return not survey.is_grey and survey.of_split("train") < FEW


def choose_task(survey: Survey, pretrained: Pretrained | None = None) -> Choice:
    """Choose the values for the data.

    Args:
      survey: What was found.
      pretrained: The backbone to train; None: a small network.
    """
    sizes = np.array(survey.sizes)
    height, width = transfer_size(sizes) if pretrained else feature_size(sizes)
    train, classes = survey.of_split("train"), sorted(survey.by_class)
    largest, most = survey.split["eval"].most_common(1)[0]
    share = _share(survey, most)
    epochs = _epochs(HEAD_PICTURES, train, 3, 8) if pretrained else _epochs(PICTURES_TO_SEE, train, 5, 30)
    blocks = filters(min(height, width))
    keeps_places = not pretrained and len(blocks) < AVERAGED_FROM
    return Choice(
        height=height,
        width=width,
        channels=1 if survey.is_grey and not pretrained else 3,
        antialias=any(tall > height or wide > width for tall, wide in survey.sizes),
        orientation="exif" if survey.remarks[EXIF_ROTATION] else "ignore",
        background="white" if survey.see_through else "",
        pretrained=pretrained,
        weights=pretrained.weights(height, width) if pretrained else "",
        filters=blocks,
        pooling="flatten" if keeps_places else "average",
        dense=(64 if len(classes) <= 10 else 128 if len(classes) <= 50 else 256) if keeps_places else 0,
        dropout=0.4 if keeps_places else 0.2,
        batch_size=16 if train < 1000 else 32 if train < 20_000 else 64 if train < 100_000 else 128,
        epochs=epochs,
        rate=HEAD_RATE if pretrained else RATE,
        schedule=() if pretrained else ((round(0.6 * epochs), 0.3 * RATE), (round(0.85 * epochs), 0.1 * RATE)),
        tuned_epochs=_epochs(TUNED_PICTURES, train, 2, 6) if pretrained else 0,
        tuned_rate=TUNED_RATE if pretrained else 0.0,
        tuned_from=pretrained.find_late_layer() if pretrained else "",
        balanced=is_uneven(survey),
        largest=largest,
        share=share,
        minimum=round(share + min(MARGIN, (1 - share) / 2), 2 if share < 0.9 else 4),
        augment=train < AUGMENTED_BELOW,
        flip=not any(map(has_a_side, classes)),
    )


def _share(survey: Survey, most: int) -> float:
    """Return `Choice.share`; `most` is the number of pictures of the largest class."""
    pictures = max(1, survey.of_split("eval"))
    if survey.is_multi_label:
        return min(1.0, survey.split["eval"].total() / pictures / len(survey.by_class))
    if is_uneven(survey):
        return 1 / sum(count > 0 for count in survey.split["eval"].values())
    return most / pictures


def is_uneven(survey: Survey) -> bool:
    """Return whether some class has far fewer training pictures than another."""
    counts = [survey.split["train"][name] for name in survey.by_class]
    return not survey.is_multi_label and max(counts) >= UNEVEN * min(counts)


def _epochs(pictures: int, train: int, least: int, most: int) -> int:
    """Return the number of epochs that see about so many pictures."""
    return min(most, max(least, math.ceil(pictures / train)))


def transfer_size(sizes: np.ndarray) -> tuple[int, int]:
    """Return height and width for a pretrained backbone: those of the pictures, within `LEAST` and `SIDE`."""
    height, width = feature_size(sizes, SIDE)
    enlarge = max(1.0, LEAST / min(height, width))
    return min(SIDE, _rounded(height * enlarge)), min(SIDE, _rounded(width * enlarge))


def feature_size(sizes: np.ndarray, longest: int = LONGEST) -> tuple[int, int]:
    """Return height and width for the model.

    Small pictures of one size keep it. Others get their median, reduced to `longest` and rounded to a multiple of 16
    (8 below 64 pixels); the result is square unless all pictures have about the same shape.

    Args:
      sizes: int [N, 2], height and width of the pictures.
      longest: Largest side, pixels.
    """
    height, width = np.median(sizes, axis=0).tolist()
    if len(np.unique(sizes, axis=0)) == 1 and min(height, width) >= SMALLEST and max(height, width) <= OWN_SIZE:
        return int(height), int(width)
    aspects = sizes[:, 1] / sizes[:, 0]
    if aspects.max() / aspects.min() > SAME_SHAPE:
        height = width = math.sqrt(height * width)
    shrink = min(1.0, longest / max(height, width))
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
