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
from serving.server.rpc_error import Fault, invalid
from serving.server.saved_model.tensors import Array


class BatchTask:
    """A request's rows, or a part of them, in one batch.

    Attributes:
      feeds: arrays [size, ...] by tensor name.
      size: rows.
      deadline: of the request, on the clock of `time.monotonic`; None for none.
    """

    def __init__(self, feeds: Mapping[str, Array], size: int, deadline: float | None) -> None:
        self.feeds = feeds
        self.size = size
        self.deadline = deadline
        self._outputs: list[Any] = []
        self._error: Exception | None = None
        self._done = threading.Lock()  # the cheapest thing that a thread can wait for
        self._done.acquire()

    def end(self, outputs: list[Any]) -> None:
        """Hands the rows' outputs over."""
        self._outputs = outputs
        self._done.release()

    def fail(self, error: Exception) -> None:
        """Hands over what the batch failed with."""
        self._error = error
        self._done.release()

    def wait(self) -> list[Any]:
        """The outputs, once the batch has run; raises what it failed with."""
        self._done.acquire()
        if isinstance(self._error, Fault):  # one of its own for each thread: raising writes to it
            raise Fault(self._error.code, self._error.message)
        if self._error is not None:
            raise self._error
        return self._outputs


@dataclass
class Batch:
    """Tasks that run together.

    Attributes:
      size: rows of all tasks.
      opened: when the first task came, on the clock of `time.monotonic`.
    """

    tasks: list[BatchTask] = field(default_factory=list)
    size: int = 0
    opened: float = 0.0

    def add(self, task: BatchTask, now: float) -> None:
        """Appends a task."""
        if not self.tasks:
            self.opened = now
        self.tasks.append(task)
        self.size += task.size


class BatchQueue:
    """Batches of one set of inputs and outputs: the last one is open, the others are full.

    Only `SharedBatchScheduler` calls it, under its lock.
    """

    def __init__(self, parameters: BatchingOptions, run: Callable[[Batch], None]) -> None:
        """Args:
        parameters: sizes, waits and limits.
        run: runs a batch and ends or fails each of its tasks; raises nothing.
        """
        self.run = run
        self._parameters = parameters
        self._batches = deque([Batch()])

    def add(self, feeds: Mapping[str, Array], size: int, deadline: float | None, now: float) -> list[BatchTask]:
        """Puts a request into the open batch, or into as many as it takes.

        Raises:
          Fault: INVALID_ARGUMENT, the request is too large; UNAVAILABLE, the queue is full.
        """
        limit = self._parameters
        if size > limit.max_batch_size:
            raise invalid(f"Task size {size} is larger than maximum input batch size {limit.max_batch_size}")
        self._check_room(size)
        tasks = []
        for start, end in self._parts(size):
            part = feeds if (start, end) == (0, size) else {name: value[start:end] for name, value in feeds.items()}
            tasks.append(BatchTask(part, end - start, deadline))
            if self._batches[-1].size + end - start > limit.max_execution_batch_size:
                self._batches.append(Batch())
            self._batches[-1].add(tasks[-1], now)
        return tasks

    def due(self) -> float | None:
        """When a batch may run, on the clock of `time.monotonic`; 0 for one that is full, None for none at all."""
        first = self._batches[0]
        if len(self._batches) > 1 or first.size >= self._parameters.max_execution_batch_size:
            return 0.0
        return first.opened + self._parameters.batch_timeout_micros / 1e6 if first.tasks else None

    def is_due(self, now: float) -> bool:
        """Whether a batch may run now."""
        due = self.due()
        return due is not None and due <= now

    def is_open(self) -> bool:
        """Whether the next batch to run is the one that takes requests."""
        return len(self._batches) == 1

    def take(self) -> Batch:
        """The next batch to run."""
        if len(self._batches) == 1:
            self._batches.append(Batch())
        return self._batches.popleft()

    def _check_room(self, size: int) -> None:
        limit, last, count = self._parameters, self._batches[-1].size, len(self._batches)
        full = "The batch scheduling queue to which this task was submitted is full; "
        if not limit.enable_large_batch_splitting:
            if last + size > limit.max_batch_size and count >= limit.max_enqueued_batches:
                raise Fault(
                    grpc.StatusCode.UNAVAILABLE,
                    f"{full}currently {count} batches enqueued and max_enqueued_batches is "
                    f"{limit.max_enqueued_batches}",
                )
            return
        longest = limit.max_execution_batch_size
        capacity = (limit.max_enqueued_batches - count) * longest + longest - last
        if size > capacity:
            raise Fault(
                grpc.StatusCode.UNAVAILABLE,
                f"{full}task size is {size} but scheduling capacity is only {capacity} (num_enqueued_batches={count}, "
                f"max_enqueued_batches={limit.max_enqueued_batches}, open_batch_size={last}, "
                f"max_execution_batch_size={longest})",
            )

    def _parts(self, size: int) -> list[tuple[int, int]]:
        longest = self._parameters.max_execution_batch_size
        room = longest - self._batches[-1].size
        if size <= room or not self._parameters.enable_large_batch_splitting:
            return [(0, size)]
        cuts = sorted({0, room, *range(room, size, longest), size})
        return list(zip(cuts, cuts[1:], strict=False))


