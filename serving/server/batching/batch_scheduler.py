"""Queues of batches, and the threads that all models share to run them (TensorFlow's SharedBatchScheduler)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from serving.server.batching.options import BatchingOptions
from serving.server.rpc_error import Fault, invalid_argument
from serving.server.saved_model.tensors import Array


class BatchTask:
    """The rows of a request, or a part of them, in one batch.

    Attributes:
      feeds: arrays [size, ...] by tensor name.
      size: number of rows.
      deadline: deadline of the request, on the clock of `time.monotonic`; None is no deadline.
    """

    def __init__(self, feeds: Mapping[str, Array], size: int, deadline: float | None) -> None:
        self.feeds = feeds
        self.size = size
        self.deadline = deadline
        self._outputs: list[Any] = []
        self._error: Exception | None = None
        self._done = threading.Lock()  # the cheapest object that a thread can wait for
        self._done.acquire()

    def finish(self, outputs: list[Any]) -> None:
        """End the task with the outputs of its rows."""
        self._outputs = outputs
        self._done.release()

    def fail(self, error: Exception) -> None:
        """End the task with the error of its batch."""
        self._error = error
        self._done.release()

    def wait(self) -> list[Any]:
        """Wait until the batch has run, and return the task's outputs; raise the error if the batch failed."""
        self._done.acquire()
        if isinstance(self._error, Fault):  # a new one for each thread, because raising an exception writes to it
            raise Fault(self._error.code, self._error.message)
        if self._error is not None:
            raise self._error
        return self._outputs


@dataclass
class Batch:
    """Tasks that run together.

    Attributes:
      size: number of rows of all tasks.
      opened: when the first task arrived, on the clock of `time.monotonic`.
    """

    tasks: list[BatchTask] = field(default_factory=list)
    size: int = 0
    opened: float = 0.0

    def add(self, task: BatchTask, now: float) -> None:
        """Append a task."""
        if not self.tasks:
            self.opened = now
        self.tasks.append(task)
        self.size += task.size


class BatchQueue:
    """Batches of one set of inputs and outputs: the last one is open, the others are full.

    Only `SharedBatchScheduler` calls its methods, and holds its lock meanwhile.
    """

    def __init__(self, options: BatchingOptions, run: Callable[[Batch], None]) -> None:
        """Create a queue with an empty open batch.

        Args:
          options: sizes, waits and limits.
          run: runs a batch, and finishes or fails each of its tasks; raises nothing.
        """
        self.run = run
        self._options = options
        self._batches = deque([Batch()])

    def add(self, feeds: Mapping[str, Array], size: int, deadline: float | None, now: float) -> list[BatchTask]:
        """Add a request to the open batch, or to several batches if it is split.

        Raises:
          Fault: INVALID_ARGUMENT if the request is too large; UNAVAILABLE if the queue is full.
        """
        options = self._options
        if size > options.max_batch_size:
            raise invalid_argument(f"Task size {size} is larger than maximum input batch size {options.max_batch_size}")
        self._check_capacity(size)
        tasks = []
        for start, end in self._split(size):
            part = feeds if (start, end) == (0, size) else {name: value[start:end] for name, value in feeds.items()}
            tasks.append(BatchTask(part, end - start, deadline))
            if self._batches[-1].size + end - start > options.max_execution_batch_size:
                self._batches.append(Batch())
            self._batches[-1].add(tasks[-1], now)
        return tasks

    def due(self) -> float | None:
        """Return when the next batch may run, on the clock of `time.monotonic`.

        Returns:
          The time; 0 for a full batch, None if no task waits.
        """
        first = self._batches[0]
        if len(self._batches) > 1 or first.size >= self._options.max_execution_batch_size:
            return 0.0
        return first.opened + self._options.batch_timeout_micros / 1e6 if first.tasks else None

    def is_due(self, now: float) -> bool:
        """Return whether a batch may run now."""
        due = self.due()
        return due is not None and due <= now

    def is_open(self) -> bool:
        """Return whether the next batch to run is the open one."""
        return len(self._batches) == 1

    def take(self) -> Batch:
        """Remove and return the next batch to run."""
        if len(self._batches) == 1:
            self._batches.append(Batch())
        return self._batches.popleft()

    def _check_capacity(self, size: int) -> None:
        options, last, count = self._options, self._batches[-1].size, len(self._batches)
        full = "The batch scheduling queue to which this task was submitted is full; "
        if not options.enable_large_batch_splitting:
            if last + size > options.max_batch_size and count >= options.max_enqueued_batches:
                raise Fault(
                    grpc.StatusCode.UNAVAILABLE,
                    f"{full}currently {count} batches enqueued and max_enqueued_batches is "
                    f"{options.max_enqueued_batches}",
                )
            return
        longest = options.max_execution_batch_size
        capacity = (options.max_enqueued_batches - count) * longest + longest - last
        if size > capacity:
            raise Fault(
                grpc.StatusCode.UNAVAILABLE,
                f"{full}task size is {size} but scheduling capacity is only {capacity} (num_enqueued_batches={count}, "
                f"max_enqueued_batches={options.max_enqueued_batches}, open_batch_size={last}, "
                f"max_execution_batch_size={longest})",
            )

    def _split(self, size: int) -> list[tuple[int, int]]:
        """Return the parts of a request of `size` rows as (start, end): first what fits into the open batch."""
        longest = self._options.max_execution_batch_size
        room = longest - self._batches[-1].size
        if size <= room or not self._options.enable_large_batch_splitting:
            return [(0, size)]
        cuts = sorted({0, room, *range(room, size, longest), size})
        return list(zip(cuts, cuts[1:], strict=False))


