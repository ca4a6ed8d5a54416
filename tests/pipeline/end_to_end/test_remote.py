"""A run whose data and root are not on a disk: TensorFlow's in-memory `ram://`, which cannot rename folders.

TensorFlow and, through it, TFX know the scheme; Beam is told of it here. Nothing but `tf.io.gfile` and Beam can reach
what lies there, as with a bucket.
"""

from __future__ import annotations

import io
import posixpath
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from apache_beam.io import filesystem
from tensorflow.python.lib.io import file_io

from components.release import served_folder
from data.errors import UsageError
from data.files.atomic import write_aside
from data.files.copy_tree import copy_tree
from pipeline import paths
from pipeline.commands import demo
from pipeline.commands.skew import prove_task
from pipeline.paths import Paths
from pipeline.runners.local import storage
from serving.client import Client
from serving.engines import free_port
from serving.parity import live_server
from tests.pipeline.simulator_in_process import TINY, attempt


class _Uploaded(io.BytesIO):
    """A file that is there once it is closed; Beam asks for the position, which TensorFlow does not know in memory."""

    mode = "wb"

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            with tf.io.gfile.GFile(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()


class RamFileSystem(filesystem.FileSystem):
    """Beam's access to it, through `tf.io.gfile`; Beam finds its file systems among the subclasses."""

    @classmethod
    def scheme(cls) -> str:
        return "ram"

    def join(self, basepath: str, *paths: str) -> str:
        return posixpath.join(basepath, *paths)

    def split(self, path: str) -> tuple[str, str]:
        return posixpath.split(path)

    def mkdirs(self, path: str) -> None:
        tf.io.gfile.makedirs(path)

    def has_dirs(self) -> bool:
        return True

    def _list(self, dir_or_prefix: str) -> Iterator[filesystem.FileMetadata]:
        for folder, _, names in tf.io.gfile.walk(posixpath.dirname(dir_or_prefix)):
            for path in (posixpath.join(folder, name) for name in names):
                if path.startswith(dir_or_prefix):
                    yield self.metadata(path)

    def create(self, path: str, mime_type: str = "", compression_type: str = "auto") -> Any:
        return self._file(path, "wb", compression_type)

    def open(self, path: str, mime_type: str = "", compression_type: str = "auto") -> Any:
        return self._file(path, "rb", compression_type)

    def _file(self, path: str, mode: str, compression_type: str) -> Any:
        kind = self._get_compression_type(path, compression_type)
        file = _Uploaded(path) if mode == "wb" else tf.io.gfile.GFile(path, mode)
        return file if kind == filesystem.CompressionTypes.UNCOMPRESSED else filesystem.CompressedFile(file, kind)

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            copy_tree(source, target) if tf.io.gfile.isdir(source) else tf.io.gfile.copy(source, target, True)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path: str) -> bool:
        return bool(tf.io.gfile.exists(path))

    def size(self, path: str) -> int:
        return int(tf.io.gfile.stat(path).length)

    def last_updated(self, path: str) -> float:
        return 0.0

    def checksum(self, path: str) -> str:
        return str(self.size(path))

    def metadata(self, path: str) -> filesystem.FileMetadata:
        return filesystem.FileMetadata(path, self.size(path), 0.0)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            tf.io.gfile.rmtree(path) if tf.io.gfile.isdir(path) else tf.io.gfile.remove(path)


@pytest.fixture(scope="module", autouse=True)
def lists_what_is_there() -> Iterator[None]:
    """TensorFlow's RamFileSystem lists `assets.extra` as a file `.extra` of its neighbour `assets`."""
    stock = file_io.list_directory_v2

    def listed(path: str) -> list[str]:
        return [name for name in stock(path) if "://" not in path or tf.io.gfile.exists(posixpath.join(path, name))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_io, "list_directory_v2", listed)
        yield


ROOT, SERVING = "ram://bucket/root", "ram://bucket/root/tiny/serving/tiny"
PLOTS = {"history", "classes", "confusion", "calibration", "model"}


def _is_whole(version: str) -> bool:
    return bool(tf.io.gfile.exists(f"{SERVING}/{version}/saved_model.pb"))


