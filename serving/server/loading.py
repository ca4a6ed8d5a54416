"""From a version's folder to a model that answers: loaded, batched and warmed up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from serving.server.faults import Fault
from serving.server.platform_config import Platform
from serving.server.servable import Servable
from serving.server.warmup import has_requests, warm_up

Wrap = Callable[[Servable, str], Any]
Warmed = Callable[[str, str, int, int], None]


class Loader:
    """Loads versions as the platform says; may be called from several threads."""

    def __init__(self, platform: Platform, wrap: Wrap | None = None, warmed: Warmed | None = None) -> None:
        """Args:
        platform: how to load.
        wrap: puts batching around a Servable, given also its folder.
        warmed: told of each warm-up: the version's folder, its status OK, how many microseconds it took and of how many
          records.
        """
        self._platform = platform
        self._wrap = wrap
        self._warmed = warmed

    def __call__(self, folder: str) -> Any:
        """A Servable, or what `wrap` made of it.

        Raises:
          Fault: it does not load, or its warm-up failed.
        """
        servable = Servable(folder, self._platform.tags, self._platform.session)
        try:
            model = servable if self._wrap is None else self._wrap(servable, folder)
        except Fault:
            servable.close()
            raise
        if self._platform.warm_up_times and has_requests(folder):
            self._warm_up(model, folder)
        return model

    def _warm_up(self, model: Any, folder: str) -> None:
        start = time.perf_counter_ns()
        try:
            records = warm_up(model, folder, self._platform.warm_up_times)
        except Exception:
            model.close()
            raise
        if self._warmed is not None:
            self._warmed(folder, "OK", (time.perf_counter_ns() - start) // 1000, records)
