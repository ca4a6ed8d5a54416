"""JPEGs, and the sides that turn them into batches of float32, without end.

All sides end in the type that a network computes with, whole pixel values or not: Keras' reader gives float32, and ours
uint8, which the model casts. So ours is cast here, too.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from benchmarks.pictures import Pictures
from benchmarks.prepared import Prepared, prepare
from benchmarks.timing import Side, counted, once
from components.task.reference import TaskReference
from data.images import ops
from data.input import reader
from data.records import parse_spec
from data.spec import LABEL, Image

BATCH = 32
LONG_EPOCH = 20_000  # pictures


@dataclass(frozen=True)
class Jpegs:
    """JPEGs in one folder per class.

    Attributes:
      folder: The folder.
      count: Number of files.
      feature: The size to resize them to.
      is_resized: Whether any of them has another size.
    """

    folder: Path
    count: int
    feature: Image
    is_resized: bool

    @property
    def files(self) -> list[Path]:
        """All files, by class."""
        return sorted(self.folder.rglob("*.jpg"))

    def long_epoch(self) -> Path:
        """Return a folder that has each file so often that an epoch lasts for seconds.

        Readers of folders start anew in each epoch. With few pictures that would count more than it does in a training.
        """
        folder = self.folder.with_name(f"{self.folder.name}-long")
        if not folder.exists():
            for number in range(-(-LONG_EPOCH // self.count)):
                for file in self.files:
                    link = folder / file.parent.name / f"{number}-{file.name}"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(file, link)
        return folder


def _files(pictures: Pictures) -> list[Path]:
    return sorted(file for file in pictures.folder.rglob("*.*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))


def convert_to_jpegs(pictures: Pictures, scratch: Path) -> Jpegs:
    """Copy the pictures into one folder per class, in their own size; encode other formats as JPEG at quality 90.

    Pictures of many sizes are photographs, to be resized to 224x224.
    """
    target, count, sizes = Path(tempfile.mkdtemp(dir=scratch)), 0, set()
    for file in _files(pictures):
        out = target / file.parent.name / f"{count:06d}.jpg"
        out.parent.mkdir(exist_ok=True)
        with Pil.open(file) as image:
            sizes.add(image.size)
            if image.format != "JPEG":
                image.convert("RGB").save(out, quality=90)
        if not out.exists():
            out.write_bytes(file.read_bytes())
        count += 1
    width, height = sizes.pop() if len(sizes) == 1 else (224, 224)
    return Jpegs(target, count, Image(height, width), is_resized=bool(sizes))


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
    return Jpegs(target, count, Image(224, 224), is_resized=True)


@functools.cache
def _prepared(jpegs: Jpegs, scratch: Path, fields: frozenset[tuple[str, bool]]) -> Prepared:
    """Ingest the pictures, all of them but one in the training split, for a feature with some fields set."""
    settings = {f"feature.{name}": str(getattr(jpegs.feature, name)) for name in ("height", "width")}
    settings |= {f"feature.{name}": str(value).lower() for name, value in fields}
    root = Path(tempfile.mkdtemp(dir=scratch))
    return prepare(TaskReference("benchmarks.tasks:FOLDER", settings), jpegs.folder, root)


def training_shards(jpegs: Jpegs, scratch: Path, **fields: bool) -> reader.ReadConfig:
    """Return how the Trainer reads the pictures of the training split; `fields` are those of `Image`."""
    return _prepared(jpegs, scratch, frozenset(fields.items())).reading("train", BATCH)


def reader_side(jpegs: Jpegs, scratch: Path, **fields: bool) -> Side:
    """Read the training split with our reader, without a cache.

    Args:
      jpegs: The pictures.
      scratch: Folder for the shards.
      fields: Of `Image`, such as `antialias`.
    """
    reading = training_shards(jpegs, scratch, **fields)
    dataset = reader.read_batches(reading, cache_bytes=0, seed=0).passes()
    floats = dataset.map(lambda images, label: (tf.cast(images, tf.float32), label), tf.data.AUTOTUNE)
    return lambda: counted(floats.prefetch(tf.data.AUTOTUNE), jpegs.feature.shape)


def sides(jpegs: Jpegs, scratch: Path, antialias: bool) -> dict[str, Side]:
    """Return the sides by name: ours, bare decoding of files in memory, and what a user would write instead.

    Args:
      jpegs: The pictures.
      scratch: Folder for the shards.
      antialias: Whether all sides apply a low-pass filter when they shrink. Pillow always does, so that PyTorch is
        left out if the others do less, and Keras' readers have no such option.
    """
    found = {
        "ours": reader_side(jpegs, scratch, antialias=antialias),
        "bare": bare_side(jpegs, antialias),
        "tf_data": _plain(jpegs, scratch, antialias),
    }
    if not antialias:
        found |= {"image_dataset_from_directory": _keras(jpegs), "flow_from_directory": _generator(jpegs)}
    if not jpegs.is_resized or antialias:
        found |= _torch(jpegs)
    return found


def _decoded(contents: tf.Tensor, jpegs: Jpegs, antialias: bool) -> tf.Tensor:
    """Decode and resize one picture, as TensorFlow's guide does: float32 [h, w, 3]."""
    image = tf.io.decode_jpeg(contents, channels=3)
    resized = tf.image.resize(image, jpegs.feature.shape[:2], antialias=antialias)
    return tf.ensure_shape(resized, jpegs.feature.shape)


