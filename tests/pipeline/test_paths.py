from __future__ import annotations

import os
from pathlib import Path

import pytest
from ml_metadata import metadata_store

from data.errors import UsageError
from pipeline.metadata_store import check_metadata_store, connection_config
from pipeline.paths import Paths, absolute_path, check_path, check_root


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("", "--root is empty"),
        (" \t", "--root is empty"),
        ("{tmp}/out [1]", "{tmp}/out [1] contains [, which Beam and TensorFlow read as a glob pattern"),
        ("{tmp}/a*", "contains *, which"),
        ("{tmp}/a?", "contains ?, which"),
        ("{tmp}/a\\b", "contains \\, which"),
        ("gs://bucket/[1]", "gs://bucket/[1] contains [, which"),
        ("{tmp}/a\nb", "contains a character that is not printable"),
        ("{tmp}/a\0b", "is not valid UTF-8"),
        ("{tmp}/caf\udce9", "is not valid UTF-8"),
        ("{tmp}/file", "cannot write to --root {tmp}/file: it is a file"),
        ("{tmp}/file/below", "cannot write to --root {tmp}/file/below: Not a directory"),
        ("/proc/nothing", "cannot write to --root /proc/nothing: No such file or directory"),
        ("{tmp}/" + 256 * "x", "File name too long"),
        ("{tmp}" + 5 * ("/" + 99 * "x"), "SQLite, which ML Metadata uses, allows at most"),
    ],
)
def test_a_root_that_cannot_be_used_is_rejected_in_one_line(root: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        check_root(root.replace("{tmp}", str(tmp_path)))
    assert words.replace("{tmp}", str(tmp_path)) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.hint and os.listdir(tmp_path) == ["file"]


def test_a_root_with_another_unusual_name_is_created(tmp_path: Path) -> None:
    for name in ("a b", "{SPAN}", "#%41", "\u82b1", "a]", "'\"$;&"):
        check_root(str(tmp_path / name))
        assert os.listdir(tmp_path / name) == []


def test_the_longest_root_is_one_that_sqlite_opens(tmp_path: Path) -> None:
    """ML Metadata writes with the longest path that `check_root` allows: the limit is not above the true one."""
    room = 503 - len(os.fsencode(Paths(str(tmp_path), 63 * "x").metadata))
    root = str(tmp_path)
    while room:
        part = room if room <= 200 else 100  # a name has 255 bytes at most
        root, room = f"{root}/{'a' * (part - 1)}", room - part
    check_root(root)
    config = connection_config(Paths(root, 63 * "x"), None)
    check_metadata_store(config)
    assert metadata_store.MetadataStore(config).get_artifacts() == []
    with pytest.raises(UsageError, match="SQLite"):
        check_root(f"{root}b")


def test_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute_path("~/root") == "/home/me/root" and absolute_path("gs://bucket/~/") == "gs://bucket/~"


def test_a_data_folder_may_have_any_name_that_can_be_written_down() -> None:
    for name in ("a [1]", "*", "a\nb", "gs://bucket/{SPAN}"):
        check_path("--data", name)


@pytest.mark.parametrize("given", ["", "{tmp}", "{tmp}/text", "/proc/nothing/file"])
def test_metadata_that_cannot_be_kept_there(given: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no sqlite " * 1000)
    with pytest.raises(UsageError, match="--metadata is empty|cannot keep ML Metadata in ") as caught:
        check_metadata_store(connection_config(Paths(str(tmp_path), "t"), given.replace("{tmp}", str(tmp_path))))
    assert "\n" not in str(caught.value) and "CREATE TABLE" not in str(caught.value)
