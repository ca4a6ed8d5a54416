"""The records of a split by their source: the pictures that a review shows are looked up once, all together."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from components.review.decoding import decode_file
from components.review.inputs import ReviewInputs
from components.review.record import Picture
from components.review.thumbnails import thumbnail
from data.ingest.manifest import Manifest
from data.ingest.shards import shard_paths
from data.names import from_bytes
from data.spec import IMAGE, Image

_BATCH = 256  # records that are parsed together
_BATCH_BYTES = 2**26  # of them, of large pictures


def fill_pictures(inputs: ReviewInputs, pictures: Collection[Picture]) -> None:
    """Fill in thumbnail and size of pictures of the held-out split, found by their source.

    One pass over the split; a source that is not there keeps an empty thumbnail. Pictures of other features than images
    stay as they are.

    Args:
      inputs: The artifacts of the run.
      pictures: To be filled in; several may have the same source.
    """
    feature = inputs.task.feature
    if isinstance(feature, Image):
        fill_thumbnails(inputs.examples, inputs.task.evaluate.split, feature, pictures)


def fill_thumbnails(examples: str, split: str, spec: Image, pictures: Collection[Picture]) -> None:
    """Fill in thumbnail and size of pictures, found by their source in one pass over a split.

    Args:
      examples: Folder of the Examples artifact.
      split: Name of the split; one that is not there has no pictures.
      spec: How the files are decoded; its size is not used.
      pictures: To be filled in; several may have the same source.
    """
    wanted: dict[str, list[Picture]] = {}
    for one in pictures:
        wanted.setdefault(one.source, []).append(one)
    shards = Manifest.load(examples).splits.get(split, []) if wanted else []
    if not shards:
        return
    features = {IMAGE: tf.io.FixedLenFeature([], tf.string), "image/source": tf.io.FixedLenFeature([], tf.string, "")}
    mean_bytes = max(1, sum(shard.bytes for shard in shards) // max(1, sum(shard.examples for shard in shards)))
    batch_size = min(_BATCH, max(1, _BATCH_BYTES // mean_bytes))
    for batch in tf.data.TFRecordDataset(shard_paths(examples, shards)).batch(batch_size):
        parsed = tf.io.parse_example(batch, features)
        for row, source in enumerate(parsed["image/source"].numpy()):
            shown = wanted.pop(from_bytes(source), ())
            if shown:
                pixels = decode_file(parsed[IMAGE][row].numpy(), spec)
                height, width = pixels.shape[:2]
                small = thumbnail(pixels)
            for one in shown:
                one.height, one.width, one.thumbnail = height, width, small
        if not wanted:
            return
