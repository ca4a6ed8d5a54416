"""The local runner: TFX's LocalDagRunner, with somebody watching."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from typing import Protocol

from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import data_types, launcher


class RunObserver(Protocol):
    """Who wants to know what runs."""

    def started(self, component: str) -> None:
        """A component begins."""

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        """It ended well, executed or cached."""

    def failed(self, component: str, seconds: float) -> None:
        """It raised."""


def run_dag(pipeline: Pipeline, observer: RunObserver) -> None:
    """Runs the components in order in this process.

    Raises:
      Exception: whatever the first failing component raises; TFX has recorded it as failed.
    """
    with _watched(observer), _without_passwords():
        local_dag_runner.LocalDagRunner().run(pipeline)


@contextlib.contextmanager
def _without_passwords() -> Iterator[None]:
    """LocalDagRunner logs its configuration, with the password of the database."""
    logger, words = logging.getLogger("absl"), re.compile(r'(password: )"(\\.|[^"\\])*"')

    def hide(record: logging.LogRecord) -> bool:
        record.msg, record.args = words.sub(r'\1"***"', record.getMessage()), ()
        return True

    logger.addFilter(hide)
    try:
        yield
    finally:
        logger.removeFilter(hide)


@contextlib.contextmanager
def _watched(observer: RunObserver) -> Iterator[None]:
    """LocalDagRunner has no hooks: for the time of a run it gets a Launcher that tells the observer."""
    stock = launcher.Launcher

    class Watched(stock):  # type: ignore[misc, valid-type]
        def launch(self) -> data_types.ExecutionInfo | None:
            name = self._pipeline_node.node_info.id
            start = time.perf_counter()
            observer.started(name)
            try:
                info = super().launch()
            except BaseException:
                observer.failed(name, time.perf_counter() - start)
                raise
            observer.finished(name, info.execution_id if info else None, time.perf_counter() - start)
            return info

    local_dag_runner.launcher.Launcher = Watched
    try:
        yield
    finally:
        local_dag_runner.launcher.Launcher = stock
