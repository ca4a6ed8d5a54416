"""Keep the names of Skewless' packages for Skewless, also beside a user's own `data/` or `pipeline/`.

Python finds a user's package `data` before ours when it is in the current folder or beside the script. So each package
is loaded from the folder beside this one, before anything of the user's can be imported under its name.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("data", "serving", "components", "pipeline")
_HOME = Path(__file__).resolve().parents[1]


def claim() -> None:
    """Load the packages of Skewless under their names.

    Raises:
      ImportError: If another module is already loaded under one of the names.
    """
    for name in PACKAGES:
        if name not in sys.modules:
            _load(name)
        elif not _is_ours(name):
            raise ImportError(
                f"'{name}' is already imported from {_place(name)}, and Skewless has a package of that name. "
                "Import skewless first, or rename yours."
            )


def _load(name: str) -> None:
    file = _HOME / name / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"Skewless is incomplete: {file} is missing. Install it again.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _is_ours(name: str) -> bool:
    return any(Path(folder).resolve() == _HOME / name for folder in getattr(sys.modules[name], "__path__", ()))


def _place(name: str) -> str:
    module = sys.modules[name]
    return str(getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "an unknown place"))
