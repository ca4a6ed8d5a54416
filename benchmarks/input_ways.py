"""JPEGs, and the implementations that turn them into batches; each returns the seconds of one pass."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from benchmarks.pictures import Pictures
from benchmarks.prepared import Prepared, prepare
from components.task.reference import TaskReference
from data.images import ops
from data.input import reader
from data.records import parse_spec
from data.spec import Image

BATCH = 32
Way = Callable[[], float]


@dataclass(frozen=True)
class Jpegs:
    """JPEGs in one folder per class, and the size to resize them to."""

    folder: Path
    count: int
    feature: Image


def _files(pictures: Pictures) -> list[Path]:
    return sorted(file for file in pictures.folder.rglob("*.*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))


def convert_to_jpegs(pictures: Pictures, scratch: Path) -> Jpegs:
    """Copy the pictures into one folder per class, in their own size; encode other formats as JPEG at quality 90."""
    target, count, size = Path(tempfile.mkdtemp(dir=scratch)), 0, (0, 0)
    for file in _files(pictures):
        out = target / file.parent.name / f"{count:06d}.jpg"
        out.parent.mkdir(exist_ok=True)
        with Pil.open(file) as image:
            size = image.size
            if image.format != "JPEG":
                image.convert("RGB").save(out, quality=90)
        if not out.exists():
            out.write_bytes(file.read_bytes())
        count += 1
    return Jpegs(target, count, Image(size[1], size[0]))


def make_photographs(pictures: Pictures, count: int, scratch: Path) -> Jpegs:
    """Enlarge pictures to 4000x3000 and add a sensor's grain: JPEG, quality 90."""
    target, rng = Path(tempfile.mkdtemp(dir=scratch)), np.random.default_rng(0)
    grain = rng.normal(0, 4, (3000, 4000, 1))
    files = _files(pictures)
    for number in range(count):
        out = target / ("even", "odd")[number % 2] / f"{number}.jpg"
        out.parent.mkdir(exist_ok=True)
        with Pil.open(files[number * len(files) // count]) as image:
            enlarged = np.asarray(image.convert("RGB").resize((4000, 3000), Pil.Resampling.BICUBIC))
        noisy = np.clip(enlarged + np.roll(grain, 37 * number, 1), 0, 255).astype(np.uint8)
        Pil.fromarray(noisy).save(out, quality=90)
    return Jpegs(target, count, Image(224, 224))


@functools.cache
def _prepared(jpegs: Jpegs, scratch: Path, shrink_on_load: bool) -> Prepared:
    """Ingest the pictures, all of them but one in the training split."""
    feature = replace(jpegs.feature, shrink_on_load=shrink_on_load)
    settings = {f"feature.{name}": str(getattr(feature, name)).lower() for name in ("height", "width")}
    settings["feature.shrink_on_load"] = str(shrink_on_load).lower()
    root = Path(tempfile.mkdtemp(dir=scratch))
    return prepare(TaskReference("benchmarks.tasks:FOLDER", settings), jpegs.folder, root)


def _timed(batches: Callable[[], Iterable[object]]) -> float:
    start = time.perf_counter()
    for _ in batches():
        pass
    return time.perf_counter() - start


def _steady(endless: tf.data.Dataset, size: Callable[[Any], int], window: float) -> float:
    """Measure the seconds per picture for `window` seconds, after the first element of a new iterator.

    The iterator's start, which weighs little in a training, does not count. The iterator is new, so that it cannot
    read ahead while others run.
    """
    rows = iter(endless)
    next(rows)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < window:
        count += size(next(rows))
    return (time.perf_counter() - start) / count


def reader_run(jpegs: Jpegs, scratch: Path, window: float, *, shrink_on_load: bool = False) -> Way:
    """Read the training split with the reader, without a cache; scale the seconds to all pictures."""
    reading = _prepared(jpegs, scratch, shrink_on_load).reading("train", BATCH)
    dataset = reader.read_batches(reading, cache_bytes=0, seed=0).passes()
    return lambda: jpegs.count * _steady(dataset, lambda batch: len(batch[1]), window)


def implementations(jpegs: Jpegs, scratch: Path, window: float) -> dict[str, Way]:
    """Return the implementations by name.

    They are ours, two kinds of bare parallel decoding of files in memory, and Keras' two directory readers.
    """
    size = (jpegs.feature.height, jpegs.feature.width)
    contents = tf.constant([file.read_bytes() for file in sorted(jpegs.folder.rglob("*.jpg"))])
    files = tf.data.Dataset.from_tensor_slices(contents)

    def decode(one: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_jpeg(one, channels=3, dct_method="INTEGER_ACCURATE")

    def decoded(some: tf.Tensor) -> tf.Tensor:
        return tf.add_n([tf.size(decode(one)) for one in tf.unstack(some, BATCH)])

    one_by_one = files.repeat().map(decode, tf.data.AUTOTUNE)
    at_once = files.repeat().batch(BATCH, drop_remainder=True).map(decoded, tf.data.AUTOTUNE)
    directory = keras.utils.image_dataset_from_directory(
        str(jpegs.folder), image_size=size, batch_size=BATCH, verbose=False
    )
    generator = keras.src.legacy.preprocessing.image.ImageDataGenerator().flow_from_directory(
        str(jpegs.folder), target_size=size, batch_size=BATCH
    )
    return {
        "ours": reader_run(jpegs, scratch, window),
        "bare, file by file": lambda: jpegs.count * _steady(one_by_one, lambda _: 1, window),
        "bare, 32 in a call": lambda: jpegs.count * _steady(at_once, lambda _: BATCH, window),
        "image_dataset_from_directory": lambda: _timed(lambda: directory),
        "flow_from_directory": lambda: _timed(lambda: (generator[index] for index in range(len(generator)))),
    }


def image_options(jpegs: Jpegs) -> dict[str, Way]:
    """Return a pass over all pictures in memory for each field of `Image` that changes decoding or resizing."""
    contents = tf.data.Dataset.from_tensor_slices([file.read_bytes() for file in sorted(jpegs.folder.rglob("*.jpg"))])
    options: dict[str, dict[str, Any]] = {
        "default": {},
        "fit=crop": {"fit": "crop"},
        "fit=pad": {"fit": "pad"},
        "background=white": {"background": "white"},
        "orientation=exif": {"orientation": "exif"},
    }

    def run(feature: Image) -> Way:
        dataset = contents.batch(BATCH).map(functools.partial(ops.decode_batch, spec=feature), tf.data.AUTOTUNE)
        next(iter(dataset))
        return lambda: _timed(lambda: dataset)

    # Another size, so that every picture is resized, and of another shape, so that it is cropped or padded.
    height, width = max(8, jpegs.feature.height * 3 // 4), max(8, jpegs.feature.width // 2)
    return {name: run(Image(height, width, **fields)) for name, fields in options.items()}


def reader_stages(jpegs: Jpegs, scratch: Path) -> dict[str, Way]:
    """Return the reader's stages; each includes all stages before it."""
    reading = _prepared(jpegs, scratch, shrink_on_load=False).reading("train", BATCH)
    spec = parse_spec(reading.feature, reading.label)
    feature = jpegs.feature

    def until(stage: Callable[[tf.Tensor], object] | None) -> Way:
        serialized = tf.data.TFRecordDataset(list(reading.files)).batch(BATCH)
        dataset = serialized.map(stage, tf.data.AUTOTUNE) if stage else serialized
        next(iter(dataset), None)
        return lambda: _timed(lambda: dataset)

    def sizes(serialized: tf.Tensor) -> tf.Tensor:
        contents = tf.io.parse_example(serialized, spec)[feature.name]
        return tf.map_fn(lambda one: tf.shape(ops.decode(one, 3)), contents, fn_output_signature=tf.int32)

    def resized(serialized: tf.Tensor) -> tf.Tensor:
        return ops.decode_batch(tf.io.parse_example(serialized, spec)[feature.name], feature)

    return {
        "read": until(None),
        "parse": until(lambda serialized: tf.io.parse_example(serialized, spec)),
        "decode": until(sizes),
        "resize": until(resized),
        "batch": until(reading.parse_and_transform),
    }
