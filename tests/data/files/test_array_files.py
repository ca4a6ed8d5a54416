"""Arrays on disk, compared with numpy's own files and with IDX files written byte by byte."""

from __future__ import annotations

import gzip
import os
import struct
import threading
import zipfile

import numpy as np
import pytest

from data.errors import DataError
from data.files.array_files import open_array

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 2), np.uint8)


def idx(array: np.ndarray, code: int) -> bytes:
    """The format as yann.lecun.com/exdb/mnist described it."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, code, array.ndim)) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("array", [PIXELS, np.array(["cat", "dog"]), np.eye(3), np.asfortranarray(np.eye(3)[:, :2])])
def test_npy_is_mapped_not_loaded(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    opened = open_array(f"{tmp_path}/x.npy")
    assert isinstance(opened, np.memmap) and not opened.flags.writeable
    np.testing.assert_array_equal(opened, array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_members_of_npz(save, tmp_path):
    save(tmp_path / "d.npz", x_train=PIXELS, y_train=np.arange(7))
    opened = open_array(f"{tmp_path}/d.npz!x_train")
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, PIXELS)
    np.testing.assert_array_equal(open_array(f"{tmp_path}/d.npz!y_train"), np.arange(7))


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "d.npz"
    for time, values in enumerate(([1, 2], [3, 4], [5, 6, 7])):  # the second as long as the first
        np.savez(path, x=values)
        os.utime(path, (time, time))
        assert open_array(f"{path}!x").tolist() == values


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_of_every_type(zipped, code, dtype, tmp_path):
    array = (PIXELS.astype(int) - 128).astype(dtype)
    path = tmp_path / ("x-idx3.gz" if zipped else "x-idx3")
    path.write_bytes(gzip.compress(idx(array, code)) if zipped else idx(array, code))
    opened = open_array(str(path))
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, array)


def test_an_idx_written_by_hand(tmp_path):
    (tmp_path / "labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4]))
    assert open_array(f"{tmp_path}/labels").tolist() == [9, 0, 4]


def test_an_exclamation_mark_in_the_path(tmp_path):
    folder = tmp_path / "wow!"
    folder.mkdir()
    np.save(folder / "x.npy", PIXELS)
    np.savez(folder / "d.npz", **{"a!b": PIXELS})
    np.testing.assert_array_equal(open_array(f"{folder}/x.npy"), PIXELS)
    np.testing.assert_array_equal(open_array(f"{folder}/d.npz!a!b"), PIXELS)


def refused(path, content: bytes | None, saying: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=saying) as raised:
        open_array(str(path))
    assert path.name in str(raised.value)


def test_idx_that_is_cut_off(tmp_path):
    whole = idx(PIXELS, 8)
    assert len(whole) == 4 + 3 * 4 + 42
    refused(tmp_path / "x", whole[:-1], "is cut off: 57 bytes of 58")
    refused(tmp_path / "y", whole[:9], "is cut off")
    refused(tmp_path / "x.gz", gzip.compress(whole)[:-9], "cannot read")
    refused(tmp_path / "z.gz", gzip.compress(whole[:-1]), "is cut off: 57 bytes of 58")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\x89PNG", b"\0\0\x07\x01\0\0\0\0", b"\1\0\x08\x01\0\0\0\0"])
def test_wrong_magic(content, tmp_path):
    refused(tmp_path / "x", content, "is not an IDX file")
    refused(tmp_path / "x.gz", gzip.compress(content), "is not an IDX file")


def test_what_is_called_gz_and_is_not(tmp_path):
    refused(tmp_path / "x.gz", idx(PIXELS, 8), "cannot read")


def test_npy_that_is_cut_off_absent_or_pickled(tmp_path):
    np.save(tmp_path / "whole.npy", PIXELS)
    refused(tmp_path / "cut.npy", (tmp_path / "whole.npy").read_bytes()[:-1], "cannot read")
    refused(tmp_path / "text.npy", b"text", "cannot read")
    refused(tmp_path / "absent.npy", None, "cannot read")
    refused(tmp_path / "absent.gz", None, "cannot read")
    np.save(tmp_path / "objects.npy", np.array([{}, []], object))
    refused(tmp_path / "objects.npy", None, "contains Python objects, not text or numbers")


def test_npz_that_is_broken_or_lacks_the_member(tmp_path):
    np.savez(tmp_path / "d.npz", a=PIXELS, b=PIXELS)
    with pytest.raises(DataError, match="no array 'x' in .*d.npz") as raised:
        open_array(f"{tmp_path}/d.npz!x")
    assert raised.value.hint == "It contains: a, b."
    whole = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[whole.index(PIXELS.tobytes())] ^= 1
    (tmp_path / "flipped.npz").write_bytes(flipped)
    with zipfile.ZipFile(tmp_path / "strange.npz", "w") as archive:
        archive.writestr("a", b"not an array")
    for name in ("cut", "flipped", "strange", "absent"):
        with pytest.raises(DataError, match=f"{name}.npz"):
            open_array(f"{tmp_path}/{name}.npz!a")


def test_many_threads_unpack_the_same_file(tmp_path):
    array = np.random.default_rng(1).integers(0, 256, (3_000, 28, 28), np.uint8)
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(array, 8), 1))
    start, faults = threading.Barrier(6), []

    def work() -> None:
        start.wait()
        try:
            np.testing.assert_array_equal(open_array(f"{tmp_path}/x.gz"), array)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
