"""The hash of sources, kept by the files' names, sizes and times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.task.hash_cache import cache_folder, cached_hash


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    found = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in found:
        file.write_text("x = 1")
    return found


def _content(files: list[Path]) -> str:
    return " ".join(file.read_text() for file in files)


def test_is_computed_once(files: list[Path]) -> None:
    first = cached_hash(files, lambda: _content(files))
    assert first == "x = 1 x = 1"
    assert cached_hash(files, lambda: pytest.fail("computed again")) == first
    assert len(list(cache_folder().iterdir())) == 1  # no partial files


def test_same_size_and_time_of_an_older_file(files: list[Path]) -> None:
    """`rsync --times` or an archive replaces a file by one of the same size, and sets its time back."""
    cached_hash(files, lambda: _content(files))
    before = files[0].stat()
    files[0].write_text("x = 2")
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files[0].stat().st_mtime_ns == before.st_mtime_ns
    assert cached_hash(files, lambda: _content(files)) == "x = 2 x = 1"


def test_a_file_more(files: list[Path], tmp_path: Path) -> None:
    cached_hash(files, lambda: _content(files))
    (tmp_path / "c.py").write_text("y")
    more = [*files, tmp_path / "c.py"]
    assert cached_hash(more, lambda: _content(more)) == "x = 1 x = 1 y"


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"state": 1}', "\udcff"])
def test_broken_file(files: list[Path], kept: str) -> None:
    cached_hash(files, lambda: "first")
    (file,) = cache_folder().iterdir()
    file.write_bytes(kept.encode(errors="surrogateescape"))
    assert cached_hash(files, lambda: "second") == "second"
    assert cached_hash(files, lambda: "third") == "second"


def test_folder_that_cannot_be_written_to(files: list[Path]) -> None:
    cache_folder().parent.write_text("a file in the way")
    assert cached_hash(files, lambda: "first") == "first"
    assert cached_hash(files, lambda: "second") == "second"
