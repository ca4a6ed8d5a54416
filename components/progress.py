"""Progress messages of a component: lines on one logger, which the command line shows and TFX's log keeps."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("skewless.progress")


def report(text: str) -> None:
    """Report in one short line what the component is doing now."""
    LOGGER.info(text)
