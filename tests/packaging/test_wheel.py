"""Build the sdist and the wheel, compare them with the checkout, and use the wheel without the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import PROJECT

TOPS = ("skewless", "data", "serving", "components", "pipeline")
BUILD = "from setuptools import build_meta; build_meta.build_{kind}({folder!r})"


class Built(NamedTuple):
    """The two archives, and the files of the checkout that git lists or would list."""

    sdist: Path
    wheel: Path
    files: list[str]


def _build(kind: str, source: Path, folder: Path) -> Path:
    """Build "sdist" or "wheel" in `source` with the packages that are installed here."""
    folder.mkdir()
    code = BUILD.format(kind=kind, folder=str(folder))
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, text=True, timeout=120)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if not (PROJECT / ".git").exists():
        pytest.skip("git lists the files of a checkout; this is none")
    root = tmp_path_factory.mktemp("build")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
    files = sorted(name for name in names if (PROJECT / name).is_file())
    for name in files:
        (root / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, root / "checkout" / name)
    # What a developer's checkout has in addition must stay there.
    (root / "checkout" / "examples" / "client" / "node_modules").mkdir()
    (root / "checkout" / "examples" / "client" / "node_modules" / "stray.js").touch()
    sdist = _build("sdist", root / "checkout", root / "sdist")
    return Built(sdist, _build("wheel", root / "checkout", root / "wheel"), files)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel alone; the packages that it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(built.wheel)], check=True, capture_output=True, timeout=120)
    return folder


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def _run(folder: Path, installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command that the wheel installs, in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(installed / "bin" / "skewless"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def _metadata(wheel: Path) -> Message:
    (content,) = (value for name, value in _contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(content)


def _version() -> str:
    (version,) = re.findall('^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(version)


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_no_other(built: Built) -> None:
    ours = {name for name in built.files if name.split("/")[0] in TOPS}
    assert {name for name in _contents(built.wheel) if ".dist-info/" not in name} == ours


@pytest.mark.slow
def test_the_sdist_holds_every_file_but_those_with_a_dot(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {one.name.partition("/")[2] for one in archive if one.isfile()}
    written = {name for name in names if name in ("PKG-INFO", "setup.cfg") or name.startswith("skewless.egg-info/")}
    assert names - written == {name for name in built.files if not name.startswith(".")}


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert _contents(_build("wheel", source, tmp_path / "wheel")) == _contents(built.wheel)


@pytest.mark.slow
def test_the_metadata_shows_the_readme_without_links_to_files(built: Built) -> None:
    metadata = _metadata(built.wheel)
    assert (metadata["Version"], metadata["License-Expression"]) == (_version(), "Apache-2.0")
    assert metadata["Description-Content-Type"] == "text/markdown"
    readme = str(metadata.get_payload())
    assert readme.startswith("# Skewless\n")
    targets = [part.partition(")")[0] for part in readme.split("](")[1:]]
    assert [target for target in targets if not target.startswith("https://")] == []


@pytest.mark.slow
def test_the_command_answers_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    version = _run(tmp_path, installed, "--version")
    assert version.stdout == f"skewless, version {_version()}\n", version.stderr
    where = [sys.executable, "-c", "import skewless; print(skewless.__file__)"]
    done = subprocess.run(where, cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True)
    assert done.stdout == f"{installed / 'skewless' / '__init__.py'}\n"
    tasks = _run(tmp_path, installed, "tasks")
    assert "digits" in tasks.stdout, tasks.stderr


@pytest.mark.slow
def test_a_task_is_written_without_the_checkout(installed: Path, tmp_path: Path, picture_folder) -> None:
    """With the template in the wheel. A whole demo takes longer than it is worth here: see CONTRIBUTING.md, release."""
    picture_folder(tmp_path / "pictures", {"daisy": 4, "rose": 4})
    done = _run(tmp_path, installed, "new", "flowers", "--data", "pictures")
    assert done.returncode == 0, done.stderr
    assert 'name="flowers"' in (tmp_path / "flowers.py").read_text()
