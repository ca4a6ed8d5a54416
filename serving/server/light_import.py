"""Import TensorFlow for a server: without the packages that it loads if they are installed, and a server never calls.

Keras loads matplotlib, pandas, scikit-learn and IPython in turn: together half of the time of the import.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# TensorFlow imports each of them inside of `try ... except ImportError`.
OPTIONAL = ("keras", "tf_keras", "h5py", "googleapiclient")


def import_tensorflow(without: Collection[str] = OPTIONAL) -> None:
    """Import TensorFlow without some packages; with them if this TensorFlow cannot be imported otherwise.

    Later imports of these packages work as ever. Nothing happens if TensorFlow has been imported already.

    Args:
      without: names of top-level packages.
    """
    if "tensorflow" in sys.modules:
        return
    try:
        with _unavailable(without):
            import tensorflow  # noqa: F401
    except ImportError:
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _unavailable(names: Collection[str]) -> Iterator[None]:
    """Let imports of packages fail as if they were not installed, but let their folders be found."""
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds packages that cannot be loaded."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name not in self._names:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None:  # TensorFlow adds the folder of Keras to its own path
            spec.loader = _NoLoader()  # type: ignore[assignment]
        return spec


class _NoLoader:
    """Loads nothing."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never called; importlib demands it."""
