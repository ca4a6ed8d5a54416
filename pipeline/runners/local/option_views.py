"""Beam parses its options once, not once or twice for each transform: in a small run that takes a second."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def views_once() -> Iterator[None]:
    """Keep what `view_as` returns until the block ends.

    All views of the same options share their values, so that one view of each class shows every later change.
    """
    stock = PipelineOptions.view_as
    found: weakref.WeakKeyDictionary[PipelineOptions, dict[type, Any]] = weakref.WeakKeyDictionary()

    def view_as(options: PipelineOptions, cls: type) -> Any:
        views = found.setdefault(options, {})
        if cls not in views:
            views[cls] = stock(options, cls)
        return views[cls]

    PipelineOptions.view_as = view_as
    try:
        yield
    finally:
        PipelineOptions.view_as = stock
