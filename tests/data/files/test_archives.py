from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from data.files.archives import unpack

FILES = {"cats/1.jpg": np.random.default_rng(1).bytes(5000), "dogs/big/2.jpg": b"dog", "empty.txt": b""}


def make_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("cats/", b"")  # an entry for the folder, as zip tools write it
        for name, content in files.items():
            out.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w", link: str = "") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o000
            out.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            out.addfile(info)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "make",
    [make_zip, make_tar, lambda path: make_tar(path, mode="w:gz"), lambda path: make_tar(path, mode="w:bz2")],
    ids=["zip", "tar", "tar.gz", "tar.bz2"],
)
def test_all_of_it_comes_out(make: Callable[[Path], Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "archive")
    unpack(str(archive), str(tmp_path / "out"))
    assert contents(tmp_path / "out") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]
    assert all(os.access(path, os.R_OK) and path.stat().st_mode & 0o400 for path in (tmp_path / "out").rglob("*"))


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(str(make_zip(tmp_path / "archive")), str(tmp_path / "out"))
    assert contents(tmp_path / "out") == {}


def test_what_a_killed_call_left_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half.jpg").touch()
    unpack(str(make_tar(tmp_path / "archive")), str(tmp_path / "out"))
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../up.jpg", "/root.jpg", "cats/../../up.jpg", "..\\up.jpg", "C:/up.jpg"])
def test_nothing_leads_out_of_the_folder(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "archive", {name: b"x"})
    with pytest.raises(DataError, match="leads out of its folder"):
        unpack(str(archive), str(tmp_path / "in" / "out"))
    assert contents(tmp_path) == {"archive": archive.read_bytes()}
    assert list((tmp_path / "in").iterdir()) == []


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains 'link', which is neither a file nor a folder"):
        unpack(str(make_tar(tmp_path / "archive", link="/etc")), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "make", [make_zip, make_tar, lambda path: make_tar(path, mode="w:gz")], ids=["zip", "tar", "tar.gz"]
)
def test_half_an_archive_leaves_nothing(make: Callable[[Path], Path], tmp_path: Path) -> None:
    archive = make(tmp_path / "archive")
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot unpack .*archive: "):
        unpack(str(archive), str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_without_files(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="archive contains no file"):
        unpack(str(make(tmp_path / "archive", {})), str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_a_damaged_picture_in_a_zip_is_noticed(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "archive")
    damaged = bytearray(archive.read_bytes())
    damaged[1000] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match="cannot unpack"):
        unpack(str(archive), str(tmp_path / "out"))


def test_a_file_that_is_not_an_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot unpack .*none.zip: .*No such file"):
        unpack(str(tmp_path / "none.zip"), str(tmp_path / "out"))
