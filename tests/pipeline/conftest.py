"""Runs of the command line as a user's, the image of the Dockerfile, Chromium and axe-core for pages."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import PROJECT, dockerfile
from tests.pipeline.report.page.browser import Browser
from tests.pipeline.run_schema import faults
from tests.preloaded import Process

AXE = "SKEWLESS_AXE"
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
    """Calls `skewless` in a process of its own; with a prefix, which names a program, in one that imports all anew."""

    def call(
        *arguments: str,
        root: Path | None = None,
        task: str = "",
        cwd: Path = PROJECT,
        prefix: Sequence[str] = (),
    ) -> Outcome:
        arguments = (*arguments, *(["--root", str(root)] if root else []))
        if prefix:
            command = [*prefix, *COMMAND, *arguments]
            done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)
            status, out, err = done.returncode, done.stdout, done.stderr
        else:
            process = Process("pipeline.cli", *arguments, cwd=cwd, env=environment())
            out, err = process.communicate(timeout=300)
            status = process.wait()
        record = root / task / "run.json" if root and task else None
        found = json.loads(record.read_text()) if record and record.exists() else {}
        assert not found or faults(found) == []
        return Outcome(status, out, err, found)

    return call


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> dockerfile.Image:
    """What the Dockerfile builds, once for all processes of the tests: nothing of the source tree is in it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    built = folder / "image.pickle"
    with open(folder / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            built.write_bytes(pickle.dumps(dockerfile.build(PROJECT, folder / "image")))
        found: dockerfile.Image = pickle.loads(built.read_bytes())
    return found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; without it, the test is skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium in PATH: apt-get install chromium")
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, from the file that the environment names or from node_modules; otherwise a skip."""
    installed = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
    file = Path(os.environ.get(AXE, installed))
    if not file.is_file():
        pytest.skip(f"no axe-core at {file}: npm install --no-save axe-core, or set {AXE} to axe.min.js")
    return file.read_text()
