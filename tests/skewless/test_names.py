"""The public names: complete, sorted, lazy."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

import skewless
from tests import PROJECT

HEAVY = {"tensorflow", "keras", "tfx", "apache_beam", "numpy", "grpc"}


def _listed() -> dict[str, str]:
    """Name to module, as the imports say which only type checkers see."""
    tree = ast.parse(Path(skewless.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_type_checkers_see_the_names_that_are_there() -> None:
    assert _listed() == skewless._HOMES
    assert sorted(skewless._HOMES) == skewless.__all__


@pytest.mark.parametrize("name", skewless.__all__)
def test_a_name_is_the_thing_itself(name: str) -> None:
    value = getattr(skewless, name)
    assert value is getattr(importlib.import_module(skewless._HOMES[name]), name)
    if isinstance(value, type):
        assert value.__name__ == name
    if isinstance(value, (type, FunctionType)):
        assert value.__doc__


def test_dir_lists_them() -> None:
    assert set(skewless.__all__) | {"__version__"} == set(dir(skewless))


def test_the_version_is_that_of_pyproject() -> None:
    assert f'\nversion = "{skewless.__version__}"\n' in (PROJECT / "pyproject.toml").read_text()


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'skewless' has no attribute 'Imagee'"):
        skewless.Imagee  # noqa: B018
    with pytest.raises(ImportError):
        exec("from skewless import Imagee")


@pytest.mark.parametrize(
    "code", ["import skewless; skewless.__version__", "from skewless import Client, DataError, Tls"]
)
def test_a_light_name_loads_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], cwd="/", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_star_import_gives_all_of_them() -> None:
    code = "from skewless import *\nimport skewless\nprint(set(skewless.__all__) - set(globals()))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
