"""What `skewless new` can know to be wrong before it loads TensorFlow: the name of the module, and the data folder."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from pathlib import Path

from data.errors import UsageError
from pipeline.paths import check_data
from pipeline.registry import builtin_tasks


def check_new(name: str, data: str) -> Path:
    """Check the name of a task and its data folder, and return the file to write.

    Args:
      name: Name of the task and its module.
      data: The data folder.

    Raises:
      UsageError: If the name is not an identifier, a built-in task or another module has it, or the file exists.
      DataError: If there is no such data folder.
    """
    path = Path(f"{name}.py").absolute()
    _check_name(name, path)
    check_data(data)
    return path


def _check_name(name: str, path: Path) -> None:
    """Check that a module of this name can be written to the path and imported from there.

    Raises:
      UsageError: If the name is not an identifier, a built-in task or another module has it, or the file exists.
    """
    hint = f"Choose another name, for example my_{name if name.isidentifier() else 'task'}."
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(f"'{name}' cannot be the name of a Python module", hint="Use letters, digits and _.")
    if name in builtin_tasks():
        raise UsageError(f"'{name}' is a built-in task", hint=hint)
    if path.exists():
        raise UsageError(f"{path} already exists and is not overwritten", hint=f"Move it away. {hint}")
    taken = "Python's own" if name in sys.stdlib_module_names else _found_elsewhere(name, path.parent)
    if taken:
        raise UsageError(f"'{name}' is the name of another module: {taken}", hint=hint)


def _found_elsewhere(name: str, here: Path) -> str:
    """Return where Python finds a module of this name; "" for none, or for a plain folder here: a file wins over it."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return ""
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or []]
    if spec.origin is None and folders == [here.resolve() / name]:
        return ""
    return spec.origin or str(folders[0] if folders else "built in")
