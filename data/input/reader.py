"""Read the records of a split as batches: parse them, run the transform's graph, and cache the result if it fits.

Images stay uint8 until the model scales them, so that four times as many fit into memory as with float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from data.files.remote import is_remote
from data.records import parse_spec
from data.spec import LABEL, Classes, Feature, Image, Label

CHUNK = 256  # records parsed and transformed in one call: of small examples, and while a cache is filled beforehand
_SMALL_BYTES = 2**15  # of a transformed example
_AHEAD = 16  # calls whose records, still encoded, are read ahead from a bucket

Tensors = Mapping[str, tf.Tensor]
Transform = Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class InputShard:
    """The examples of each batch that this process takes: number `index` and every `count`-th after it.

    All processes see the same batches in the same order. The shards of a batch differ in size by one example at most,
    and a shard may be empty.

    Attributes:
      index: position of this process, 0..count - 1.
      count: number of processes that share each batch.
    """

    index: int = 0
    count: int = 1

    def rows(self, batch: tf.Tensor) -> tf.Tensor:
        """Return this process's rows of a batch: [B, ...] to [about B / count, ...]."""
        return batch if self.count == 1 else batch[self.index :: self.count]


@dataclass(frozen=True)
class ReadConfig:
    """The records of a split, and how to read them.

    Attributes:
      files: TFRecord shards, uncompressed.
      examples: number of records in the files, from the manifest.
      feature: the task's feature, which the records hold.
      label: the task's label, which the records hold.
      transform: maps the raw tensors of a batch to transformed ones; the layer of the TransformGraph.
      batch_size: examples per batch; the last batch of a pass may be smaller, in training too.
      shard: the rows of each batch that this process takes.
      label_shape: shape of one transformed label: (names,) of `Labels`, otherwise () for a scalar.
    """

    files: Sequence[str]
    examples: int
    feature: Feature
    label: Label
    transform: Transform
    batch_size: int
    shard: InputShard = InputShard()
    label_shape: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """Number of batches in a pass."""
        return -(-self.examples // self.batch_size)

    @property
    def memory(self) -> int:
        """Memory of all transformed examples, in bytes."""
        of_label = 4 * math.prod(self.label_shape) if self.label_shape else 8
        return self.examples * (self.feature.bytes_per_example + of_label)

    @property
    def dtypes(self) -> tuple[tf.DType, tf.DType]:
        """Types of the transformed features and labels."""
        feature = tf.uint8 if isinstance(self.feature, Image) else tf.float32
        return feature, tf.int64 if isinstance(self.label, Classes) else tf.float32

    def fits(self, limit: int) -> bool:
        """Return whether all transformed examples fit into `limit` bytes."""
        return self.memory <= limit

    @property
    def chunk_size(self) -> int:
        """Number of records to parse and transform in one call: a batch, or several if the examples are small.

        A call for 32 thumbnails costs half as much as decoding them.
        """
        batches = CHUNK // self.batch_size if self.feature.bytes_per_example <= _SMALL_BYTES else 1
        return self.batch_size * max(1, batches)

    def transform_batches(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        """Map batches of serialized examples (string [B]) to (features [B, ...], labels [B] or [B, names])."""
        return serialized.map(self.parse_and_transform, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def parse_and_transform(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map serialized examples (string [N]) to features [N, ...] and labels [N] or [N, names]."""
        raw = tf.io.parse_example(serialized, parse_spec(self.feature, self.label))
        transformed = self.transform(raw)
        features = tf.ensure_shape(transformed[self.feature.name], (None, *self.feature.shape))
        return features, tf.ensure_shape(transformed[LABEL], (None, *self.label_shape))


@dataclass(frozen=True)
class Batches:
    """The batches of a split, pass after pass.

    Attributes:
      steps: batches in a pass; the last one may be smaller.
      in_memory: whether the transformed examples are cached in memory.
      load_seconds: seconds spent on filling the cache beforehand; 0 if the first pass fills it, or if `passes` has to
        fill it because it starts at a later batch.
    """

    _make_passes: Callable[[int, int], tf.data.Dataset]
    steps: int
    in_memory: bool
    load_seconds: float = 0.0

    # AutoGraph has nothing to convert here, but its first look at each function takes half a second in all.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def passes(self, epoch: int = 0, batch: int = 0) -> tf.data.Dataset:
        """Return endless passes over (features [B, ...], labels [B]), starting at a batch of an epoch.

        From there, the batches are the same as if they had been read from the beginning. Reading continues across the
        end of a pass, so that no epoch starts cold.
        """
        return self._make_passes(epoch, batch)

    def one_pass(self, epoch: int = 0) -> tf.data.Dataset:
        """Return the batches of one epoch."""
        return self.passes(epoch).take(self.steps).apply(tf.data.experimental.assert_cardinality(self.steps))


def read_batches(
    config: ReadConfig,
    *,
    cache_bytes: int,
    seed: int | None = None,
    shuffle_buffer: int = 4096,
    fill: bool = False,
) -> Batches:
    """Return the batches of a split; a pass has each record exactly once.

    If the examples fit into memory and are shuffled, the first epoch streams and each of its batches is cached on the
    way; later epochs draw from the whole cache. Passes that start later than the first batch (`passes(epoch, batch)`)
    have to fill the cache beforehand.

    Args:
      config: what to read.
      cache_bytes: the transformed examples are cached in memory if they take at most this many bytes.
      seed: seed of the orders; each epoch has another order, and the same seed gives the same orders. None keeps the
        order of the files.
      shuffle_buffer: number of records to draw from while records stream: without a cache, and in the first epoch.
      fill: fill the cache now, because several trainings read the batches. The batches are the same.
    """
    if not config.fits(cache_bytes):
        return Batches(
            lambda epoch, batch: _stream_batches(config, seed, shuffle_buffer, epoch, batch), config.steps, False
        )
    cached = _CachedBatches(config, seed, shuffle_buffer)
    if seed is None or fill:
        cached.fill()
    return Batches(cached.passes, config.steps, True, cached.load_seconds)


class _CachedBatches:
    """The transformed examples, cached in memory once, in the order of the first epoch."""

    def __init__(self, config: ReadConfig, seed: int | None, buffer: int) -> None:
        self._config, self._seed, self._buffer = config, seed, buffer
        self._filled = False
        self.load_seconds = 0.0
        feature, label = config.dtypes
        with tf.device("CPU"):
            # A variable is filled in place and gathered from in place; an array would be copied into a tensor.
            self._features = tf.Variable(tf.zeros((config.examples, *config.feature.shape), feature), trainable=False)
            self._labels = tf.Variable(tf.zeros((config.examples, *config.label_shape), label), trainable=False)

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def fill(self) -> None:
        """Read all records into the cache, unless it is filled already."""
        if self._filled:
            return
        start = time.perf_counter()
        for _ in self._first_epoch(CHUNK):
            pass
        self._filled = True
        self.load_seconds = time.perf_counter() - start

    def passes(self, epoch: int, batch: int) -> tf.data.Dataset:
        """Return the dataset of `Batches.passes`."""
        if (epoch, batch) == (0, 0) and not self._filled:
            size = self._config.chunk_size
            batches = _split_chunks(self._first_epoch(size), size, self._config.batch_size)
            dataset = _own_rows(batches, self._config).concatenate(self._cached_epochs(1, 0))
        else:
            self.fill()
            dataset = self._cached_epochs(epoch, batch)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _first_epoch(self, size: int) -> tf.data.Dataset:
        """Stream the first epoch in chunks and fill the cache; fail if the files hold another number of records."""
        count = self._config.examples

        def cache_chunk(number: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            features, labels = self._config.parse_and_transform(serialized)
            start = number * size
            rows = tf.range(start, tf.minimum(start + size, count))
            # Not `variable[start:end].assign`: that copies the whole variable each time.
            self._features.scatter_update(tf.IndexedSlices(features, rows))
            self._labels.scatter_update(tf.IndexedSlices(labels, rows))
            return features, labels

        epoch = tf.data.Dataset.range(1)
        records = epoch.flat_map(lambda now: _epoch_records(self._config, self._seed, self._buffer, now))
        streamed = records.batch(size).enumerate().map(cache_chunk, num_parallel_calls=tf.data.AUTOTUNE)
        return streamed.apply(tf.data.experimental.assert_cardinality(-(-count // size)))

    def _cached_epochs(self, epoch: int, batch: int) -> tf.data.Dataset:
        """Return a permutation of the cached rows for each epoch; the first epoch keeps the order of the cache."""
        count, size, seed = self._config.examples, self._config.batch_size, self._seed

        def one_pass(now: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
            rows = tf.range(count, dtype=tf.int64)
            if seed is not None:
                shuffled = tf.random.experimental.stateless_shuffle(rows, seed=_epoch_seed(seed, now))
                rows = tf.where(now == 0, rows, shuffled)

            def gather_batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                batch_rows = self._config.shard.rows(rows[start : start + size])
                return self._features.sparse_read(batch_rows), self._labels.sparse_read(batch_rows)

            return tf.data.Dataset.range(first * size, count, size).map(
                gather_batch, num_parallel_calls=tf.data.AUTOTUNE
            )

        return _repeat_passes(one_pass, epoch, batch)


def _split_chunks(chunks: tf.data.Dataset, size: int, batch_size: int) -> tf.data.Dataset:
    """Split chunks of `size` examples, a multiple of the batch size, into batches; the end of a chunk ends a batch."""
    if size == batch_size:
        return chunks
    return chunks.flat_map(lambda *chunk: tf.data.Dataset.from_tensors(chunk).rebatch(batch_size))


def _own_rows(batches: tf.data.Dataset, config: ReadConfig) -> tf.data.Dataset:
    """Keep this process's rows of each batch (features, labels)."""
    if config.shard.count == 1:
        return batches
    return batches.map(lambda *batch: tuple(config.shard.rows(one) for one in batch))


def _repeat_passes(
    one_pass: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset], epoch: int, batch: int
) -> tf.data.Dataset:
    """Repeat passes without end, starting at a batch of an epoch; `one_pass` gets the epoch and its first batch."""
    passes = tf.data.Dataset.counter(epoch)
    return passes.flat_map(lambda now: one_pass(now, tf.where(now == epoch, tf.cast(batch, tf.int64), 0)))


def _stream_batches(config: ReadConfig, seed: int | None, buffer: int, epoch: int, batch: int) -> tf.data.Dataset:
    """Shuffle the records while they are small, encoded strings; then parse and transform them."""
    # Several processes divide each batch before its pictures are decoded.
    size = config.chunk_size if config.shard.count == 1 else config.batch_size

    def one_pass(now: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
        return _epoch_records(config, seed, buffer, now).skip(first * config.batch_size).batch(size)

    serialized = _repeat_passes(one_pass, epoch, batch)
    if config.shard.count > 1:
        serialized = serialized.map(config.shard.rows)
    if is_remote(config.files[0]):
        # Opening files in a bucket takes a while: those of the next epoch are opened while this one still has records.
        serialized = serialized.prefetch(_AHEAD)
    transformed = serialized.map(config.parse_and_transform, num_parallel_calls=tf.data.AUTOTUNE)
    return _split_chunks(transformed, size, config.batch_size).prefetch(tf.data.AUTOTUNE)


def _epoch_records(config: ReadConfig, seed: int | None, buffer: int, epoch: tf.Tensor) -> tf.data.Dataset:
    """Return the serialized examples (string []) in the order of an epoch; call it in a dataset's function."""
    files = list(config.files)
    if seed is None:
        in_order = tf.data.Dataset.from_tensor_slices(files)
        return _records_in_turn(in_order, 1, files) if is_remote(files[0]) else tf.data.TFRecordDataset(files)
    names = tf.data.Dataset.from_tensor_slices(
        tf.random.experimental.stateless_shuffle(tf.constant(files), seed=_epoch_seed(seed, epoch))
    )
    records = _records_in_turn(names, min(4, len(files)), files)
    shuffle_seed = tf.random.stateless_uniform([], _epoch_seed(seed, epoch), minval=None, maxval=None, dtype=tf.int64)
    # This sets the seed of the enclosing function's graph only. Without it, the process's seed, which Keras sets, would
    # change the order; and a process seed of 0 fails, because `shuffle` then asks Python whether `shuffle_seed` is 0.
    tf.random.set_seed(1)
    # TensorFlow reserves the whole buffer at once, and crashes if there is not enough memory. A buffer of the number of
    # examples gives the same order as a larger one.
    return records.shuffle(min(buffer, config.examples), seed=shuffle_seed, reshuffle_each_iteration=False)


def _records_in_turn(names: tf.data.Dataset, together: int, files: Sequence[str]) -> tf.data.Dataset:
    """Return the records of `together` files at a time, one record of each in turn.

    From a bucket, the open files are read side by side, and the next ones are opened ahead: each request waits for the
    network. The order stays the same.
    """
    if is_remote(files[0]):
        return names.interleave(
            tf.data.TFRecordDataset, cycle_length=together, num_parallel_calls=together, deterministic=True
        )
    return names.interleave(tf.data.TFRecordDataset, cycle_length=together)


def _epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return an epoch's seed for TensorFlow's stateless random ops, int64 [2]."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
