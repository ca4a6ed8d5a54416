"""Measure how fast a model trains, and how long it waits for its input."""

from __future__ import annotations

import time

import keras
import tensorflow as tf


class InputMeter(keras.callbacks.Callback):
    """Count examples, and the seconds in which the trainer waits for the next batch.

    Keras fetches a batch inside its compiled step, where the waiting cannot be measured. So the clock is read before
    the step, and again in the dataset when it hands out the batch (`timed`). The first batch of a `fit` does not count.

    Attributes:
      seconds: Time of training steps and waiting in seconds, over all epochs, without validation.
      skip: Number of the next steps that fetch nothing.
    """

    def __init__(self, load_seconds: float = 0.0) -> None:
        """Create the callback.

        Args:
          load_seconds: Seconds spent on reading the data into memory before the first step; they count as waiting.
        """
        super().__init__()
        self.seconds = load_seconds
        self.skip = 0
        self._load_seconds = load_seconds
        self._origin = time.time()  # sums of full timestamps would lose the microseconds
        self._asked = 0.0
        self._traced, self._before, self._waited_before = False, 0, 0.0
        self._started: float | None = None
        with tf.device("CPU"):
            self._given = tf.Variable([0.0, 0.0], dtype=tf.float64, trainable=False)  # times and examples, summed

    def timed(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Return the same batches (features [B, ...], labels [B, ...], ...), counted and timed, without prefetch."""

        def note(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            now = tf.timestamp() - self._origin
            self._given.assign_add(tf.stack([now, tf.cast(tf.shape(batch[0])[0], tf.float64)]))
            return batch

        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        return dataset.map(note).with_options(options)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the time at which the step asks for its batch."""
        if self.skip:
            self.skip -= 1
        else:
            self._asked += time.time() - self._origin

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Prepare for the first step, which is traced before it asks for its batch: the times cannot be separated."""
        self._traced, self._before = False, self.examples
        self._waited_before = self.waited - self._load_seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the wait of the first step as 0."""
        if not self._traced and self.examples > self._before:
            self._traced, self._asked = True, float(self._given[0]) - self._waited_before

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Stop the clock during validation."""
        self._stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the clock if there was no validation."""
        self._stop()

    def _stop(self) -> None:
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None

    @property
    def waited(self) -> float:
        """Seconds spent waiting for batches, loading included."""
        return self._load_seconds + max(0.0, float(self._given[0]) - self._asked)

    @property
    def examples(self) -> int:
        """Number of examples handed out."""
        return int(self._given[1])

    @property
    def images_per_second(self) -> float:
        """Examples per second, waiting included."""
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for input, 0..1."""
        return min(1.0, self.waited / self.seconds) if self.seconds else 0.0
