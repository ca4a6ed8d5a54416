"""A picture of what the augmentation makes of training pictures: `augmentation.png` in the ModelRun artifact."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image as Pillow
from PIL import ImageDraw

from components.task.task import Task
from data.augmentation.config import Augmentation
from data.augmentation.layers import LayerAugmentation
from data.files.atomic import write_aside
from data.input.reader import ReadConfig

AUGMENTATION = "augmentation.png"
PICTURES, STEPS = 9, 5
SIDE = 128  # pixels of the longer side of a picture in the grid
_GAP, _LINE = 6, 14  # pixels; a line of text
_LEAST = 0.01  # share of a label that is worth a line

Change = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def write_samples(
    task: Task, config: ReadConfig, classes: Sequence[str], augmenter: LayerAugmentation | None, folder: str
) -> None:
    """Draw a few training pictures, left, and beside each what the first steps of training make of such pictures.

    Nothing is written for a task without augmentation.

    Args:
      task: The task.
      config: How to read the training split.
      classes: Names of the classes or labels, in the order of the model's outputs; empty for a number.
      augmenter: The layers of the task, if `augment` is not an `Augmentation`.
      folder: Where to write, local or remote.
    """
    if task.augment == Augmentation():
        return
    change = _change_of(task.augment, task.train.seed) if augmenter is None else augmenter
    records = tf.data.TFRecordDataset(list(config.files)).take(PICTURES).as_numpy_iterator()
    images, labels = config.parse_and_transform(tf.constant(list(records)))
    if task.is_classification:
        labels = tf.one_hot(labels, len(classes))
    changed = _change_all(images, labels, change)
    columns = [images.numpy(), *(some for some, _ in changed)]
    captions = [_captions(some, classes) for some in (labels.numpy(), *(some for _, some in changed))]
    if augmenter is None or not augmenter.mixes_labels:  # the label is that of the original
        captions[1:] = [[f"step {step + 1}"] * len(images) for step in range(STEPS)]
    content = io.BytesIO()
    _grid(columns, captions).save(content, "PNG", optimize=True)
    write_aside(posixpath.join(folder, AUGMENTATION), content.getvalue())


def _change_of(augmentation: Any, seed: int) -> Change:
    return lambda step, images, labels: (augmentation(images, (seed, step)), labels)


def _change_all(images: tf.Tensor, labels: tf.Tensor, change: Change) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pictures and labels as they are in the first steps."""
    with tf.device("CPU"):
        found = [change(tf.constant(step, tf.int64), images, labels) for step in range(STEPS)]
    return [(pictures.numpy(), mixed.numpy()) for pictures, mixed in found]


def _captions(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return a line for each example: "rose", or "rose 70 %, tulip 30 %", or a number."""
    if not classes:
        return [f"{label:.4g}" for label in labels]
    found = []
    for row in labels:
        parts = [(share, classes[place]) for place, share in enumerate(row) if share >= _LEAST]
        whole = all(share > 1 - _LEAST for share, _ in parts)
        found.append(", ".join(name if whole else f"{name} {share:.0%}" for share, name in sorted(parts, reverse=True)))
    return found


def _grid(columns: Sequence[np.ndarray], captions: Sequence[Sequence[str]]) -> Pillow.Image:
    """Return the columns side by side, the first one with a larger gap beside it, and a caption under each picture."""
    height, width = columns[0].shape[1:3]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    across, down = size[0] + _GAP, size[1] + _LINE + _GAP
    sheet = Pillow.new("RGB", (across * len(columns) + 2 * _GAP, down * len(columns[0]) + _GAP), "white")
    writer = ImageDraw.Draw(sheet)
    method = Pillow.Resampling.NEAREST if scale > 1 else Pillow.Resampling.BOX
    for (column, pictures), texts in zip(enumerate(columns), captions, strict=True):
        left = _GAP + column * across + (_GAP if column else 0)
        for row, (pixels, text) in enumerate(zip(pictures, texts, strict=True)):
            top = _GAP + row * down
            picture = Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
            sheet.paste(picture.resize(size, method), (left, top))
            writer.text((left, top + size[1] + 1), _fitted(writer, text, size[0]), fill="black")
    return sheet


def _fitted(writer: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Return the text, cut to a width in pixels."""
    if writer.textlength(text) <= width:
        return text
    while text and writer.textlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."
