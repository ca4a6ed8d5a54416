"""What a component depends on, as texts that TFX's cache compares.

TFX's cache compares a component's properties and inputs. It does not notice an edit behind a dotted path, and a stale
cache hit would be silent. So each component has, in its properties, the values that it reads and a hash of the code
that it calls.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from components.task.hash_cache import cached_hash
from components.task.keras_config import config_text, has_config, parts_inside

FRAMEWORK = ("data", "serving", "components")
PACKAGES = ("keras", "tensorflow", "tfx")
"""Installed packages that compute the results; another version may compute other results."""


def describe_dependencies(value: Any, prefix: str) -> dict[str, str]:
    """Describe everything in a value that results depend on.

    Two values with the same description give the same results, on any machine and in any process.

    Args:
      value: A field of a task: a dataclass, a function, or a plain value.
      prefix: Dotted name of the field.

    Returns:
      Text by dotted name: of a dataclass the name of its class and every field, of code its hash, of a Keras object its
      config, and what the method `depends` of a dataclass returns.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {prefix: type(value).__name__}
        if not _is_ours(type(value).__module__):
            found[prefix] += f" code {code_hash(type(value))}"  # the code of Skewless has `framework_hash`
        for one in dataclasses.fields(value):
            found.update(describe_dependencies(getattr(value, one.name), f"{prefix}.{one.name}"))
        if hasattr(value, "depends"):  # contents of files that its fields name
            found.update({f"{prefix}.{name}": text for name, text in value.depends().items()})
        return found
    if has_config(value):
        return {prefix: describe_object(value)}
    if callable(value):
        return {prefix: f"code {code_hash(value)}"}
    if isinstance(value, tuple) and any(callable(one) or has_config(one) for one in value):
        parts = [describe_dependencies(one, f"{prefix}.{number}") for number, one in enumerate(value)]
        return {name: text for part in parts for name, text in part.items()}
    return {prefix: repr(dict(sorted(value.items())) if isinstance(value, dict) else value)}


def describe_object(value: Any) -> str:
    """Describe a Keras object: its class, its config, and the user's code that it contains.

    Raises:
      UsageError: If its config does not have all its settings.
    """
    mine = [one for one in (value, *parts_inside(value)) if _is_users(_module_of(one))]
    codes = sorted({code_hash(one if isinstance(one, FunctionType) else type(one)) for one in mine})
    texts = [config_text(value, is_own=value in mine)]
    texts += [config_text(one, is_own=True) for one in mine if has_config(one) and one is not value]
    return f"{texts[0]} code {_digest([*sorted(texts), *codes])}" if mine else texts[0]


def _module_of(value: Any) -> str:
    return str((value if isinstance(value, FunctionType) else type(value)).__module__)


def code_hash(target: Any) -> str:
    """Hash the source of a function or class, and the user's code and constants that it refers to.

    Comments, docstrings and layout do not count; neither does code outside of the user's own modules. For installed
    packages see `package_versions`, for Skewless itself `framework_hash`.
    """
    parts: dict[str, str] = {}
    _collect(target, parts)
    return _digest(f"{name}\n{text}" for name, text in sorted(parts.items()))


def _collect(target: Any, parts: dict[str, str]) -> None:
    if isinstance(target, functools.partial):
        parts[f"partial {target.args!r} {sorted(target.keywords.items())!r}"] = ""
        target = target.func
    target = inspect.unwrap(target) if callable(target) else target
    name = f"{getattr(target, '__module__', '')}:{getattr(target, '__qualname__', repr(target))}"
    if name in parts:
        return
    parts[name] = _source(target)
    for base in getattr(target, "__bases__", ()):
        _collect_name(base.__name__, base, parts)
    for code, scope in _codes(target):
        for used in _names(code):
            if used in scope:
                _collect_name(used, scope[used], parts)


def _collect_name(name: str, value: Any, parts: dict[str, str]) -> None:
    """Add a global that the code reads: the user's functions with their code, constants with their value."""
    if isinstance(value, ModuleType):
        if _is_users(value.__name__):
            parts[f"module {value.__name__}"] = _module_source(value)
    elif isinstance(value, (FunctionType, type, functools.partial)):
        if _is_users(getattr(value, "__module__", "")):
            _collect(value, parts)
    elif isinstance(value, (int, float, str, bytes, bool, tuple, frozenset, type(None))):
        parts[f"constant {name}"] = repr(value)
    elif has_config(value):
        parts[f"constant {name}"] = describe_object(value)
    elif isinstance(value, (list, dict, set)):
        parts[f"constant {name}"] = repr(sorted(value.items()) if isinstance(value, dict) else value)


def _codes(target: Any) -> list[tuple[CodeType, dict[str, Any]]]:
    """Return the code objects of a function, or of a class's methods, with their globals and closures."""
    functions = [target] if isinstance(target, FunctionType) else []
    if isinstance(target, type):
        functions = [one for one in map(inspect.unwrap, vars(target).values()) if isinstance(one, FunctionType)]
    return [(one.__code__, {**one.__globals__, **inspect.getclosurevars(one).nonlocals}) for one in functions]


def _names(code: CodeType) -> set[str]:
    """Return the global and closure names that the code and the functions inside it read."""
    found = {*code.co_names, *code.co_freevars} - set(dir(builtins))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _source(target: Any) -> str:
    """Return the source without comments, docstrings and layout; of a lambda, whose lines hold other code, bytecode."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(target)))
    except (OSError, TypeError, SyntaxError):
        code = getattr(target, "__code__", None)
        return f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}" if code else repr(type(target))
    return _dump(tree)


def _module_source(module: ModuleType) -> str:
    try:
        return _dump(ast.parse(inspect.getsource(module)))
    except (OSError, TypeError):
        return ""


def _dump(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Module)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return _text(tree)


def _text(node: Any) -> str:
    """Return a syntax tree as text.

    Empty fields are left out: newer versions of Python add fields, which are empty for old code.
    """
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, list):
        return f"[{', '.join(map(_text, node))}]"
    if isinstance(node, ast.AST):
        fields = (f"{name}={_text(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(fields)})"
    return repr(node)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in (*FRAMEWORK, "skewless")


@functools.lru_cache(maxsize=1024)
def _is_users(module: str) -> bool:
    """Return whether a module is the user's: not Skewless's, not of an installed package, not Python's own."""
    top = module.partition(".")[0]
    if not top or _is_ours(module) or top in sys.stdlib_module_names:
        return False
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return False
        file = spec.origin if spec else None
    return bool(file) and "site-packages" not in Path(str(file)).parts


@functools.cache
def framework_hash() -> str:
    """Hash the sources of Skewless that the components call: after an upgrade every component runs again."""
    files: list[Path] = []
    for package in FRAMEWORK:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations if spec else None) or []:
            files += sorted(Path(location).rglob("*.py"))
    return cached_hash(files, lambda: _digest(f"{file.name}\n{_dump(ast.parse(file.read_text()))}" for file in files))


def package_versions() -> dict[str, str]:
    """Return the version of each of `PACKAGES`, by `packages.NAME`."""
    return {f"packages.{name}": importlib.metadata.version(name) for name in PACKAGES}


def _digest(texts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode() + b"\0")
    return found.hexdigest()[:16]