class SharedBatchScheduler:
    """So many batches at a time as there are threads, whichever model they are of; the queues take turns.

    A request that finds a thread's place free and need not wait for others runs its batch itself: two changes of
    thread less.
    """

    def __init__(self, count: int, name: str) -> None:
        """Args:
        count: threads, and batches that run at a time.
        name: of the threads.
        """
        self._count = count
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queues: deque[BatchQueue] = deque()
        self._busy = 0
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}_{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def add_queue(self, queue: BatchQueue) -> None:
        """Lets a queue take turns with the others."""
        with self._lock:
            self._queues.append(queue)

    def remove_queue(self, queue: BatchQueue) -> None:
        """Forgets a queue whose requests have all been answered."""
        with self._lock:
            self._queues.remove(queue)

    def run(self, queue: BatchQueue, feeds: Mapping[str, Array], size: int, deadline: float | None) -> list[list[Any]]:
        """Adds a request to a queue and waits for its outputs.

        Returns:
          For each part of the request, in order, its outputs.

        Raises:
          Fault: the queue did not take the request, or its batch failed.
        """
        now = time.monotonic()
        with self._lock:
            tasks = queue.add(feeds, size, deadline, now)
            here = self._busy < self._count and queue.is_open() and queue.is_due(now)
            if here:
                self._busy += 1
                batch = queue.take()
            elif self._busy < self._count:
                self._wake.notify()
        if here:
            queue.run(batch)
            with self._lock:
                self._busy -= 1
                self._wake_another()
        return [task.wait() for task in tasks]

    def close(self) -> None:
        """Ends the threads. No request may be under way."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (taken := self._wait()) is not None:
            queue, batch = taken
            queue.run(batch)
            del taken, queue, batch  # an idle thread must not keep a model that was unloaded
            with self._lock:
                self._busy -= 1

    def _wake_another(self) -> None:
        """Where batches are left to run, or to wait for: one request may have made several."""
        if self._busy < self._count and any(queue.due() is not None for queue in self._queues):
            self._wake.notify()

    def _wait(self) -> tuple[BatchQueue, Batch] | None:
        """The next batch that may run, once there is one and a place for it; None when the threads are to end."""
        with self._lock:
            while not self._closed:
                now, due = time.monotonic(), None
                for _ in range(len(self._queues) if self._busy < self._count else 0):
                    queue = self._queues[0]
                    self._queues.rotate(-1)  # whose turn it was goes last
                    if queue.is_due(now):
                        self._busy += 1
                        batch = queue.take()
                        self._wake_another()
                        return queue, batch
                    if (other := queue.due()) is not None:
                        due = other if due is None else min(due, other)
                    del queue
                self._wake.wait(None if due is None else due - now)
            return None
