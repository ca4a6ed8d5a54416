from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UsageError
from pipeline.registry import builtin_tasks, resolve_task
from tests.pipeline.conftest import PROJECT


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the command is called; `sys.path` is put back afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_module_of_the_tasks_is_listed_with_its_first_line() -> None:
    files = {path.stem: path for path in (PROJECT / "pipeline" / "tasks").glob("*.py") if path.stem != "__init__"}
    found = builtin_tasks()
    assert found.keys() == files.keys() and "digits" in found
    for name, about in found.items():
        assert about and files[name].read_text().startswith(f'"""{about}\n')


def test_a_built_in_name_comes_first(here: Path) -> None:
    (here / "digits.py").write_text("TASK = None")
    assert resolve_task("digits") == "pipeline.tasks.digits:TASK"


def test_a_users_module_lies_where_the_command_is_called(here: Path) -> None:
    (here / "my_flowers.py").write_text("raise SystemExit('resolving must not import')")
    (here / "zoo").mkdir()
    (here / "zoo" / "__init__.py").touch()
    (here / "zoo" / "cats.py").touch()
    assert resolve_task("my_flowers") == "my_flowers:TASK"
    assert resolve_task("my_flowers:OTHER") == "my_flowers:OTHER"
    assert resolve_task("zoo.cats") == "zoo.cats:TASK"


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("digit", "no task 'digit'. Did you mean 'digits'?", "Legal: cifar10_inception, digits, fashion_mnist"),
        ("", "no task ''", "digits"),
        ("colorsys", "no task 'colorsys'", "digits"),  # Python's own
        ("numpy", "no task 'numpy'", "digits"),  # installed
        ("no_such:TASK", "no module 'no_such' for the task no_such:TASK", "find it from this folder"),
        ("no.such.module", "no module 'no.such.module'", "find it from this folder"),
        (".relative", "no module '.relative'", ""),
    ],
)
def test_what_is_no_task(here: Path, name: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_task(name)
    assert str(caught.value).startswith(words) and hint in caught.value.hint


def test_listing_the_tasks_imports_none_of_them() -> None:
    code = "from pipeline.registry import builtin_tasks; builtin_tasks(); import sys; assert 'keras' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_folder_of_a_task_is_found_by_its_name_or_its_module(tmp_path: Path) -> None:
    from pipeline.cli import task_name

    (tmp_path / "horses").mkdir()
    assert task_name("horses", str(tmp_path)) == "horses"
    assert task_name("tests.tasks.horses", str(tmp_path)) == "horses"
    assert task_name("digits", str(tmp_path)) == "digits"
    with pytest.raises(UsageError, match="no task 'hrses'"):
        task_name("hrses", str(tmp_path))
