"""Five implementations of the same augmentation, and decoding only."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from numpy.typing import NDArray
from PIL import Image as PilImage

from benchmarks.pictures import FEATURE, Pictures, recognise_data_set, take_pictures
from benchmarks.timing import Side, counted
from data.augmentation.config import Augmentation
from data.augmentation.ops import matrices
from data.errors import DataError
from data.images.ops import decode
from data.sources import ImageFolder

ARGUMENTS: dict[str, Any] = {
    "rotation_range": 40.0,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "fill_mode": "nearest",
}
AUGMENTATION = Augmentation(**ARGUMENTS)
CORES = len(os.sched_getaffinity(0))
AHEAD = 2  # batches that may be ready before they are asked for


def write_jpegs(data: Path, limit: int, size: int, scratch: Path) -> Pictures:
    """Write about `limit` of the pictures as JPEGs, in one folder per class.

    Raises:
      DataError: If neither `data` nor `data/horse-or-human` contains one folder of pictures per class.
    """
    found = next(
        (one for one in map(recognise_data_set, (data, data / "horse-or-human")) if one and not one.is_idx), None
    )
    if not found:
        raise DataError(
            f"no folder of pictures per class at {data}", hint="Pass the folder of horse-or-human with --data."
        )
    few = take_pictures(found, limit, scratch)
    target = scratch / "jpeg"
    plan = ImageFolder().plan(str(few.folder), FEATURE)
    for number, (path, label) in enumerate(item for items in plan.splits.values() for item in items):
        file = target / str(label) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        PilImage.open(few.folder / path).convert("RGB").resize((size, size)).save(file, quality=95)
    return Pictures(found.name, target, few.count, 1)


def implementations(pictures: Pictures, size: int, batch_size: int) -> dict[str, Side]:
    """Return the implementations by name; each passes over the pictures without end."""
    files = sorted(str(file) for file in pictures.folder.glob("*/*.jpg"))
    in_graph = {"ours": _ours, "keras_layers": _keras_layers(), "projective": _projective, "decode": None}
    datasets = {name: _dataset(files, size, batch_size, change) for name, change in in_graph.items()}
    shape = (size, size, 3)
    sides: dict[str, Side] = {name: lambda one=one: counted(one, shape) for name, one in datasets.items()}  # type: ignore[misc]
    sides["generator"] = lambda: counted(_generator(pictures, size, batch_size), shape)
    sides["opencv"] = lambda: counted(_opencv(files, size, batch_size), shape)
    return {name: sides[name] for name in ("ours", "generator", "keras_layers", "projective", "opencv", "decode")}


def _dataset(
    files: list[str], size: int, batch_size: int, change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None
) -> tf.data.Dataset:
    def read(file: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(decode(tf.io.read_file(file), 3), (size, size, 3))

    def changed(step: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor]:
        return (tf.cast(change(step, images) if change else images, tf.float32),)

    dataset = tf.data.Dataset.from_tensor_slices(files).repeat().map(read, num_parallel_calls=CORES).batch(batch_size)
    return dataset.enumerate().map(changed, num_parallel_calls=CORES).prefetch(AHEAD)


def _ours(step: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    return AUGMENTATION(images, (0, step))


def _projective(step: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Apply the same changes with less precision: this op takes float32 matrices, columns first."""
    size = images.shape[1]
    draws = AUGMENTATION.draw(tf.stack([0, step]), tf.shape(images)[0], size, size)
    row, column = tf.unstack(tf.cast(matrices(draws, size, size), tf.float32), axis=1)
    zeros = tf.zeros_like(row[:, :1])
    swapped = [column[:, 1], column[:, 0], column[:, 2], row[:, 1], row[:, 0], row[:, 2]]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.concat([tf.stack(swapped, axis=1), zeros, zeros], axis=1),
        output_shape=[size, size],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return tf.where(draws.flip_horizontal[:, None, None, None], moved[:, :, ::-1], moved)


def _keras_layers() -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Come as close as Keras' own layers allow: each layer resamples, and the shear of 0.2 degrees is a slope."""
    slope = float(np.tan(np.deg2rad(ARGUMENTS["shear_range"])))
    chain = [
        keras.layers.RandomRotation(40 / 360, fill_mode="nearest"),
        keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
        keras.layers.RandomShear(x_factor=slope, y_factor=0.0, fill_mode="nearest"),
        keras.layers.RandomZoom(0.2, 0.2, fill_mode="nearest"),
        keras.layers.RandomFlip("horizontal"),
    ]

    def change(step: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        for layer in chain:
            images = layer(images, training=True)
        return images

    return change


def _generator(pictures: Pictures, size: int, batch_size: int) -> Iterator[tuple[NDArray[Any]]]:
    flow = ImageDataGenerator(**ARGUMENTS).flow_from_directory(
        str(pictures.folder), target_size=(size, size), batch_size=batch_size, class_mode=None, shuffle=False
    )
    return ((flow[number],) for number in itertools.cycle(range(len(flow))))


def _opencv(files: list[str], size: int, batch_size: int) -> Iterator[tuple[NDArray[Any]]]:
    """Augment pictures in a pool of threads.

    OpenCV's own threads are off, because they would compete with the pool.
    """
    cv2.setNumThreads(1)

    def augmented(file: str, affine: NDArray[Any], flip: bool) -> NDArray[Any]:
        image = cv2.imdecode(np.frombuffer(Path(file).read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
        options = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(image, affine, (size, size), flags=options, borderMode=cv2.BORDER_REPLICATE)
        return cv2.flip(moved, 1) if flip else moved

    with ThreadPoolExecutor(CORES) as pool:
        batches = (
            [pool.submit(augmented, *one) for one in batch] for batch in _opencv_batches(files, size, batch_size)
        )
        waiting = deque(itertools.islice(batches, AHEAD))
        while True:
            pictures = [one.result() for one in waiting.popleft()]
            waiting.append(next(batches))
            yield (np.stack(pictures).astype(np.float32),)


def _opencv_batches(files: list[str], size: int, batch_size: int) -> Iterator[list[tuple[str, NDArray[Any], bool]]]:
    """Yield file, affine matrix and flip of each picture of a batch, pass after pass."""
    for number in itertools.count():
        draws = AUGMENTATION.draw((0, number), len(files), size, size)
        affine = matrices(draws, size, size).numpy()[:, ::-1][:, :, [1, 0, 2]]
        changes = list(zip(files, affine, draws.flip_horizontal.numpy().tolist(), strict=True))
        yield from (changes[start : start + batch_size] for start in range(0, len(changes), batch_size))
