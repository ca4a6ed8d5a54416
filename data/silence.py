"""Redirection of file descriptors: what C++ prints heeds neither `sys.stderr` nor, in TensorFlow 2.21, a log level."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def redirect_descriptors(target: int, *descriptors: int) -> Iterator[None]:
    """Write what is written to the descriptors to `target` until the block ends.

    Args:
      target: the file descriptor to write to.
      *descriptors: the file descriptors to redirect: 1 (standard output) and 2 (standard error).
    """
    _flush()
    kept = {one: os.dup(one) for one in descriptors}
    for one in descriptors:
        os.dup2(target, one)
    try:
        yield
    finally:
        _flush()
        for one, original in kept.items():
            os.dup2(original, one)
            os.close(original)


@contextlib.contextmanager
def silent_imports() -> Iterator[None]:
    """Discard what is written to file descriptor 2, as TensorFlow's C++ does while it is imported."""
    with open(os.devnull, "wb") as nowhere, redirect_descriptors(nowhere.fileno(), 2):
        yield


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
