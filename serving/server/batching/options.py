"""Options of batching: TensorFlow Serving's BatchingParameters, checked and with all defaults filled in."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from serving.server.config.protos import BatchingParameters
from serving.server.rpc_error import from_tensorflow, invalid_argument

VERSION_FILE = "batching_params.pbtxt"  # in a version's folder


@dataclass(frozen=True)
class BatchingOptions:
    """Options of a model's queues, and of the threads that all models share.

    Attributes:
      max_batch_size: rows of the largest request.
      batch_timeout_micros: how long the first request of a batch waits for others.
      max_enqueued_batches: batches in a queue, including the open one.
      num_batch_threads: batches that run at a time, over all models.
      thread_pool_name: name of those threads.
      allowed_batch_sizes: ascending; a batch is padded to the next of these sizes. Empty: any size.
      pad_variable_length_inputs: pad inner dimensions to the largest of the batch.
      enable_large_batch_splitting: allow a request to be split over several batches.
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
            raise invalid_argument(f"num_batch_threads must be positive; was {self.num_batch_threads}")
        if self.max_batch_size < 1:
            raise invalid_argument(f"input_batch_size_limit must be positive; was {self.max_batch_size}")
        if self.batch_timeout_micros < 0:
            raise invalid_argument(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if self.max_enqueued_batches < 1:
            raise invalid_argument(f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}")
        if not 1 <= self.max_execution_batch_size <= self.max_batch_size:
            raise invalid_argument(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                "max_execution_batch_size."
            )
        self._check_allowed_sizes()

    def _check_allowed_sizes(self) -> None:
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be monotonically increasing")
        if sizes and sizes[-1] != self.max_execution_batch_size:
            limit = (
                "be equal to max_execution_batch_size" if self.enable_large_batch_splitting else "match max_batch_size"
            )
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must {limit}; last entry was {sizes[-1]}; "
                f"expected {self.max_execution_batch_size}"
            )

    @classmethod
    def from_proto(cls, proto: Any) -> BatchingOptions:
        """Return the options in a BatchingParameters message, with the default for each field that is not set.

        Raises:
          Fault: INVALID_ARGUMENT if a value is out of range.
        """
        fields: dict[str, Any] = {
            field.name: value.value if hasattr(value, "value") else value for field, value in proto.ListFields()
        }
        fields["allowed_batch_sizes"] = tuple(proto.allowed_batch_sizes)
        if not fields.get("enable_large_batch_splitting"):
            fields["max_execution_batch_size"] = fields.get("max_batch_size", cls.max_batch_size)
            # TensorFlow Serving reads 0 as 1 here, and configs in use rely on it.
            fields["max_enqueued_batches"] = fields.get("max_enqueued_batches", cls.max_enqueued_batches) or 1
        fields.setdefault("max_execution_batch_size", fields.get("max_batch_size", cls.max_batch_size))
        return cls(**fields)

    def padded_size(self, rows: int) -> int:
        """Return the size to which a batch of `rows` rows is padded."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_version_options(folder: str) -> BatchingOptions | None:
    """Read the options in a version's own folder; return None if it has none.

    Raises:
      Fault: INVALID_ARGUMENT if the file does not parse or a value is out of range; another code if the file cannot
        be read.
    """
    path = posixpath.join(folder, VERSION_FILE)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path) as file:
            return BatchingOptions.from_proto(text_format.Parse(file.read(), BatchingParameters()))
    except text_format.ParseError as error:
        raise invalid_argument(f"Error parsing {path} as BatchingParameters: {error}") from error
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
