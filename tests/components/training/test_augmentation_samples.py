"""The picture of the augmentation: the first training pictures, and what the first steps make of such pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.models.augmentation import augmenter_of
from components.prepare.transform import Preprocessing
from components.task.overrides import apply_settings
from components.task.task import Task
from components.training.augmentation_samples import AUGMENTATION, PICTURES, STEPS, write_samples
from data.augmentation.config import Augmentation
from data.input.reader import ReadConfig
from tests.tasks.tiny import TASK

CLASSES = ("1", "2", "10")
TILE, ACROSS, DOWN = 128, 134, 148  # pixels: of a picture, and from one to the next


@pytest.fixture(scope="module")
def config(digit_named: SimpleNamespace) -> ReadConfig:
    files = sorted(tf.io.gfile.glob(f"{digit_named.examples}/Split-train/*"))
    count = sum(1 for _ in tf.data.TFRecordDataset(files))
    return ReadConfig(files, count, TASK.feature, TASK.label, Preprocessing(digit_named.transform), 4)


def drawn(task: Task, config: ReadConfig, folder: Path) -> Callable[[int, int], np.ndarray]:
    """Return a function (row, column) -> uint8 [8, 8, 3]: a picture of the grid at its own size."""
    write_samples(task, config, CLASSES, augmenter_of(task), str(folder))
    sheet = np.asarray(Image.open(folder / AUGMENTATION).convert("RGB"))

    def tile(row: int, column: int) -> np.ndarray:
        left, top = 6 + column * ACROSS + (6 if column else 0), 6 + row * DOWN
        return sheet[top : top + TILE, left : left + TILE][TILE // 16 :: TILE // 8, TILE // 16 :: TILE // 8]

    return tile


def originals(config: ReadConfig) -> tuple[tf.Tensor, tf.Tensor]:
    records = tf.data.TFRecordDataset(list(config.files)).take(PICTURES)
    return config.parse_and_transform(tf.constant(list(records.as_numpy_iterator())))


def test_originals_are_left_and_the_first_steps_beside_them(config: ReadConfig, tmp_path: Path) -> None:
    task = apply_settings(TASK, {"augment": "random_translation(height_factor=0.3, width_factor=0.3), random_invert"})
    tile, augmenter, (images, labels) = drawn(task, config, tmp_path), augmenter_of(task), originals(config)
    assert augmenter is not None
    for row in range(PICTURES):
        np.testing.assert_array_equal(tile(row, 0), images[row])
    for step in range(STEPS):
        changed, _ = augmenter(tf.constant(step, tf.int64), images, labels)
        for row in range(PICTURES):
            np.testing.assert_array_equal(tile(row, step + 1), changed[row])


def test_an_augmentation_of_the_old_class_is_drawn_too(config: ReadConfig, tmp_path: Path) -> None:
    augmentation = Augmentation(horizontal_flip=True)
    task = dataclasses.replace(TASK, augment=augmentation)
    tile, (images, _) = drawn(task, config, tmp_path), originals(config)
    for step in range(STEPS):
        changed = augmentation(images, (task.train.seed, step))
        np.testing.assert_array_equal(tile(0, step + 1), changed[0])


def test_mixed_labels_are_below_their_pictures(config: ReadConfig, tmp_path: Path) -> None:
    """The caption of a mixture is longer than that of one class."""
    task = apply_settings(TASK, {"augment": "mix_up(alpha=1.0)"})
    drawn(task, config, tmp_path)
    sheet = np.asarray(Image.open(tmp_path / AUGMENTATION).convert("L"))

    def width(row: int, column: int) -> int:
        left, top = 6 + column * ACROSS + (6 if column else 0), 6 + row * DOWN + TILE
        return int(np.flatnonzero((sheet[top : top + 14, left : left + TILE] < 128).any(axis=0)).max())

    assert max(width(row, 0) for row in range(PICTURES)) < 20 < max(width(row, 1) for row in range(PICTURES))


def test_nothing_is_drawn_without_an_augmentation(config: ReadConfig, tmp_path: Path) -> None:
    write_samples(TASK, config, CLASSES, None, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
