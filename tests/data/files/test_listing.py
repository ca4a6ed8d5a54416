"""Unexpected entries of a folder: names of any bytes, circular links and pipes; and how sources handle them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import DataError
from data.files.listing import Entry, entries, walk
from data.names import printable
from data.records import Rejected
from data.sources import ImageFolder
from data.spec import Classes, Image


def test_entries_of_every_kind(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "to_folder").symlink_to("folder")
    found = {entry.path: entry.kind for entry in entries(str(tmp_path))}
    assert found == {
        "folder": "folder",
        "file": "file",
        "pipe": "pipe",
        "socket": "socket",
        "nowhere": "link to nowhere",
        "round": "link to a folder above it",
        "zero": "device",
        "to_folder": "folder",
    }


def test_links_to_folders_above_are_not_followed(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    (tmp_path / "a/b/self").symlink_to(".")
    (tmp_path / "a/b/up").symlink_to("../..")
    (tmp_path / "beside").symlink_to("a/b")
    assert list(walk(str(tmp_path), "a")) == [
        Entry("a/b/file", "file"),
        Entry("a/b/self", "link to a folder above it"),
        Entry("a/b/up", "link to a folder above it"),
    ]
    assert Entry("beside/file", "file") in list(walk(str(tmp_path)))


def test_names_that_are_not_utf8(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).touch()
    (entry,) = entries(str(tmp_path))
    assert os.fsencode(entry.path) == b"caf\xe9.txt" and (tmp_path / entry.path).exists()
    assert printable(entry.path) == "caf\\xe9.txt" and printable("café 猫") == "café 猫"


def test_a_folder_that_may_not_be_read(tmp_path):
    """As another user: root may read everything."""
    if os.getuid():
        pytest.skip("needs root, to become another user")
    (tmp_path / "closed").mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    code = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "from data.files.listing import entries; from data.errors import DataError\n"
        "os.setuid(65534)\n"
        f"try: entries({str(tmp_path / 'closed')!r})\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "cannot read the folder" in done.stdout and "Permission denied" in done.stdout, done.stderr


def test_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for name in ("gone", "file"):
        with pytest.raises(DataError, match=f"no data folder at .*/{name}"):
            entries(str(tmp_path / name))


def test_a_folder_of_pictures_with_all_of_it(picture_folder, read_all, tmp_path):
    picture_folder(tmp_path, {"cats": 4, "dogs": 4})
    os.mkfifo(tmp_path / "cats/pipe.jpg")
    os.mkfifo(tmp_path / "cats/pipe")
    (tmp_path / "cats/self").symlink_to(".")
    (tmp_path / "dogs/zero.png").symlink_to("/dev/zero")
    (tmp_path / "birds").symlink_to("/not/mounted/birds")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/cats/notes-caf\xe9.txt")).touch()
    (tmp_path / os.fsdecode(b"dogs/caf\xe9.jpg")).write_bytes((tmp_path / "cats/0000.jpg").read_bytes())
    found = read_all(ImageFolder(), tmp_path, Image(8, 8), Classes())
    rejected = {one.source: one.reason for one in found[""] if isinstance(one, Rejected)}
    assert rejected == {"cats/pipe.jpg": "unreadable", "dogs/zero.png": "unreadable"}
    assert len(found[""]) == 4 + 4 + 1 + 2
    assert found["plan"].not_pictures == {
        "pipe": 1,
        "link to a folder above it": 1,
        "birds (link to nowhere)": 1,
        ".txt": 1,
    }


def test_a_class_whose_name_is_not_utf8(picture_folder, tmp_path):
    picture_folder(tmp_path, {"cats": 1, os.fsdecode(b"caf\xe9"): 1})
    with pytest.raises(DataError, match=r"'caf\\xe9' in .* cannot be a class: its name is not UTF-8"):
        ImageFolder().plan(str(tmp_path), Image(8, 8))


def test_many_names_do_not_flood(picture_folder, tmp_path):
    picture_folder(tmp_path, {"cats": 1, "dogs": 1})
    for number in range(300):
        (tmp_path / f"cats/picture{number}").touch()
        (tmp_path / f"cats/picture.{number:03d}").touch()
    assert ImageFolder().plan(str(tmp_path), Image(8, 8)).not_pictures == {"without a suffix": 600}
