"""Progress messages of a component: lines on one logger, which the command line shows and TFX's log keeps."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

LOGGER = logging.getLogger("skewless.progress")


def report(text: str) -> None:
    """Report in one short line what the component is doing now."""
    LOGGER.info(text)


def announce(text: str) -> None:
    """Report one line that stays on the terminal, such as the result of a part of a long component."""
    LOGGER.info(text, extra={"stays": True})


@contextlib.contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Put a text before all reports of the block: which of several trainings they are about."""

    def add(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{prefix}  {record.getMessage()}", ()
        return True

    LOGGER.addFilter(add)
    try:
        yield
    finally:
        LOGGER.removeFilter(add)
