"""Files and folders that appear only when they are complete, on a disk and on TensorFlow's in-memory file system."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from data.files.atomic import atomic_path, write_aside


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"ram://{tmp_path}"


def read(path):
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("content, expected", [("Zürich\r\n", "Zürich\r\n".encode()), (b"\x00\xff\r", b"\x00\xff\r")])
def test_a_file_and_its_folder_are_written(folder, content, expected):
    path = f"{folder}/below/new/file"
    write_aside(path, content)
    assert read(path) == expected
    assert tf.io.gfile.listdir(f"{folder}/below/new") == ["file"]


def test_a_file_is_replaced(folder):
    path = f"{folder}/file"
    write_aside(path, "a long old text")
    write_aside(path, "new")
    assert read(path) == b"new"


def test_a_failed_block_leaves_the_old_file_and_no_partial_one(folder):
    path = f"{folder}/file"
    write_aside(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as partial:
        write_aside(partial, "half")
        raise KeyboardInterrupt
    assert read(path) == b"old"
    assert tf.io.gfile.listdir(folder) == ["file"]


def test_a_relative_name_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_aside("file", "text")
    assert os.listdir() == ["file"]


def test_a_folder_appears_with_all_its_files(tmp_path):
    target = tmp_path / "folder"
    left = tmp_path / "folder.partial"
    left.mkdir()
    (left / "of a killed process").touch()
    with atomic_path(str(target)) as partial:
        os.mkdir(partial)
        (left / "a").touch()
        assert not target.exists()
    assert os.listdir(target) == ["a"]
    assert not left.exists()


def test_a_failed_block_removes_its_folder(tmp_path):
    with pytest.raises(ValueError), atomic_path(str(tmp_path / "folder")) as partial:
        os.mkdir(partial)
        raise ValueError
    assert not os.listdir(tmp_path)


def test_kept_content_is_resumed(tmp_path):
    target = str(tmp_path / "file")
    with pytest.raises(ValueError), atomic_path(target, keep=True) as partial:
        write_aside(partial, "first ")
        raise ValueError
    with atomic_path(target, keep=True) as partial, open(partial, "a") as file:
        file.write("second")
    assert read(target) == b"first second"
    assert os.listdir(tmp_path) == ["file"]


def test_the_partial_path_can_be_chosen(tmp_path):
    with atomic_path(str(tmp_path / "2"), str(tmp_path / ".pushing-2")) as partial:
        write_aside(partial, "text")
        assert os.listdir(tmp_path) == [".pushing-2"]
    assert os.listdir(tmp_path) == ["2"]


def test_a_failed_rename_removes_the_partial_file(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_aside(str(tmp_path / "taken"), "text")
    assert os.listdir(tmp_path) == ["taken"]


def test_local_files_need_no_tensorflow(tmp_path):
    code = "import sys; from data.files.atomic import write_aside; write_aside(sys.argv[1], 'text')"
    code += "; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")]).returncode == 0
