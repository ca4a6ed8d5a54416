"""Pictures of each class, sampled from the training shards; no more of them is read than is needed."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from components.review.decoding import decode_file
from components.review.inputs import ReviewInputs
from components.review.record import ClassSample, Picture
from components.review.thumbnails import thumbnail
from data.ingest.duplicates import describe_labels
from data.ingest.manifest import Manifest
from data.ingest.shards import ShardFile
from data.names import from_bytes
from data.spec import IMAGE, LABEL, Image, Number

SHOWN = 100  # classes: all of fewer, otherwise half of them the largest and half the smallest
PICTURES = 120  # of all classes together
EACH = 20  # of one class, at most
MOST_BYTES = 2**27  # that are read of the shards
TRAIN = "train"
_SEED = 20
_THREADS = 4
_NO_CLASS = ""  # of pictures whose label is a number, or that have none


def sample_classes(inputs: ReviewInputs, manifest: Manifest) -> tuple[list[ClassSample], list[Picture]]:
    """Return classes with their pictures, and pictures that are in no class: see `DataReview`.

    The pictures are the first of each class in shards that are drawn at random; ingestion has shuffled the records.

    Args:
      inputs: The artifacts of the run.
      manifest: Of the examples.
    """
    counts = {split: manifest.labels(split) for split in manifest.splits}
    names = choose_names(manifest.labels())
    classes = [ClassSample(name, {split: found.get(name, 0) for split, found in counts.items()}) for name in names]
    feature = inputs.task.feature
    if not isinstance(feature, Image) or not manifest.examples(TRAIN):
        return classes, []
    each = min(EACH, max(1, PICTURES // max(1, len(names))))
    wanted = {name: min(each, counts.get(TRAIN, {}).get(name, 0)) for name in names}
    is_number = isinstance(inputs.task.label, Number)
    wanted[_NO_CLASS] = min(32 if is_number else 16, manifest.unlabelled(TRAIN))
    drawn = draw_records(inputs.examples, manifest.splits[TRAIN], wanted)
    pictures = _show(drawn, feature)
    for one in classes:
        one.pictures = pictures.get(one.name, [])
    others = pictures.get(_NO_CLASS, [])
    return classes, sorted(others, key=lambda one: float(one.label)) if is_number else others


def choose_names(counts: Mapping[str, int]) -> list[str]:
    """Return the names to show, the largest first; of many the largest and the smallest.

    Args:
      counts: Number of examples by name.
    """
    names = sorted(counts, key=lambda name: -counts[name])
    half = SHOWN // 2
    return names if len(names) <= SHOWN else names[:half] + names[-half:]


def draw_records(
    folder: str, shards: Sequence[ShardFile], wanted: Mapping[str, int]
) -> dict[str, list[tf.train.Example]]:
    """Read records until each name has as many as wanted, or until `MOST_BYTES` are read.

    A shard is read up to its last record that is needed, and not at all if the manifest counts none in it. A record
    with several names counts for the one that needs most; "" stands for records without a name.

    Args:
      folder: Of the Examples artifact.
      shards: Of the split.
      wanted: Number of records by name, each at most the number in the split.
    """
    missing = Counter({name: count for name, count in wanted.items() if count})
    drawn: dict[str, list[tf.train.Example]] = {}
    budget = MOST_BYTES
    for place in np.random.default_rng(_SEED).permutation(len(shards)).tolist():
        shard = shards[place]
        left = Counter({**shard.labels, _NO_CLASS: shard.unlabelled})
        for example, size in _read(posixpath.join(folder, shard.file)) if _helps(left, missing) else ():
            names = _names(example) or [_NO_CLASS]
            left.subtract(names)
            name = max(names, key=lambda one: missing[one])
            if missing[name] > 0:
                missing[name] -= 1
                drawn.setdefault(name, []).append(example)
            budget -= size
            if budget < 0 or not _helps(left, missing):
                break
        if budget < 0 or not any(missing.values()):
            break
    return drawn


def _helps(left: Mapping[str, int], missing: Mapping[str, int]) -> bool:
    """Return whether the rest of a shard has a record that is missing."""
    return any(count > 0 and left.get(name, 0) > 0 for name, count in missing.items())


def _read(path: str) -> Iterator[tuple[tf.train.Example, int]]:
    """Yield the records of a shard with their sizes in bytes."""
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        yield tf.train.Example.FromString(record), len(record)


def _names(example: tf.train.Example) -> list[str]:
    """Return the names of a record; none if its label is a number."""
    return [value.decode() for value in example.features.feature[LABEL].bytes_list.value]


def _show(drawn: Mapping[str, Sequence[tf.train.Example]], spec: Image) -> dict[str, list[Picture]]:
    """Return the pictures of records by name."""
    with ThreadPoolExecutor(_THREADS) as pool:
        made = {name: [pool.submit(picture_of, one, spec) for one in examples] for name, examples in drawn.items()}
        return {name: [one.result() for one in pictures] for name, pictures in made.items()}


def picture_of(example: tf.train.Example, spec: Image) -> Picture:
    """Return the picture of a record, with its thumbnail.

    Args:
      example: A record of a picture.
      spec: How the model decodes it.
    """
    values = example.features.feature
    pixels = decode_file(values[IMAGE].bytes_list.value[0], spec)
    sources, numbers = values["image/source"].bytes_list.value, values[LABEL].float_list.value
    label = f"{numbers[0]:g}" if numbers else describe_labels(_names(example))
    height, width = pixels.shape[:2]
    return Picture(from_bytes(sources[0]) if sources else "", thumbnail(pixels), width, height, label)
