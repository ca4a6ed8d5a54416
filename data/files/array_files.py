"""Arrays on disk: `.npy`, members of `.npz`, and IDX files, memory-mapped, never loaded as a whole.

A file that cannot be mapped (compressed, or on a remote file system) is first copied, piece by piece, to a temporary
folder that is deleted when this process ends.
"""

from __future__ import annotations

import atexit
import functools
import gzip
import hashlib
import math
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import DataError, first_line
from data.files.atomic import atomic_path
from data.files.remote import is_remote
from data.names import printable

_BROKEN = (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, tf.errors.OpError)
_MEMBER = re.compile(r"(.+\.npz)!(.+)", re.IGNORECASE | re.DOTALL)
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def open_array(path: str) -> NDArray[Any]:
    """Memory-map `<file>.npy`, `<file>.npz!<member>`, or an IDX file (`.gz` or not).

    Raises:
      DataError: If there is no such file or member, it is cut off, or not an array.
    """
    is_member = _MEMBER.fullmatch(path)
    file = is_member[1] if is_member else path
    try:
        if is_member:
            return _map_npy(_unpacked(file, is_member[2]))
        if file.lower().endswith(".npy"):
            return _map_npy(_local(file))
        return _map_idx(_unpacked(file, "") if file.endswith(".gz") else _local(file), file)
    except _BROKEN as error:
        if "Object arrays" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{printable(path)} contains Python objects, not text or numbers",
                hint="pandas' .values gives text as objects. Save str or int: numpy.save(file, values.astype(str)).",
            ) from None
        raise DataError(
            f"cannot read the array {printable(path)}: {first_line(error)}",
            hint="Is the file complete? Fetch it again.",
        ) from error


def member_names(archive: str) -> list[str]:
    """Return the names of the arrays in an `.npz`; empty if it cannot be read: `open_array` then raises the error."""
    try:
        with zipfile.ZipFile(_local(archive)) as found:
            return _arrays_in(found)
    except _BROKEN:
        return []


def _arrays_in(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _map_npy(local: Path) -> NDArray[Any]:
    mapped: NDArray[Any] = np.load(local, mmap_mode="r", allow_pickle=False)
    return mapped


def _map_idx(local: Path, name: str) -> NDArray[Any]:
    """Map an IDX file: two zero bytes, a type, the number of dimensions, their sizes (big-endian), the values."""
    with local.open("rb") as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
            raise DataError(
                f"{printable(name)} is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}",
                hint="Fetch the file again.",
            )
        shape = tuple(int.from_bytes(file.read(4), "big") for _ in range(magic[3]))
    dtype = np.dtype(_IDX_DTYPES[magic[2]])
    offset = 4 + 4 * len(shape)
    expected, actual = offset + math.prod(shape) * dtype.itemsize, local.stat().st_size
    if actual < expected:
        raise DataError(f"{name} is cut off: {actual} bytes of {expected}", hint="Fetch it again.")
    return np.memmap(local, dtype, "r", offset, shape)


@functools.cache
def _scratch() -> Path:
    """Return a temporary folder that is deleted when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="skewless-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _cached(file: str, member: str) -> Path:
    """Return the path of the copy of this version of the file."""
    stat = tf.io.gfile.stat(file)
    key = hashlib.sha256(f"{file}!{member}:{stat.length}:{stat.mtime_nsec}".encode()).hexdigest()[:24]
    return _scratch() / key


def _local(file: str) -> Path:
    """Return the path of the file if it is local, otherwise of a copy."""
    if not is_remote(file):
        return Path(file)
    target = _cached(file, "")
    if not target.exists():
        with _aside(target) as partial:
            tf.io.gfile.copy(file, partial)
    return target


def _aside(target: Path) -> AbstractContextManager[str]:
    """Return the partial path of `target` for this thread: several threads may copy the same file."""
    return atomic_path(str(target), f"{target}.{threading.get_ident()}.partial")


def _unpacked(file: str, member: str) -> Path:
    """Return the path of an unpacked member of an .npz, or of the content of a .gz if `member` is empty."""
    target = _cached(file, f"unpacked {member}")
    if target.exists():
        return target
    if not member:
        with _aside(target) as partial, gzip.open(_local(file), "rb") as packed, open(partial, "wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
        return target
    with zipfile.ZipFile(_local(file)) as archive:
        names = _arrays_in(archive)
        if member not in names:
            raise DataError(f"no array '{member}' in {file}", hint=f"It contains: {', '.join(names)}.")
        with _aside(target) as partial, archive.open(f"{member}.npy") as packed, open(partial, "wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    return target