class SharedBatchScheduler:
    """Threads that run the batches of all models; the queues take turns.

    A request that need not wait for others runs its batch in its caller's thread, if fewer batches run than there are
    threads. That saves two switches of threads.
    """

    def __init__(self, count: int, name: str) -> None:
        """Start the threads.

        Args:
          count: number of threads, and of batches that run at a time.
          name: name of the threads.
        """
        self._count = count
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queues: deque[BatchQueue] = deque()
        self._running = 0
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}_{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def add_queue(self, queue: BatchQueue) -> None:
        """Add a queue to those that take turns."""
        with self._lock:
            self._queues.append(queue)

    def remove_queue(self, queue: BatchQueue) -> None:
        """Remove a queue in which no request waits."""
        with self._lock:
            self._queues.remove(queue)

    def run(self, queue: BatchQueue, feeds: Mapping[str, Array], size: int, deadline: float | None) -> list[list[Any]]:
        """Add a request to a queue and wait for its outputs.

        Returns:
          The outputs of each part of the request, in order.

        Raises:
          Fault: If the queue refuses the request, or if its batch fails.
        """
        now = time.monotonic()
        with self._lock:
            tasks = queue.add(feeds, size, deadline, now)
            run_here = self._running < self._count and queue.is_open() and queue.is_due(now)
            if run_here:
                self._running += 1
                batch = queue.take()
            elif self._running < self._count:
                self._wake.notify()
        if run_here:
            queue.run(batch)
            with self._lock:
                self._running -= 1
                self._wake_another()
        return [task.wait() for task in tasks]

    def close(self) -> None:
        """End the threads. No request may be under way."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (taken := self._wait()) is not None:
            queue, batch = taken
            queue.run(batch)
            del taken, queue, batch  # an idle thread must not keep an unloaded model in memory
            with self._lock:
                self._running -= 1

    def _wake_another(self) -> None:
        """Wake another thread if there are more batches: one request may have filled several."""
        if self._running < self._count and any(queue.due() is not None for queue in self._queues):
            self._wake.notify()

    def _wait(self) -> tuple[BatchQueue, Batch] | None:
        """Wait until a batch may run, and return it with its queue; None when the threads must end."""
        with self._lock:
            while not self._closed:
                now, due = time.monotonic(), None
                for _ in range(len(self._queues) if self._running < self._count else 0):
                    queue = self._queues[0]
                    self._queues.rotate(-1)  # this queue has had its turn
                    if queue.is_due(now):
                        self._running += 1
                        batch = queue.take()
                        self._wake_another()
                        return queue, batch
                    if (other := queue.due()) is not None:
                        due = other if due is None else min(due, other)
                    del queue
                self._wake.wait(None if due is None else due - now)
            return None