@pytest.mark.slow
def test_a_run_that_finds_no_disk(
    tmp_path: Path,
    picture_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pictures = picture_folder(tmp_path / "pictures", {"cats": 40, "dogs": 40})
    copy_tree(str(pictures), "ram://bucket/data")
    shutil.rmtree(pictures)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(paths, "DEFAULT_ROOT", "ram://elsewhere")

    small = {"gate__sample": "16", "gate__pictures": "0"}
    first = attempt("ram://bucket/data/", ROOT, **small)
    assert first.error is None and first.record["status"] == "pushed" and first.record["skew"]["passed"]
    assert first.record["data_folder"] == "ram://bucket/data"
    (version,) = tf.io.gfile.listdir(SERVING)
    assert _is_whole(version) and first.record["pushed"]["path"] == f"{SERVING}/{version}"
    assert {Path(one).stem for one in first.record["plots"]} == PLOTS
    assert all(map(tf.io.gfile.exists, first.record["plots"]))

    second = attempt("ram://bucket/data", ROOT, train__epochs="2", **small)  # it meets the baseline
    assert second.error is None and second.states["ExampleGen"] == second.states["Transform"] == "cached"
    assert second.states["Trainer"] == "executed" and second.record["evaluation"]["baseline"] is not None
    assert len(tf.io.gfile.listdir(SERVING)) == 2 and all(map(_is_whole, tf.io.gfile.listdir(SERVING)))
    with capfd.disabled():
        prove_task(TINY, Paths(ROOT, "tiny"), {})
    assert len(demo.held_out(second.record["data"]["folder"], 5)) == 5

    on_disk = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    here = "work/skewless-root/ram/bucket/root"
    assert on_disk == {f"{here}/log", f"{here}/tiny/.lock", f"{here}/tiny/metadata.db"}

    flags = ["--model_name=tiny", f"--model_base_path={SERVING}", f"--port={(port := free_port())}"]
    with live_server._thread(flags, str(tmp_path)), Client(f"127.0.0.1:{port}", "tiny") as client:
        client.wait_until_available(30)
        contents = tf.io.gfile.GFile("ram://bucket/data/cats/0000.jpg", "rb").read()
        assert client.predict_images([contents])[0].label in ("cats", "dogs")


def test_a_tasks_own_data_come_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEFAULT_ROOT", str(tmp_path))
    place, fetched = Paths("ram://own/root", "tiny"), []

    def fetch(folder: str) -> None:
        fetched.append(folder)
        (Path(folder) / "cats").mkdir()
        for name in ("1.png", "2.png"):
            (Path(folder) / "cats" / name).write_text(name)

    def breaks_off(source: str, target: str) -> None:
        tf.io.gfile.makedirs(f"{target}/cats")
        raise OSError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "copy_tree", breaks_off)
        with pytest.raises(OSError, match="no network"):
            storage.fetch_own_data(place, fetch)
    for _ in range(2):
        assert storage.fetch_own_data(place, fetch) == "ram://own/root/tiny/data"
    assert len(fetched) == 1
    found = [(folder, sorted(names)) for folder, _, names in tf.io.gfile.walk("ram://own/root/tiny/data")]
    assert found == [("ram://own/root/tiny/data", []), ("ram://own/root/tiny/data/cats", ["1.png", "2.png"])]


def test_a_root_and_data_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEFAULT_ROOT", str(tmp_path))
    with pytest.raises(
        UsageError, match="^cannot write to s4://bucket/root: File system scheme 's4' not impl"
    ) as caught:
        storage.check_remote_root(Paths("s4://bucket/root", "tiny"))
    assert "\n" not in str(caught.value) and "gs://" in caught.value.hint
    storage.check_remote_root(Paths("ram://bucket/other", "tiny"))
    assert tf.io.gfile.listdir("ram://bucket/other/tiny") == []
    error = attempt("s4://bucket/data", tmp_path / "root").error
    assert str(error).startswith("cannot read s4://bucket/data: File system scheme 's4' not implemented")
    error = attempt("ram://nothing", tmp_path / "root").error
    assert str(error) == "no data folder at ram://nothing"


def test_half_a_version_in_a_bucket_is_no_version() -> None:
    """The graph is written last; the next push removes what an interrupted one has left."""
    base, model, copied = "ram://push/serving", "ram://push/model", []
    for name in ("saved_model.pb", "fingerprint.pb", "variables/variables.index"):
        write_aside(f"{model}/{name}", name)
    stock = tf.io.gfile.copy

    def breaks_off(source: str, target: str, overwrite: bool = False) -> None:
        if target.endswith("saved_model.pb"):
            raise OSError("no network")
        copied.append(target)
        stock(source, target, overwrite)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.io.gfile, "copy", breaks_off)
        with pytest.raises(OSError, match="no network"):
            served_folder.push_model(model, base, now=7)
    assert sorted(copied) == [f"{base}/7/fingerprint.pb", f"{base}/7/variables/variables.index"]
    assert served_folder.push_model(model, base, now=8) == (f"{base}/8", 8)
    assert tf.io.gfile.listdir(base) == ["8"] and tf.io.gfile.exists(f"{base}/8/saved_model.pb")
    assert served_folder.push_model(model, base, now=9) == (f"{base}/8", 8)
