"""Batching's parameters: TensorFlow Serving's BatchingParameters, and what they mean once checked."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from serving.server.config.protos import BatchingParameters
from serving.server.rpc_error import from_tensorflow, invalid

FILE = "batching_params.pbtxt"  # in a version's folder


@dataclass(frozen=True)
class BatchingOptions:
    """Checked parameters of a model's queues, and of the threads that all models share.

    Attributes:
      max_batch_size: rows of the largest request.
      batch_timeout_micros: how long the first request of a batch waits for others.
      max_enqueued_batches: of each queue, the open one included.
      num_batch_threads: batches that run at a time, over all models.
      thread_pool_name: of those threads.
      allowed_batch_sizes: ascending; a batch is padded to the next one. Empty: any size.
      pad_variable_length_inputs: whether inner dimensions are padded to the largest of the batch.
      enable_large_batch_splitting: whether a request may be spread over several batches.
      max_execution_batch_size: rows of the largest batch.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    thread_pool_name: str = "model_server_batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000

    def __post_init__(self) -> None:
        if self.num_batch_threads < 1:
            raise invalid(f"num_batch_threads must be positive; was {self.num_batch_threads}")
        if self.max_batch_size < 1:
            raise invalid(f"input_batch_size_limit must be positive; was {self.max_batch_size}")
        if self.batch_timeout_micros < 0:
            raise invalid(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if self.max_enqueued_batches < 1:
            raise invalid(f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}")
        if not 1 <= self.max_execution_batch_size <= self.max_batch_size:
            raise invalid(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                "max_execution_batch_size."
            )
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)):
            raise invalid("allowed_batch_sizes entries must be monotonically increasing")
        if sizes and sizes[-1] != self.max_execution_batch_size:
            raise invalid(
                "Last entry in allowed_batch_sizes must "
                + (
                    "be equal to max_execution_batch_size"
                    if self.enable_large_batch_splitting
                    else "match max_batch_size"
                )
                + f"; last entry was {sizes[-1]}; expected {self.max_execution_batch_size}"
            )

    @classmethod
    def of(cls, proto: Any) -> BatchingOptions:
        """From the message; what it leaves out has its default.

        Raises:
          Fault: INVALID_ARGUMENT, a value is out of its range.
        """
        given: dict[str, Any] = {
            name.name: value.value if hasattr(value, "value") else value for name, value in proto.ListFields()
        }
        given["allowed_batch_sizes"] = tuple(proto.allowed_batch_sizes)
        if not given.get("enable_large_batch_splitting"):
            given["max_execution_batch_size"] = given.get("max_batch_size", cls.max_batch_size)
            # as there: many a config says 0, and means what 1 does
            given["max_enqueued_batches"] = given.get("max_enqueued_batches", cls.max_enqueued_batches) or 1
        given.setdefault("max_execution_batch_size", given.get("max_batch_size", cls.max_batch_size))
        return cls(**given)

    def padded(self, rows: int) -> int:
        """The size that a batch of so many rows runs with."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_version_options(folder: str) -> BatchingOptions | None:
    """The parameters in a version's own folder; None where it has none.

    Raises:
      Fault: INVALID_ARGUMENT, the file does not parse or a value is out of its range.
    """
    path = posixpath.join(folder, FILE)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path) as file:
            return BatchingOptions.of(text_format.Parse(file.read(), BatchingParameters()))
    except text_format.ParseError as error:
        raise invalid(f"Error parsing {path} as BatchingParameters: {error}") from error
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
