"""Run the examples as their READMEs describe."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PROJECT
from tests.preloaded import call_module

EXAMPLES = PROJECT / "examples"


def _run(folder: str, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # `skewless` is next to Python
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, cwd=EXAMPLES / folder, env=environment, capture_output=True, text=True, timeout=300)


def test_every_folder_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = [one.name for one in EXAMPLES.iterdir() if one.is_dir() and one.name != "__pycache__"]
    assert folders
    assert [name for name in folders if f"[{name}/]" not in listed] == []


def test_the_readme_s_task_is_that_of_own_folder() -> None:
    """README.md and the example have the same task, but for the limit of its accuracy."""

    def fields(source: str) -> dict[str | None, str]:
        (task,) = [one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Call) and _is_task(one)]
        return {one.arg: ast.unparse(one.value) for one in task.keywords if one.arg != "evaluate"}

    readme = (PROJECT / "README.md").read_text()
    block = readme.partition("# flowers.py\n")[2].partition("```")[0]
    assert fields(block) == fields((EXAMPLES / "own_folder" / "flowers.py").read_text())


def _is_task(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "Task"


@pytest.mark.slow
def test_own_folder(tmp_path: Path, picture_folder) -> None:
    """From Python; the command line runs the same in every other test of a run."""
    data = picture_folder(tmp_path / "data", {"daisy": 40, "rose": 40})
    work = shutil.copytree(EXAMPLES / "own_folder", tmp_path / "work")
    done = _run(str(work), sys.executable, "run.py", str(data), "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("pushed PushedVersion(version=")
    assert list((work / "skewless-root" / "flowers" / "serving" / "flowers").iterdir())


def test_the_client_is_tested_without_a_server() -> None:
    done = _run("client", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ask.py")
    assert done.returncode == 0, done.stdout


def test_the_client_says_that_no_server_answers(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    done = _run("client", sys.executable, "ask.py", "127.0.0.1:1", "flowers", str(tmp_path / "one.png"))
    assert done.returncode == 6
    assert done.stderr.startswith("error: no server answers at 127.0.0.1:1"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--skewed",), 5)])
def test_a_model_of_another_pipeline_is_released_only_without_skew(
    tmp_path: Path, flags: tuple[str, ...], status: int
) -> None:
    model, examples, served = (str(tmp_path / name) for name in ("model", "examples.tfrecord", "served"))
    made = call_module("make_model", model, examples, *flags, cwd=EXAMPLES / "foreign_pipeline")
    assert made.returncode == 0, made.stderr
    done = _run("foreign_pipeline", "./release.sh", model, examples, served)
    assert done.returncode == status, (done.stdout, done.stderr)
    versions = list(Path(served).glob("*"))
    assert [one.name.isdigit() and (one / "saved_model.pb").is_file() for one in versions] == [True] * (status == 0)
