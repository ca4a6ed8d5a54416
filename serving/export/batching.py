"""Batching inside the served graph: calls that arrive at the same time run the model as one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from data.errors import UsageError
from data.fields import check_fields

# Limits far above useful values. The op starts all its threads at once, and multiplies the other two in an int32.
MAX_BATCH_SIZE, MAX_THREADS, MAX_ENQUEUED = 2**16, 1024, 2**14

Rows = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Batching:
    """How `serving_default` batches the calls of several callers; other signatures do not batch.

    Each call decodes its own rows, and the decoded rows are batched: a batch fails as a whole, and decoding is what can
    fail, so a broken image fails only its own call. A server's own batching (`--enable_batching`) batches the files:
    there, one broken image fails every call of its batch. Off by default, because a single caller would wait for others
    in vain.

    Measured in the embedded server's session, with single JPEGs, two cores busy with other work, and batches of 16,
    relative to the same model without batching. Two dense layers on 64x64 pixels: 16 callers get 1.4 times the calls/s,
    a single caller 0.5. MobileNetV2 on 96x96: 16 callers 1.3, a single caller 1.0. If decoding were batched, too, 16
    callers would get 2.3 and 1.2. For a small model the isolation of calls costs much of the gain, for a large one
    nothing.

    Attributes:
      max_batch_size: Largest number of rows in a batch; 0: no batching. A larger call is split into up to
        `max_enqueued_batches` batches; beyond that it fails with INVALID_ARGUMENT.
      num_batch_threads: Number of batches that run at a time.
      batch_timeout_micros: Time that a batch waits for more rows, in microseconds.
      max_enqueued_batches: Largest number of batches that wait; further calls fail with UNAVAILABLE.
      allowed_batch_sizes: A batch is padded to the next of these sizes with copies of one of its rows, so that the
        graph runs with few shapes. Ascending, the last one `max_batch_size`. Empty: the powers of two up to it.
    """

    max_batch_size: int = 0
    num_batch_threads: int = 4
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "serving.batching")
        self._check_range("max_batch_size", 0, MAX_BATCH_SIZE)
        self._check_range("num_batch_threads", 1, MAX_THREADS)
        self._check_range("batch_timeout_micros", 0)
        self._check_range("max_enqueued_batches", 1, MAX_ENQUEUED)
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted({*sizes}) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise UsageError(
                f"serving.batching.allowed_batch_sizes must rise to max_batch_size, {self.max_batch_size}, got {sizes}"
            )

    def _check_range(self, name: str, least: int, most: int | None = None) -> None:
        value = getattr(self, name)
        if value < least:
            raise UsageError(f"serving.batching.{name} must be at least {least}, got {value}")
        if most is not None and value > most:
            raise UsageError(f"serving.batching.{name} must be at most {most}, got {value}")

    @property
    def sizes(self) -> list[int]:
        """The batch sizes that run."""
        powers = [1 << power for power in range(self.max_batch_size.bit_length()) if 1 << power < self.max_batch_size]
        return list(self.allowed_batch_sizes) or [*powers, self.max_batch_size]


def batch_calls(function: Rows, batching: Batching) -> Rows:
    """Return a function with the same results whose calls run in batches; the same function if batching is off.

    Args:
      function: Function of rows, [N, ...] to [N, ...].
      batching: Sizes and limits.
    """
    if not batching.max_batch_size:
        return function
    # If calls are split, the op's max_batch_size limits a call, and the last of the allowed sizes limits a batch.
    joined: Rows = tf.nondifferentiable_batch_function(
        num_batch_threads=batching.num_batch_threads,
        max_batch_size=batching.max_batch_size * batching.max_enqueued_batches,
        batch_timeout_micros=batching.batch_timeout_micros,
        allowed_batch_sizes=batching.sizes,
        max_enqueued_batches=batching.max_enqueued_batches,
        autograph=False,
    )(function)
    return joined
