"""The threads that answer calls: so many at a time, and whoever comes above that is refused at once."""

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
_GRACE_S = 1e-4
_Job = tuple[Callable[..., Any], tuple[Any, ...]]


class CallThreads(Executor):
    """An executor for `grpc.server`; `submit` belongs to that server's one polling thread.

    A call holds a thread from its arrival to its answer. Lighter than a ThreadPoolExecutor, which makes a future with
    two locks for each call: gRPC asks nothing of them but that they end.
    """

    def __init__(self, count: int) -> None:
        """Args:
        count: calls under way at a time.
        """
        self._free = deque([None] * count)  # its operations are atomic
        self._count = count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._refused: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended: Future[None] = Future()
        self._ended.set_result(None)
        self._start(self._refuse)

    def is_full(self) -> bool:
        """Whether every thread answers a call."""
        if not self._free:
            time.sleep(_GRACE_S)  # a thread whose answer is out, and its caller's next call in, is about to be free
        return not self._free

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs `fn(*args)` in one of the threads, or in the one for refusals where all are taken.

        Returns:
          A future that has ended already: the server counts its calls here.
        """
        if self._free:
            self._free.pop()
            self._jobs.put((fn, args))
            if self._count - len(self._free) >= len(self._threads):
                self._start(self._answer)
        else:
            self._refused.put((fn, args))
        return self._ended

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads once their calls are answered."""
        self._refused.put(None)
        for _ in self._threads[1:]:
            self._jobs.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"grpc_{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _answer(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job[0](*job[1])
            finally:
                del job  # with its request
                self._free.append(None)

    def _refuse(self) -> None:
        while (job := self._refused.get()) is not None:
            job[0](*job[1])
            del job


class Refusal(grpc.ServerInterceptor):
    """Answers RESOURCE_EXHAUSTED where all threads are taken."""

    def __init__(self, threads: CallThreads) -> None:
        self._threads = threads
        # A handler of a stream of requests is called before the first of them has come: nothing to wait for.
        self._handler = grpc.stream_unary_rpc_method_handler(_exhausted)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Called in the polling thread, before `submit` for the same call."""
        return self._handler if self._threads.is_full() else continuation(handler_call_details)


def _exhausted(requests: Any, context: Any) -> None:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, EXHAUSTED)
