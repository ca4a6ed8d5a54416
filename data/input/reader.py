"""From shards to batches: the raw records, through the transform's own graph, kept as uint8 where they fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from data.records import parse_spec
from data.spec import LABEL, Classes, Feature, Image, Label

CHUNK = 256  # records parsed and transformed in one call, where no batch says how many

Tensors = Mapping[str, tf.Tensor]
Transform = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Part:
    """Which examples of each batch this process takes, where several share it: number `index` and every `of`th after.

    Batches and their order are those of a process alone; parts differ by one example at most, and may be empty.
    """

    index: int = 0
    of: int = 1

    def rows(self, batch: tf.Tensor) -> tf.Tensor:
        """[B, ...] to [about B / of, ...]."""
        return batch if self.of == 1 else batch[self.index :: self.of]


@dataclass(frozen=True)
class Reading:
    """How the records of a split are read.

    Attributes:
      files: TFRecord shards, uncompressed.
      examples: number of records in them, from the manifest.
      feature, label: what they hold.
      transform: raw tensors of a batch to transformed ones, the TransformGraph's layer.
      batch_size: examples per batch; the last one is smaller in evaluation, and kept in training too.
      part: what this process takes of each batch.
    """

    files: Sequence[str]
    examples: int
    feature: Feature
    label: Label
    transform: Transform
    batch_size: int
    part: Part = Part()

    @property
    def memory(self) -> int:
        """Bytes that all transformed examples take."""
        return self.examples * (self.feature.bytes_per_example + 8)

    @property
    def dtypes(self) -> tuple[tf.DType, tf.DType]:
        """Of the transformed features and labels."""
        feature = tf.uint8 if isinstance(self.feature, Image) else tf.float32
        return feature, tf.int64 if isinstance(self.label, Classes) else tf.float32

    def fits(self, limit: int) -> bool:
        """Whether they stay in memory, given the limit in bytes."""
        return self.memory <= limit

    def transformed(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        """Batches of serialized examples (string [B]) to (features [B, ...], labels [B])."""
        return serialized.map(self.chunk, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def chunk(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Serialized examples (string [N]) to features [N, ...] and labels [N]."""
        raw = tf.io.parse_example(serialized, parse_spec(self.feature, self.label))
        transformed = self.transform(raw)
        features = tf.ensure_shape(transformed[self.feature.name], (None, *self.feature.shape))
        return features, transformed[LABEL]


@dataclass(frozen=True)
class Batches:
    """The batches of a split, pass after pass.

    Attributes:
      steps: batches in a pass; the last one may be smaller.
      in_memory: whether the transformed examples are held.
      load_seconds: time spent reading and decoding them beforehand; 0 where the first pass does it as it goes, or
        `passes` has to, begun further on.
    """

    _from: Callable[[int, int], tf.data.Dataset]
    steps: int
    in_memory: bool
    load_seconds: float = 0.0

    # Nothing here is for AutoGraph, whose first look at each function takes half a second in all.
    @tf.autograph.experimental.do_not_convert
    def passes(self, epoch: int = 0, batch: int = 0) -> tf.data.Dataset:
        """Endless passes, (features [B, ...], labels [B]), from a batch of an epoch on: the same from there as if
        they had been read from the beginning. Reading goes on over the end of a pass, so that no epoch starts cold."""
        return self._from(epoch, batch)

    def one_pass(self, epoch: int = 0) -> tf.data.Dataset:
        """The batches of one epoch."""
        return self.passes(epoch).take(self.steps).apply(tf.data.experimental.assert_cardinality(self.steps))


