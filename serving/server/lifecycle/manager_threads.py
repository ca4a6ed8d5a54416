"""Background threads of a server: look for versions, load and unload them, and re-read the config file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from serving.server.lifecycle.model_manager import ModelManager

log = logging.getLogger(__name__)


class WorkerPool:
    """Runs up to `size` tasks at a time, each on a new thread; with a size of 0 on the caller's thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = threading.Semaphore(size)

    def run(self, task: Callable[[], None]) -> None:
        """Start a task; wait for a free place first, or with a size of 0 for the end of the task."""
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
    """Daemon threads that bring the models of a server to their aspired versions, from `start` to `stop`.

    Loads before `finish_initial_loads` run in a pool of their own.
    """

    def __init__(self, models: ModelManager[Any], initial_threads: int, load_threads: int, unload_threads: int) -> None:
        """Create the pools; no thread runs before `start`.

        Args:
          models: models to manage.
          initial_threads: number of threads that load until the server answers requests.
          load_threads: number of threads that load from then on (`--num_load_threads`); with 0 the manager's one
            thread loads.
          unload_threads: number of threads that unload (`--num_unload_threads`); with 0 the manager's one thread
            unloads.
        """
        self._models = models
        self._load_pool = WorkerPool(initial_threads)
        self._later_load_pool = WorkerPool(load_threads)
        self._unload_pool = WorkerPool(unload_threads)
        self._stopped = threading.Event()

    def start(self, poll_s: float) -> None:
        """Start the manager's thread, and a poll every `poll_s` seconds; no polls if that is not positive."""
        threading.Thread(target=self._manage, daemon=True).start()
        self.run_periodically(poll_s, self._models.poll)

    def run_periodically(self, seconds: float, task: Callable[[], None]) -> None:
        """Run a task repeatedly, with a pause before each time; never if `seconds` is not positive."""
        if seconds > 0:
            threading.Thread(target=self._repeat, args=(seconds, task), daemon=True).start()

    def finish_initial_loads(self) -> None:
        """Switch to the pool for later loads: from now on the server answers requests."""
        self._load_pool = self._later_load_pool

    def stop(self) -> None:
        """Start no more actions; those under way continue."""
        self._stopped.set()
        with self._models.changed:
            self._models.changed.notify_all()

    def _manage(self) -> None:
        while not self._stopped.is_set():
            with self._models.changed:  # so that no change falls between the check and the wait
                action = self._models.next_action()
                if action is None:
                    self._models.changed.wait()
                    continue
            try:
                (self._load_pool if action.is_load else self._unload_pool).run(action.run)
            except Exception:
                log.exception("A load or unload failed; the server continues")

    def _repeat(self, seconds: float, task: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds):
            try:
                task()
            except Exception:
                log.exception("A periodic task failed; next attempt in %s s", seconds)
