"""Keeps off the terminal what TensorFlow's C++ says while it is imported: some lines heed no log level (2.21)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def silent_imports() -> Iterator[None]:
    """Within it, what is written to file descriptor 2 goes nowhere; an exception is raised as usual."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
