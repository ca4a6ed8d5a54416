"""Batching inside of the served graph: calls that come at the same time are decoded and answered as one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from data.errors import UsageError
from data.fields import check_fields

# Far above what helps. The op starts all its threads at once, and the two others are multiplied in its int32 attribute.
MAX_BATCH_SIZE, MAX_THREADS, MAX_ENQUEUED = 2**16, 1024, 2**14

Rows = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Batching:
    """How `serving_default` joins the calls of several callers; other signatures stay as they are.

    The rows are joined after each call has decoded its own: a batch fails as a whole, and decoding is what can fail, so
    that a bad picture fails its own call alone. A server's own batching (`--enable_batching`) joins the files, and with
    one bad picture every call in its batch is refused. Off by default, since a caller alone waits for others in vain.

    Measured in the embedded server's session, JPEGs one by one, two cores busy with other work, batches of 16, against
    the same model without: two dense layers on 64x64 pixels, 16 callers 1.4 times the calls/s, one caller 0.5;
    MobileNetV2 on 96x96, 16 callers 1.3, one 1.0. With the decoding in the batch, too, 16 callers would have 2.3 and
    1.2: for a small model the safety of the others costs much of the gain, for a large one nothing.

    Attributes:
      max_batch_size: rows of a batch at most; 0: no batching. Larger calls are split, up to `max_enqueued_batches`
        such parts; beyond they are refused with INVALID_ARGUMENT.
      num_batch_threads: batches that run at a time.
      batch_timeout_micros: how long a batch waits for more rows, in microseconds.
      max_enqueued_batches: batches that wait at most; then calls are refused with UNAVAILABLE.
      allowed_batch_sizes: a batch is filled up to the next of these with copies of one of its rows, so that the graph
        meets few shapes; rising, the last one `max_batch_size`. Empty: the powers of two up to it.
    """

    max_batch_size: int = 0
    num_batch_threads: int = 4
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "serving.batching")
        least = {"max_batch_size": 0, "num_batch_threads": 1, "batch_timeout_micros": 0, "max_enqueued_batches": 1}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise UsageError(f"serving.batching.{name} must be at least {limit}, got {getattr(self, name)}")
        most = {
            "max_batch_size": MAX_BATCH_SIZE,
            "num_batch_threads": MAX_THREADS,
            "max_enqueued_batches": MAX_ENQUEUED,
        }
        for name, limit in most.items():
            if getattr(self, name) > limit:
                raise UsageError(f"serving.batching.{name} must be at most {limit}, got {getattr(self, name)}")
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted({*sizes}) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise UsageError(
                f"serving.batching.allowed_batch_sizes must rise to max_batch_size, {self.max_batch_size}, got {sizes}"
            )

    @property
    def sizes(self) -> list[int]:
        """Of the batches that run."""
        powers = [1 << power for power in range(self.max_batch_size.bit_length()) if 1 << power < self.max_batch_size]
        return list(self.allowed_batch_sizes) or [*powers, self.max_batch_size]


def batched(function: Rows, batching: Batching) -> Rows:
    """The function of rows [N, ...] with the same answers, its calls joined; itself where `max_batch_size` is 0."""
    if not batching.max_batch_size:
        return function
    # With splitting, the op's max_batch_size limits a call, and the last of the allowed sizes a batch.
    joined: Rows = tf.nondifferentiable_batch_function(
        num_batch_threads=batching.num_batch_threads,
        max_batch_size=batching.max_batch_size * batching.max_enqueued_batches,
        batch_timeout_micros=batching.batch_timeout_micros,
        allowed_batch_sizes=batching.sizes,
        max_enqueued_batches=batching.max_enqueued_batches,
        autograph=False,
    )(function)
    return joined