def batches(reading: Reading, *, cache_bytes: int, seed: int | None = None, shuffle_buffer: int = 4096) -> Batches:
    """The batches of a split; each record exactly once a pass.

    Held in memory and shuffled, the first epoch streams, and each of its batches is kept on the way; later epochs
    draw from all that is kept. One begun further on (`passes(epoch, batch)`) has to read everything beforehand.

    Args:
      reading: what to read.
      cache_bytes: transformed examples are held in memory if they take no more.
      seed: draws another order for each epoch, the same ones again for the same seed; None keeps the order.
      shuffle_buffer: records to draw from, where they are not held in memory (and in the first epoch).
    """
    steps = -(-reading.examples // reading.batch_size)
    if not reading.fits(cache_bytes):
        return Batches(lambda epoch, batch: _streamed(reading, seed, shuffle_buffer, epoch, batch), steps, False)
    held = _Held(reading, seed, shuffle_buffer)
    if seed is None:
        held.fill()
    return Batches(held.passes, steps, True, held.load_seconds)


class _Held:
    """The transformed examples in memory, once, in the order of the first epoch."""

    def __init__(self, reading: Reading, seed: int | None, buffer: int) -> None:
        self._reading, self._seed, self._buffer = reading, seed, buffer
        self._filled = False
        self.load_seconds = 0.0
        feature, label = reading.dtypes
        with tf.device("CPU"):
            # A variable is filled in place and gathered from in place; an array would be copied into a tensor.
            self._features = tf.Variable(tf.zeros((reading.examples, *reading.feature.shape), feature), trainable=False)
            self._labels = tf.Variable(tf.zeros(reading.examples, label), trainable=False)

    def fill(self) -> None:
        """Reads everything, if that was not done yet."""
        if self._filled:
            return
        start = time.perf_counter()
        for _ in self._first_epoch(CHUNK):
            pass
        self._filled = True
        self.load_seconds = time.perf_counter() - start

    def passes(self, epoch: int, batch: int) -> tf.data.Dataset:
        """As `Batches.passes`."""
        if (epoch, batch) == (0, 0) and not self._filled:
            found = self._first_epoch(self._reading.batch_size).concatenate(self._gathered(1, 0))
        else:
            self.fill()
            found = self._gathered(epoch, batch)
        return found.prefetch(tf.data.AUTOTUNE)

    def _first_epoch(self, batch_size: int) -> tf.data.Dataset:
        """Streams the first epoch, and keeps it; a number of records that is not the manifest's is an error."""
        count = self._reading.examples

        def kept(number: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            features, labels = self._reading.chunk(serialized)
            start = number * batch_size
            rows = tf.range(start, tf.minimum(start + batch_size, count))
            # Not `variable[start:end].assign`: that copies the whole variable each time.
            self._features.scatter_update(tf.IndexedSlices(features, rows))
            self._labels.scatter_update(tf.IndexedSlices(labels, rows))
            return self._reading.part.rows(features), self._reading.part.rows(labels)

        epoch = tf.data.Dataset.range(1)
        records = epoch.flat_map(lambda now: _records(self._reading, self._seed, self._buffer, now))
        streamed = records.batch(batch_size).enumerate().map(kept, num_parallel_calls=tf.data.AUTOTUNE)
        return streamed.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))

    def _gathered(self, epoch: int, batch: int) -> tf.data.Dataset:
        """A permutation of all rows for each epoch but the first, whose order is that in which they are held."""
        count, size, seed = self._reading.examples, self._reading.batch_size, self._seed

        def one_pass(now: tf.Tensor) -> tf.data.Dataset:
            rows = tf.range(count, dtype=tf.int64)
            if seed is not None:
                shuffled = tf.random.experimental.stateless_shuffle(rows, seed=_seed(seed, now))
                rows = tf.where(now == 0, rows, shuffled)

            def gathered(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                some = self._reading.part.rows(rows[start : start + size])
                return self._features.sparse_read(some), self._labels.sparse_read(some)

            return tf.data.Dataset.range(0, count, size).map(gathered, num_parallel_calls=tf.data.AUTOTUNE)

        return _endless(one_pass, epoch, batch)


def _endless(one_pass: Callable[[tf.Tensor], tf.data.Dataset], epoch: int, batch: int) -> tf.data.Dataset:
    """Pass after pass from an epoch on; the first one without the batches before `batch`."""
    passes = tf.data.Dataset.counter(epoch)
    return passes.flat_map(lambda now: one_pass(now).skip(tf.where(now == epoch, tf.cast(batch, tf.int64), 0)))


def _streamed(reading: Reading, seed: int | None, buffer: int, epoch: int, batch: int) -> tf.data.Dataset:
    """Shuffles the records while they are small, encoded strings; then parses and transforms by the batch."""
    serialized = _endless(lambda now: _records(reading, seed, buffer, now).batch(reading.batch_size), epoch, batch)
    return reading.transformed(serialized.map(reading.part.rows) if reading.part.of > 1 else serialized)


def _records(reading: Reading, seed: int | None, buffer: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Serialized examples, string [], in the order of an epoch; to be called in a dataset's function."""
    files = list(reading.files)
    if seed is None:
        return tf.data.TFRecordDataset(files)
    names = tf.data.Dataset.from_tensor_slices(
        tf.random.experimental.stateless_shuffle(tf.constant(files), seed=_seed(seed, epoch))
    )
    records = names.interleave(tf.data.TFRecordDataset, cycle_length=min(4, len(files)), deterministic=True)
    drawn = tf.random.stateless_uniform([], _seed(seed, epoch), minval=None, maxval=None, dtype=tf.int64)
    # Of this function's graph alone. The seed of the process, which Keras sets, would change the order, and 0 fails:
    # `shuffle` then asks Python whether the tensor `drawn` is 0.
    tf.random.set_seed(1)
    # TensorFlow sets aside the whole buffer at once, and crashes where there is no room. The order is the same.
    return records.shuffle(min(buffer, reading.examples), seed=drawn, reshuffle_each_iteration=False)


def _seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Seed of an epoch for TensorFlow's stateless draws, int64 [2]."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
