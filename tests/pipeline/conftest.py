"""Runs of the command line as a user's, and one run of `digits` that the end-to-end tests share."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pipeline.cli"]


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command: exit status, stdout, stderr; and what `run.json` says."""

    status: int
    out: str
    err: str
    record: dict[str, Any]

    def states(self) -> dict[str, str]:
        """Component -> executed, cached or failed."""
        return {one["name"]: one["state"] for one in self.record["components"]}

    def why(self, component: str) -> str:
        return next(one["why"] for one in self.record["components"] if one["name"] == component)


Skewless = Callable[..., Outcome]


def environment(**more: str) -> dict[str, str]:
    """The environment of a command that finds the project wherever it is called."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **more}


@pytest.fixture(scope="session")
def skewless() -> Skewless:
    """Calls `skewless` in a process of its own."""

    def call(*arguments: str, root: Path | None = None, task: str = "", cwd: Path = PROJECT) -> Outcome:
        command = [*COMMAND, *arguments, *(["--root", str(root)] if root else [])]
        done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)
        record = root / task / "run.json" if root and task else None
        found = json.loads(record.read_text()) if record and record.exists() else {}
        return Outcome(done.returncode, done.stdout, done.stderr, found)

    return call


@dataclass(frozen=True)
class Digits:
    """A finished first run of `digits`: its root and outcome."""

    root: Path
    outcome: Outcome

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "digits" / "serving" / "digits").iterdir())


@pytest.fixture(scope="session")
def digits(skewless: Skewless, tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """`skewless run digits` on an empty root, once for all tests."""
    root = tmp_path_factory.mktemp("root")
    return Digits(root, skewless("run", "digits", root=root, task="digits"))


@dataclass(frozen=True)
class Image:
    """An environment with Skewless installed from its wheel; the packages that it needs are linked, not copied."""

    folder: Path

    def call(self, *arguments: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
        """Calls `skewless` where no source tree is to be found."""
        command = [str(self.bin / "skewless"), *arguments]
        return subprocess.run(
            command, cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"

    @property
    def work(self) -> Path:
        """A working folder without the source tree."""
        return self.folder / "work"

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return {**clean, "PATH": f"{self.bin}{os.pathsep}{clean.get('PATH', '')}"}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made once, for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "work").exists():
            _install(folder)
            (folder / "work").mkdir()
    return Image(folder)


def _install(folder: Path) -> None:
    """As the Dockerfile does: a wheel, without the tree that it was made of."""
    source, python = folder / "source", folder / "venv" / "bin" / "python"
    for name in ("data", "serving", "components", "pipeline"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    quiet = ["--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *quiet, "--no-build-isolation", "-w", folder, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", *quiet, wheel], check=True)
    shutil.rmtree(source)
    # A path in a .pth file is searched, but the .pth files that lie there are not read: an editable installation of
    # the source tree among these packages stays unseen.
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
