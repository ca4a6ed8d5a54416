"""Dynamic batching: requests that wait at the same time run as one, as TensorFlow's BatchingSession does."""

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
from serving.server.saved_model.saved_model_bundle import SavedModelBundle


class BatchingSession:
    """A Servable whose runs are batched: one queue for each set of inputs and outputs."""

    def __init__(self, servable: SavedModelBundle, parameters: BatchingOptions, threads: SharedBatchScheduler) -> None:
        """Args:
        servable: what runs the batches.
        parameters: of the queues.
        threads: those of all models.
        """
        self._servable = servable
        self._parameters = parameters
        self._threads = threads
        self._lock = threading.Lock()
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], BatchQueue] = {}
        self.signatures = servable.signatures

    def run(self, feeds: Feeds, fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """As `Servable.run`, together with what else waits.

        Raises:
          Fault: also for what cannot be batched (INVALID_ARGUMENT, FAILED_PRECONDITION), for a full queue (UNAVAILABLE)
            and when the time ends in the queue (RESOURCE_EXHAUSTED).
        """
        size = count_rows(feeds)
        outputs = tuple(sorted(set(fetches)))
        deadline = None if timeout is None else time.monotonic() + timeout
        parts = self._threads.run(self._queue(tuple(sorted(feeds)), outputs), feeds, size, deadline)
        values = parts[0] if len(parts) == 1 else [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
        found = dict(zip(outputs, values, strict=True))
        return [found[name] for name in fetches]

    def dtype(self, tensor: str) -> tf.DType:
        """Of a tensor in the graph, by its name."""
        return self._servable.dtype(tensor)

    def close(self) -> None:
        """Frees the model. No run may be under way."""
        for queue in self._queues.values():
            self._threads.remove_queue(queue)
        self._servable.close()

    def _queue(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> BatchQueue:
        with self._lock:
            queue = self._queues.get((inputs, outputs))
            if queue is None:
                queue = self._queues[inputs, outputs] = BatchQueue(
                    self._parameters, lambda batch: self._run_batch(batch, outputs)
                )
                self._threads.add_queue(queue)
            return queue

    def _run_batch(self, batch: Batch, outputs: tuple[str, ...]) -> None:
        """Runs a batch, and ends each of its tasks: with its rows, or all of them with the same fault."""
        try:
            timeout = _remaining(batch)
            feeds = merge_inputs([task.feeds for task in batch.tasks], self._parameters)
            padded = count_rows(feeds)
            shares = split_outputs(
                self._servable.run(feeds, outputs, timeout), [task.size for task in batch.tasks], padded
            )
        except Exception as error:  # whatever it is, the callers wait for it
            for task in batch.tasks:
                task.fail(error)
        else:
            for task, share in zip(batch.tasks, shares, strict=True):
                task.end(share)


class BatchingSessionFactory:
    """What `--enable_batching` does to each model that is loaded."""

    def __init__(self, parameters: BatchingOptions, per_model: bool = False) -> None:
        """Args:
        parameters: of the threads, and of every model's queues.
        per_model: whether a version's own file gives its queues' parameters instead.
        """
        self._parameters = parameters
        self._per_model = per_model
        self._threads = SharedBatchScheduler(parameters.num_batch_threads, parameters.thread_pool_name)

    def wrap(self, servable: SavedModelBundle, folder: str) -> SavedModelBundle | BatchingSession:
        """The model with its runs batched; a version without a file of its own is not, where it is to have one.

        Raises:
          Fault: INVALID_ARGUMENT, the version's file is broken.
        """
        parameters = read_version_options(folder) if self._per_model else self._parameters
        return servable if parameters is None else BatchingSession(servable, parameters, self._threads)

    def close(self) -> None:
        """Ends the threads. No request may be under way."""
        self._threads.close()


def _remaining(batch: Batch) -> float | None:
    """The longest time that a task of the batch has left; None for a task without a deadline.

    Raises:
      Fault: RESOURCE_EXHAUSTED, all of them waited too long.
    """
    left = 0.0
    for task in batch.tasks:
        if task.deadline is None:
            return None
        left = max(left, task.deadline - time.monotonic())
    if left <= 0:
        raise Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
    return left
