"""The imports of a local run in less time.

TensorFlow, TFX and Beam import clients of Google Cloud, Kubernetes, plots and scikit-learn, which a local run uses
rarely or never. These modules are loaded when something in them is used. `tests/pipeline/runners/local` shows when an
upgrade has moved one of them; the run then imports it as usual.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

LAZY = (
    "google.cloud.bigquery",  # Beam's sources and sinks of Google Cloud
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub",
    "googleapiclient.discovery",  # TensorFlow's resolver of Google's clusters
    "keras.wrappers",  # scikit-learn
    "matplotlib.pyplot",  # Keras' pictures of data sets; our own plots do without
    "tfx.components.infra_validator.model_server_runners.kubernetes_runner",
)
_PROBED = ("__file__", "__path__", "__wrapped__", "__warningregistry__")  # asked for without using a module


@contextlib.contextmanager
def quick_imports(names: Collection[str] = LAZY) -> Iterator[None]:
    """Load modules when they are first used, from now on, and import without looking for garbage in the block.

    Importing makes millions of objects that stay; looking for garbage among them takes a fifth of the time. They are
    not searched after the block either. In a process that has TensorFlow already, nothing is left to gain, and nothing
    happens.

    Args:
      names: Full names of the modules. One that is imported already, or not installed, stays as it is.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.meta_path.insert(0, _LazyFinder(names))
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def is_unused(name: str) -> bool:
    """Return whether a module has been imported, but not loaded yet."""
    return isinstance(vars(sys.modules.get(name, sys)).get("__getattr__"), _LoadOnUse)


class _LazyFinder:
    """Finds modules as the other finders do, with a loader that waits for their first use."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name not in self._names:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _LazyLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _LazyLoader:
    """Gives a module a `__getattr__` that executes its code.

    Not `importlib.util.LazyLoader`: it also loads a module that is only asked for its file, as `inspect` and pytest ask
    all modules, and one of which another module is imported.
    """

    def __init__(self, loader: SourceFileLoader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create the module."""

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        module.__dict__["__getattr__"] = _LoadOnUse(module, self._loader)
        module.__dict__.pop("__path__", None)  # an import of a module inside asks for it, and so loads this one first


class _LoadOnUse:
    """The `__getattr__` of a module that is not loaded yet."""

    def __init__(self, module: ModuleType, loader: SourceFileLoader) -> None:
        self._module, self._loader = module, loader
        self._lock, self._started = threading.RLock(), False

    def __call__(self, name: str) -> Any:
        places = getattr(self._module.__spec__, "submodule_search_locations", None)
        if name in _PROBED and not (name == "__path__" and places is not None):
            raise AttributeError(name)
        self._load(places)
        if name in vars(self._module) or vars(self._module).get("__getattr__") is not self:
            return getattr(self._module, name)
        raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")

    def _load(self, places: list[str] | None) -> None:
        """Execute the module's code once; another thread waits until it is done."""
        with self._lock:
            if self._started:
                return
            self._started = True
            if places is not None:
                self._module.__path__ = places
            try:
                self._loader.exec_module(self._module)
            except BaseException:
                self._started = False
                raise
            if vars(self._module).get("__getattr__") is self:
                del self._module.__dict__["__getattr__"]
