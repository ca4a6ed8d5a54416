"""Threads that answer calls: a fixed number at a time, and a call above that is refused at once.

Like TensorFlow Serving with --grpc_max_threads, which answers RESOURCE_EXHAUSTED `Server Threadpool Exhausted` and
queues nothing. `grpc.server(..., maximum_concurrent_rpcs=)` cannot replace this module, as measured with grpcio 1.85:

* its text is fixed, `Concurrent RPC limit exceeded!`;
* it counts a call until the polling thread has seen the end of it, which is after the caller has its answer. As many
  callers as the limit, each with one call at a time, were refused 20 to 75 of 6,000 calls; here none of 37,000.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import grpc

EXHAUSTED = "Server Threadpool Exhausted"
_GRACE_S, _STEP_S = 1e-3, 1e-4
_Job = tuple[Callable[..., Any], tuple[Any, ...]]


class CallThreads(Executor):
    """An executor for `grpc.server`; only that server's one polling thread may call `submit`.

    A call holds a thread from its arrival to its answer. Lighter than a ThreadPoolExecutor, which makes a future with
    two locks for each call: gRPC only needs to know that they end.
    """

    def __init__(self, count: int) -> None:
        """Create the executor; threads start as calls need them.

        Args:
          count: calls in progress at a time.
        """
        self._free = deque([None] * count)  # its operations are atomic
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._refused: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended: Future[None] = Future()
        self._ended.set_result(None)
        self._start_thread(self._answer_refused_calls)

    def is_full(self) -> bool:
        """Return whether every thread answers a call.

        A caller may send its next call before the thread that answered the last one is free, so wait a moment.
        """
        end = time.monotonic() + _GRACE_S
        while not self._free and time.monotonic() < end:
            time.sleep(_STEP_S)
        return not self._free

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn(*args)` in a free thread, or in the thread for refusals if there is none.

        Returns:
          A future that has ended already: gRPC counts the calls of its server with it.
        """
        if self._free:
            self._free.pop()
            self._jobs.put((fn, args))
            if self._count - len(self._free) >= len(self._threads):
                self._start_thread(self._answer_calls)
        else:
            self._refused.put((fn, args))
        return self._ended

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads after the calls that they answer."""
        self._refused.put(None)
        for _ in self._threads[1:]:
            self._jobs.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _start_thread(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"grpc_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _answer_calls(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job[0](*job[1])
            finally:
                del job  # frees the request
                self._free.append(None)

    def _answer_refused_calls(self) -> None:
        while (job := self._refused.get()) is not None:
            job[0](*job[1])
            del job


class OverloadInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Answers RESOURCE_EXHAUSTED while every thread is busy."""

    def __init__(self, threads: CallThreads) -> None:
        self._threads = threads
        # A handler of a request stream is called before the first request has arrived: no reason to wait for it.
        self._handler = grpc.stream_unary_rpc_method_handler(_abort_exhausted)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Choose the handler of a call; gRPC's polling thread calls this before `submit` for the same call."""
        return self._handler if self._threads.is_full() else continuation(handler_call_details)


def _abort_exhausted(requests: Any, context: Any) -> None:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, EXHAUSTED)