def bare_side(jpegs: Jpegs, antialias: bool) -> Side:
    """Decode files in memory, resize those of another size, round to uint8 and batch: the same pixels as ours."""

    def picture(contents: tf.Tensor) -> tf.Tensor:
        if not jpegs.is_resized:
            return tf.ensure_shape(tf.io.decode_jpeg(contents, channels=3), jpegs.feature.shape)
        return tf.cast(tf.round(_decoded(contents, jpegs, antialias)), tf.uint8)

    files = tf.data.Dataset.from_tensor_slices([file.read_bytes() for file in jpegs.files])
    pictures = files.repeat().map(picture, tf.data.AUTOTUNE).batch(BATCH)
    floats = pictures.map(lambda images: (tf.cast(images, tf.float32),), tf.data.AUTOTUNE)
    return lambda: counted(floats.prefetch(tf.data.AUTOTUNE), jpegs.feature.shape)


def _plain(jpegs: Jpegs, scratch: Path, antialias: bool) -> Side:
    """Read our shards as TensorFlow's guide on performance does."""
    prepared = _prepared(jpegs, scratch, frozenset({("antialias", antialias)}))
    reading, classes = prepared.reading("train", BATCH), tf.constant(prepared.classes)
    spec = parse_spec(reading.feature, reading.label)

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(serialized, spec)
        image = _decoded(example[reading.feature.name], jpegs, antialias)
        return image, tf.argmax(tf.cast(example[LABEL] == classes, tf.int32))

    records = tf.data.TFRecordDataset(list(reading.files), num_parallel_reads=tf.data.AUTOTUNE)
    batches = records.shuffle(4096).repeat().map(parse, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: counted(batches, jpegs.feature.shape)


def _keras(jpegs: Jpegs) -> Side:
    """Read the folder with Keras."""
    batches = keras.utils.image_dataset_from_directory(
        str(jpegs.long_epoch()), image_size=jpegs.feature.shape[:2], batch_size=BATCH, verbose=False
    )
    return lambda: counted(batches.repeat(), jpegs.feature.shape)


def _generator(jpegs: Jpegs) -> Side:
    """Read the folder with Keras' old generator."""
    flow = keras.src.legacy.preprocessing.image.ImageDataGenerator().flow_from_directory(
        str(jpegs.long_epoch()), target_size=jpegs.feature.shape[:2], batch_size=BATCH
    )
    return lambda: counted((next(flow) for _ in itertools.count()), jpegs.feature.shape)


def _torch(jpegs: Jpegs) -> dict[str, Side]:
    """Read the folder with PyTorch, if it is installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    from benchmarks.torch_side import batches

    size = (jpegs.feature.height, jpegs.feature.width)
    return {"torch": lambda: counted(batches(jpegs.long_epoch(), size, BATCH), jpegs.feature.shape)}


def image_options(jpegs: Jpegs) -> dict[str, Side]:
    """Return a pass over all pictures in memory for each field of `Image` that changes decoding or resizing."""
    contents = tf.data.Dataset.from_tensor_slices([file.read_bytes() for file in jpegs.files])
    options: dict[str, dict[str, Any]] = {
        "default": {},
        "fit=crop": {"fit": "crop"},
        "fit=pad": {"fit": "pad"},
        "background=white": {"background": "white"},
        "orientation=exif": {"orientation": "exif"},
    }

    def run(feature: Image) -> Side:
        dataset = contents.batch(BATCH).map(functools.partial(ops.decode_batch, spec=feature), tf.data.AUTOTUNE)
        next(iter(dataset))
        return once(lambda: sum(1 for _ in dataset))

    # Another size, so that every picture is resized, and of another shape, so that it is cropped or padded.
    height, width = max(8, jpegs.feature.height * 3 // 4), max(8, jpegs.feature.width // 2)
    return {name: run(Image(height, width, **fields)) for name, fields in options.items()}


def reader_stages(jpegs: Jpegs, scratch: Path) -> dict[str, Side]:
    """Return the reader's stages; each includes all stages before it."""
    reading = training_shards(jpegs, scratch, antialias=False)
    spec = parse_spec(reading.feature, reading.label)
    feature = jpegs.feature

    def until(stage: Callable[[tf.Tensor], object] | None) -> Side:
        serialized = tf.data.TFRecordDataset(list(reading.files)).batch(BATCH)
        dataset = serialized.map(stage, tf.data.AUTOTUNE) if stage else serialized
        next(iter(dataset), None)
        return once(lambda: sum(1 for _ in dataset))

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
