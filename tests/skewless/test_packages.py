"""A user's own `data/` or `pipeline/` beside a task breaks neither."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TASK = """
from skewless import Image, ImageFolder, Task
import keras

def build(feature, classes):
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(feature.shape, dtype="uint8"), *layers])

TASK = Task(name="mine", source=ImageFolder(), feature=Image(8, 8), model=build)
"""
FAILS = "raise RuntimeError('the user''s own module was imported')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user works: a task, and modules with the names of all our packages."""
    (tmp_path / "mine.py").write_text(TASK)
    for name in ("data", "components"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FAILS)
    for name in ("serving", "pipeline"):
        (tmp_path / f"{name}.py").write_text(FAILS)
    return tmp_path


def _python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize(
    "arguments", [("mine.py",), ("-c", "import mine"), ("-m", "mine"), ("-c", "from skewless import *")]
)
def test_ours_are_found_first(folder: Path, arguments: tuple[str, ...]) -> None:
    done = _python(folder, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("start", [("-m", "skewless"), (str(Path(sys.executable).with_name("skewless")),)])
def test_a_command_finds_the_task(folder: Path, start: tuple[str, ...]) -> None:
    """PYTHONPATH puts the user's folder before ours, as `-m` does."""
    (folder / "pictures").mkdir()
    done = _python(folder, *start, "run", "mine", "--data", "pictures", PYTHONPATH=str(folder))
    assert done.returncode == 3, done.stderr
    assert f"error: no class in {folder.resolve()}/pictures: the folder is empty" in done.stderr
    for name in ("data", "serving.py", "components", "pipeline.py"):
        assert f"{folder.resolve()}/{name}" in done.stdout + done.stderr


def test_doctor_names_what_is_hidden(folder: Path) -> None:
    from pipeline.registry import hidden_modules

    assert hidden_modules(str(folder)) == {
        "data": str(folder / "data"),
        "components": str(folder / "components"),
        "serving": str(folder / "serving.py"),
        "pipeline": str(folder / "pipeline.py"),
    }


def test_a_folder_without_python_hides_nothing(tmp_path: Path) -> None:
    from pipeline.registry import hidden_modules

    (tmp_path / "data" / "cats").mkdir(parents=True)
    (tmp_path / "data" / "cats" / "one.png").touch()
    assert hidden_modules(str(tmp_path)) == {}


def test_what_was_imported_before_is_told(folder: Path) -> None:
    (folder / "data" / "__init__.py").write_text("")
    done = _python(folder, "-c", "import data, skewless")
    assert done.returncode == 1
    assert f"'data' is already imported from {folder.resolve()}/data/__init__.py" in done.stderr
    assert "rename yours" in done.stderr
