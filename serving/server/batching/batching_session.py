"""A model whose requests run in batches, as in TensorFlow Serving's BatchingSession."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from serving.server.batching.batch_scheduler import Batch, BatchQueue, SharedBatchScheduler
from serving.server.batching.options import BatchingOptions, read_version_options
from serving.server.batching.rows import Feeds, count_rows, merge_inputs, split_outputs
from serving.server.rpc_error import Fault
from serving.server.saved_model.servable import Servable


class BatchingSession:
    """A Servable that runs its requests in batches, with one queue for each set of inputs and outputs."""

    def __init__(self, servable: Servable, options: BatchingOptions, scheduler: SharedBatchScheduler) -> None:
        """Wrap a servable.

        Args:
          servable: runs the batches.
          options: options of the queues.
          scheduler: threads that all models share.
        """
        self._servable = servable
        self._options = options
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], BatchQueue] = {}
        self.signatures = servable.signatures

    def run(self, feeds: Feeds, fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """Run the graph on a batch of this request and others; see `SavedModelBundle.run`.

        Raises:
          Fault: If the run fails. INVALID_ARGUMENT or FAILED_PRECONDITION also if the request or its batch cannot be
            batched; UNAVAILABLE if the queue is full; RESOURCE_EXHAUSTED if the time ends in the queue.
        """
        size = count_rows(feeds)
        outputs = tuple(sorted(set(fetches)))
        deadline = None if timeout is None else time.monotonic() + timeout
        parts = self._scheduler.run(self._queue(tuple(sorted(feeds)), outputs), feeds, size, deadline)
        values = parts[0] if len(parts) == 1 else [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        by_name = dict(zip(outputs, values, strict=True))
        return [by_name[name] for name in fetches]

    def dtype(self, tensor: str) -> tf.DType:
        """Return the dtype of a tensor in the graph, by the tensor's name."""
        return self._servable.dtype(tensor)

    def close(self) -> None:
        """Free the model. No run may be under way."""
        for queue in self._queues.values():
            self._scheduler.remove_queue(queue)
        self._servable.close()

    def _queue(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> BatchQueue:
        with self._lock:
            queue = self._queues.get((inputs, outputs))
            if queue is None:
                queue = self._queues[inputs, outputs] = BatchQueue(
                    self._options, lambda batch: self._run_batch(batch, outputs)
                )
                self._scheduler.add_queue(queue)
            return queue

    def _run_batch(self, batch: Batch, outputs: tuple[str, ...]) -> None:
        """Run a batch, and end each of its tasks: with its own rows, or every task with the same error."""
        try:
            timeout = _remaining_s(batch)
            feeds = merge_inputs([task.feeds for task in batch.tasks], self._options)
            padded = count_rows(feeds)
            results = self._servable.run(feeds, outputs, timeout)
            shares = split_outputs(results, [task.size for task in batch.tasks], padded)
        except Exception as error:  # after any error the callers must not wait for ever
            for task in batch.tasks:
                task.fail(error)
        else:
            for task, share in zip(batch.tasks, shares, strict=True):
                task.finish(share)


class BatchingSessionFactory:
    """Adds batching to each model that is loaded, for `--enable_batching`."""

    def __init__(self, options: BatchingOptions, per_model: bool = False) -> None:
        """Start the threads that run the batches.

        Args:
          options: options of the threads, and of the queues of every model.
          per_model: read the options of the queues from each version's own file instead
            (`--enable_per_model_batching_parameters`).
        """
        self._options = options
        self._per_model = per_model
        self._scheduler = SharedBatchScheduler(options.num_batch_threads, options.thread_pool_name)

    def wrap(self, servable: Servable, folder: str) -> Servable:
        """Return the model with batching; with `per_model`, a version without a file is returned as it is.

        Raises:
          Fault: INVALID_ARGUMENT if the version's file is broken.
        """
        options = read_version_options(folder) if self._per_model else self._options
        return servable if options is None else BatchingSession(servable, options, self._scheduler)

    def close(self) -> None:
        """End the threads. No request may be under way."""
        self._scheduler.close()


def _remaining_s(batch: Batch) -> float | None:
    """Return the longest time in seconds that a task of the batch has left; None if a task has no deadline.

    Raises:
      Fault: RESOURCE_EXHAUSTED if the deadlines of all tasks have passed.
    """
    left = 0.0
    for task in batch.tasks:
        if task.deadline is None:
            return None
        left = max(left, task.deadline - time.monotonic())
    if left <= 0:
        raise Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
    return left
