"""Find tasks: the built-in ones by name, a user's own by import path."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path

from data.errors import UsageError, unknown

_PACKAGE = "pipeline.tasks"
_TASK = re.compile(r"^TASK\b[^=\n]*=", re.MULTILINE)
_MODULES = 200  # in a folder that are searched for tasks
_OURS = ("data", "serving", "components", "pipeline")


def builtin_tasks() -> dict[str, str]:
    """Return name and first docstring line of each built-in task; imports nothing."""
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = {}
    for module in pkgutil.iter_modules(folders):
        source = Path(folders[0], f"{module.name}.py").read_text()
        found[module.name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def task_modules(folder: str) -> list[str]:
    """Return the names of the modules in a folder that define a `TASK`, sorted; reads their texts, imports nothing."""
    found = []
    for file in sorted(Path(folder).glob("*.py"))[:_MODULES]:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if file.stem.isidentifier() and _TASK.search(text):
            found.append(file.stem)
    return found


def resolve_task(name: str) -> str:
    """Return the import path (`module:NAME`) of a built-in task's name, of `module:NAME`, or of a module with `TASK`.

    Raises:
      UsageError: If there is no such task; the hint has the built-in ones, and those in the current folder.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a user's module is in the folder where the command is called
    if name in builtin_tasks():
        return f"{_PACKAGE}.{name}:TASK"
    module, _, attribute = name.partition(":")
    if _is_own_module(module, installed=bool(attribute)):
        return f"{module}:{attribute or 'TASK'}"
    if attribute or "." in module:
        raise UsageError(f"no module '{module}' for the task {name}", hint="Python must find it from this folder.")
    raise unknown("task", name, [*builtin_tasks(), *task_modules(str(Path.cwd()))])


def _is_own_module(name: str, installed: bool) -> bool:
    """Return whether a module can be a user's task.

    Args:
      name: Dotted name.
      installed: Whether a module of an installed package counts. It does for `module:NAME`; a name alone is more
        likely a misspelt task than a package of that name.
    """
    if name == "__main__":  # a script or notebook that calls `skewless.run`
        return True
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    if found is None or found.origin is None:
        return False
    return installed or "site-packages" not in Path(found.origin).parts


def hidden_modules(folder: str) -> dict[str, str]:
    """Return the Python modules in a folder that a task cannot import, because a package of Skewless has their name.

    Args:
      folder: Where a user's task is, or the current folder.

    Returns:
      Name to path. A folder without Python files is none: data may be in a folder called `data`.
    """
    home = Path(__file__).resolve().parents[1]
    if Path(folder).resolve() == home:
        return {}
    found = {}
    for name in _OURS:
        package, module = Path(folder, name), Path(folder, f"{name}.py")
        if package.is_dir() and any(package.glob("*.py")):
            found[name] = str(package)
        elif module.is_file():
            found[name] = str(module)
    return found
