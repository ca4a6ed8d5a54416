"""Five implementations of the same augmentation, and decoding only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
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
PASSES = 4  # without a pause, as in a training, so that the start-up weighs as little as it does there


@dataclass(frozen=True)
class Timed:
    """The result of one run.

    Attributes:
      pictures: Number of pictures that came out.
      seconds: Wall-clock time of the run.
      processor: CPU seconds per picture.
    """

    pictures: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self.pictures / self.seconds


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


def implementations(pictures: Pictures, size: int, batch_size: int) -> dict[str, Callable[[], Timed]]:
    """Return the implementations by name.

    Each passes over all pictures `PASSES` times; the generator, which has no start-up to spread, passes once.
    """
    files = sorted(str(file) for file in pictures.folder.glob("*/*.jpg"))
    in_graph = {"ours": _ours, "keras_layers": _keras_layers(), "projective": _projective, "decode": None}
    datasets = {name: _dataset(files, size, batch_size, change) for name, change in in_graph.items()}
    batches: dict[str, Callable[[], Iterable[Any]]] = {name: partial(iter, one) for name, one in datasets.items()}
    batches["generator"] = lambda: _generator(pictures, size, batch_size)
    batches["opencv"] = lambda: _opencv(files, size, batch_size)
    order = ("ours", "generator", "keras_layers", "projective", "opencv", "decode")
    counts = {name: len(files) * (1 if name == "generator" else PASSES) for name in order}
    return {name: partial(_timed, batches[name], counts[name]) for name in order}


def _timed(make: Callable[[], Iterable[Any]], count: int) -> Timed:
    start, processor = time.perf_counter(), time.process_time()
    seen = sum(len(batch) for batch in make())
    if seen != count:
        raise AssertionError(f"{seen} of {count} pictures came out")
    return Timed(seen, time.perf_counter() - start, (time.process_time() - processor) / seen)


def _dataset(
    files: list[str], size: int, batch_size: int, change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None
) -> tf.data.Dataset:
    def read(file: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(decode(tf.io.read_file(file), 3), (size, size, 3))

    dataset = (
        tf.data.Dataset.from_tensor_slices(files).repeat(PASSES).map(read, num_parallel_calls=CORES).batch(batch_size)
    )
    if change:
        dataset = dataset.enumerate().map(change, num_parallel_calls=CORES)
    return dataset.prefetch(2)


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


def _generator(pictures: Pictures, size: int, batch_size: int) -> Iterable[NDArray[Any]]:
    flow = ImageDataGenerator(**ARGUMENTS).flow_from_directory(
        str(pictures.folder), target_size=(size, size), batch_size=batch_size, class_mode=None, shuffle=False
    )
    return (flow[number] for number in range(len(flow)))


def _opencv(files: list[str], size: int, batch_size: int) -> Iterable[NDArray[Any]]:
    """Augment pictures in a pool of threads.

    OpenCV's own threads are off, because they would compete with the pool.
    """
    cv2.setNumThreads(1)
    files = files * PASSES
    draws = AUGMENTATION.draw((0, 0), len(files), size, size)
    affine = matrices(draws, size, size).numpy()[:, ::-1][:, :, [1, 0, 2]]
    flips = draws.flip_horizontal.numpy()

    def augmented(number: int) -> NDArray[Any]:
        image = cv2.imdecode(np.frombuffer(Path(files[number]).read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
        options = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(image, affine[number], (size, size), flags=options, borderMode=cv2.BORDER_REPLICATE)
        return cv2.flip(moved, 1) if flips[number] else moved

    with ThreadPoolExecutor(CORES) as pool:
        results = pool.map(augmented, range(len(files)))
        for start in range(0, len(files), batch_size):
            yield np.stack([next(results) for _ in range(start, min(start + batch_size, len(files)))])
