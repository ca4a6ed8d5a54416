"""The local runner: TFX's LocalDagRunner with an observer."""

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

from pipeline.runners.local.dofn_specs import specs_once
from pipeline.runners.local.option_views import views_once


class RunObserver(Protocol):
    """Receives the events of a run."""

    def skips(self, component: str) -> bool:
        """Return whether a component is not to run, because of what an earlier one has found."""

    def started(self, component: str) -> None:
        """Handle the start of a component."""

    def finished(self, component: str, execution_id: int | None, seconds: float) -> None:
        """Handle the end of a component that did not raise: it was executed, or taken from the cache."""

    def failed(self, component: str, seconds: float) -> None:
        """Handle the end of a component that raised."""


def run_dag(pipeline: Pipeline, observer: RunObserver) -> None:
    """Run the components in order in this process.

    Args:
      pipeline: The pipeline.
      observer: Receives the start and the end of each component.

    Raises:
      Exception: What the first failing component raises; TFX has recorded the component as failed.
    """
    with _observed(observer), _without_passwords(), specs_once(), views_once():
        local_dag_runner.LocalDagRunner().run(pipeline)


@contextlib.contextmanager
def _without_passwords() -> Iterator[None]:
    """Hide passwords in the log: LocalDagRunner logs its configuration, with the password of the database."""
    logger, password = logging.getLogger("absl"), re.compile(r'(password: )"(\\.|[^"\\])*"')

    def hide(record: logging.LogRecord) -> bool:
        record.msg, record.args = password.sub(r'\1"***"', record.getMessage()), ()
        return True

    logger.addFilter(hide)
    try:
        yield
    finally:
        logger.removeFilter(hide)


@contextlib.contextmanager
def _observed(observer: RunObserver) -> Iterator[None]:
    """Replace LocalDagRunner's launcher by one that calls the observer: LocalDagRunner has no hooks."""
    stock = launcher.Launcher

    class ObservedLauncher(stock):  # type: ignore[misc, valid-type]
        def launch(self) -> data_types.ExecutionInfo | None:
            name = self._pipeline_node.node_info.id
            if observer.skips(name):
                return None
            start = time.perf_counter()
            observer.started(name)
            try:
                info = super().launch()
            except BaseException:
                observer.failed(name, time.perf_counter() - start)
                raise
            observer.finished(name, info.execution_id if info else None, time.perf_counter() - start)
            return info

    local_dag_runner.launcher.Launcher = ObservedLauncher
    try:
        yield
    finally:
        local_dag_runner.launcher.Launcher = stock
