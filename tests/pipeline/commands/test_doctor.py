from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import apache_beam
import pytest
from rich.console import Console

from pipeline.commands import doctor

Version = namedtuple("Version", "major minor micro")
Usage = namedtuple("Usage", "total used free")
GB = 10**9


def _examine(root: Path, checks: tuple[Callable[..., object], ...] = doctor.CHECKS) -> tuple[bool, list[str]]:
    console = Console(file=io.StringIO(), width=300, highlight=False)
    with mock.patch.object(doctor, "CHECKS", checks):
        fine = doctor.examine_machine(str(root), console)
    return fine, console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_this_machine_is_fit(tmp_path: Path) -> None:
    fine, lines = _examine(tmp_path / "not" / "there" / "yet")
    assert fine, lines
    assert all(line.startswith("ok  ") for line in lines)
    said = "\n".join(lines)
    assert f"Python {sys.version.split()[0]}" in said and "Beam's local runner runs" in said
    assert {name for name in doctor.pins() if f"{name} {importlib.metadata.version(name)}" not in said} == set()
    free, memory = (float(re.search(rf"(\d+) GB {what}", said)[1]) for what in ("free", "of memory"))  # type: ignore[index]
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free / GB, abs=1)
    kernel = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024  # type: ignore[index]
    assert 0 < memory <= kernel / GB + 1
    assert not (tmp_path / "not").exists()


def _assert_bad(root: Path, check: Callable[..., object], what: str, mend: str) -> None:
    """One finding is bad, and says what it is and, on the next line, what to do."""
    fine, lines = _examine(root, (check,))
    assert not fine
    (index,) = [number for number, line in enumerate(lines) if line.startswith("bad ")]
    assert what in lines[index] and lines[index + 1].startswith("    -> ") and mend in lines[index + 1]


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0), (2, 10, 0)])
def test_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]) -> None:
    monkeypatch.setattr(sys, "version_info", Version(*version))
    _assert_bad(tmp_path, doctor.check_python, f"Python {'.'.join(map(str, version))}", "make install")


@pytest.mark.parametrize("found", ["5.29.0", None])
def test_another_version_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name != "protobuf":
            return real(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    _assert_bad(
        tmp_path,
        doctor.check_packages,
        f"protobuf {found or 'not installed'}",
        f"Skewless needs {doctor.pins()['protobuf']}",
    )


def test_a_beam_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no runner [here]")

    monkeypatch.setattr(apache_beam, "Pipeline", broken)
    _assert_bad(tmp_path, doctor.check_beam, "Beam's local runner: no runner [here]", "make install")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(folder: Path) -> Usage:
        asked.append(Path(folder))
        return Usage(100 * GB, 96 * GB, 4 * GB)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    _assert_bad(tmp_path / "later", doctor.check_disk, "4 GB free for", "Free 5 GB, or use --root DIR")
    assert asked == [tmp_path]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and real(path, mode))
    _assert_bad(tmp_path, doctor.check_disk, f"{tmp_path} is not writable", "--root DIR")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts other texts in the place of the kernel's files; None: there is no such file."""

    def pretend(available_kb: int, limit: str | None = None, used: int = 0) -> None:
        texts = {
            "/proc/meminfo": f"MemTotal:  99999999 kB\nMemFree: 1 kB\nMemAvailable:  {available_kb} kB\n",
            "/sys/fs/cgroup/memory.max": limit,
            "/sys/fs/cgroup/memory.current": str(used),
        }
        real_read, real_exists = Path.read_text, Path.exists
        monkeypatch.setattr(Path, "exists", lambda p: texts[str(p)] is not None if str(p) in texts else real_exists(p))
        monkeypatch.setattr(
            Path, "read_text", lambda p, *a, **k: texts[str(p)] if str(p) in texts else real_read(p, *a, **k)
        )

    return pretend


@pytest.mark.parametrize(
    ("available_kb", "limit", "used", "gb"),
    [
        (2_000_000, None, 0, "2"),
        (20_000_000, f"{4 * GB}\n", 1 * GB, "3"),  # a container's limit is less than the machine has
        (2_000_000, "max\n", 0, "2"),
        (2_000_000, f"{64 * GB}\n", 0, "2"),
    ],
)
def test_too_little_memory(
    tmp_path: Path, machine: Callable[..., None], available_kb: int, limit: str | None, used: int, gb: str
) -> None:
    machine(available_kb, limit, used)
    _assert_bad(tmp_path, doctor.check_memory, f"{gb} GB of memory available", "give the container 4 GB")


@pytest.mark.parametrize("limit", [None, "max\n", f"{8 * GB}\n"])
def test_enough_memory(tmp_path: Path, machine: Callable[..., None], limit: str | None) -> None:
    machine(20_000_000, limit, 1 * GB)
    fine, lines = _examine(tmp_path, (doctor.check_memory,))
    assert fine and lines == [f"ok  {'7' if limit and limit[0] == '8' else '20'} GB of memory available"]
