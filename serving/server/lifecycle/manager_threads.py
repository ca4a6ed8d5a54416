"""The threads that look for versions, load and unload them, and read the configuration file again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from serving.server.lifecycle.model_manager import ModelManager

log = logging.getLogger(__name__)


class WorkerPool:
    """Runs tasks, so many at a time, each on a thread of its own; with a size of 0 on the thread that asks."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = threading.Semaphore(size)

    def run(self, task: Callable[[], None]) -> None:
        """Returns when the task has a thread, or, with a size of 0, when it is done."""
        if not self._size:
            task()
            return
        self._free.acquire()
        threading.Thread(target=self._run, args=(task,), daemon=True).start()

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        finally:
            self._free.release()


class ManagerThreads:
    """Keeps the models of a server as they are wanted, from `start` to `stop`, on daemon threads.

    What is loaded before `initial_loads_are_done` is loaded by a crew of its own.
    """

    def __init__(self, models: ModelManager[Any], initial_threads: int, load_threads: int, unload_threads: int) -> None:
        """Args:
        initial_threads: that load until the server serves.
        load_threads: that load from then on; 0 loads on the one thread that does all this.
        unload_threads: the same for unloading, all the time.
        """
        self._models = models
        self._load = WorkerPool(initial_threads)
        self._later = WorkerPool(load_threads)
        self._unload = WorkerPool(unload_threads)
        self._stopped = threading.Event()

    def start(self, poll_s: float) -> None:
        """Starts to work, and to look for versions every `poll_s` seconds; not at all if that is not positive."""
        threading.Thread(target=self._work, daemon=True).start()
        self.every(poll_s, self._models.poll)

    def every(self, seconds: float, task: Callable[[], None]) -> None:
        """Runs a task again and again, with a pause before each time; not at all if that is not positive."""
        if seconds > 0:
            threading.Thread(target=self._repeat, args=(seconds, task), daemon=True).start()

    def initial_loads_are_done(self) -> None:
        """From now on the server serves, and loads have to take their turn."""
        self._load = self._later

    def stop(self) -> None:
        """Takes up nothing more; what is under way goes on."""
        self._stopped.set()
        with self._models.changed:
            self._models.changed.notify_all()

    def _work(self) -> None:
        while not self._stopped.is_set():
            with self._models.changed:  # so that no change comes between the look and the wait
                work = self._models.next_work()
                if work is None:
                    self._models.changed.wait()
                    continue
            try:
                (self._load if work.is_load else self._unload).run(work.run)
            except Exception:
                log.exception("a version's change of state failed")

    def _repeat(self, seconds: float, task: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds):
            try:
                task()
            except Exception:
                log.exception("the next try follows in %s s", seconds)
