"""What lies in a folder, local or remote: names in any bytes, links in circles or to nowhere, pipes and devices."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from data.errors import DataError
from data.files.remote import is_remote
from data.names import printable

FOLDER, FILE = "folder", "file"
NOWHERE, CIRCLE, UNREADABLE = "link to nowhere", "link to a folder above it", "unreadable"
_SPECIAL = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """A name below a folder.

    Attributes:
      path: below the folder listed, with "/" between its parts. Bytes that are not UTF-8 are kept as `os.fsdecode`
        keeps them (surrogates), so that the file can be opened by this name; `printable` makes it fit for a terminal.
      kind: `FOLDER`, `FILE`, or what else it is: "link to nowhere", "link to a folder above it", "pipe", "socket",
        "device", "unreadable".
    """

    path: str
    kind: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)


def is_visible(name: str) -> bool:
    """Whether a file or folder is neither hidden nor what macOS adds to archives."""
    return not name.startswith((".", "__MACOSX"))


def entries(folder: str, is_file: Callable[[str], bool] = lambda name: False) -> list[Entry]:
    """The files and folders directly in `folder`, sorted by name.

    A link to a folder above itself does not count as a folder: its kind is "link to a folder above it".

    Args:
      folder: local or remote.
      is_file: names that are files in any case; on a remote file system this saves one request for each.

    Raises:
      DataError: it does not exist, is not a folder, or cannot be read.
    """
    if is_remote(folder):
        return _remote_entries(folder, is_file)
    try:
        with os.scandir(folder) as found:
            listed = list(found)
        above = _and_above(folder) if any(one.is_symlink() for one in listed) else frozenset()
        return sorted(Entry(one.name, _kind(one, above)) for one in listed)
    except (FileNotFoundError, NotADirectoryError):
        raise no_folder(folder) from None
    except OSError as error:
        raise DataError(
            f"cannot read the folder {printable(folder)}: {error.strerror}", hint="May this user read it?"
        ) from None


def no_folder(folder: str) -> DataError:
    """The error for a data folder that does not exist."""
    return DataError(
        f"no data folder at {printable(folder)}", hint="Give the folder that holds the data with --data DIR."
    )


def _remote_entries(folder: str, is_file: Callable[[str], bool]) -> list[Entry]:
    if not tf.io.gfile.isdir(folder):
        raise no_folder(folder)
    found = []
    for name in sorted({name.rstrip("/") for name in tf.io.gfile.listdir(folder)}):
        is_folder = not is_file(name) and tf.io.gfile.isdir(posixpath.join(folder, name))
        found.append(Entry(name, FOLDER if is_folder else FILE))
    return found


def _kind(entry: os.DirEntry[str], above: frozenset[tuple[int, int]]) -> str:
    """What an entry is, links followed."""
    try:
        if entry.is_dir():
            return CIRCLE if entry.is_symlink() and _identity(entry) in above else FOLDER
        if entry.is_file():
            return FILE
        return _SPECIAL.get(stat.S_IFMT(entry.stat().st_mode), UNREADABLE)
    except FileNotFoundError:
        return NOWHERE
    except OSError as error:
        return CIRCLE if error.errno == errno.ELOOP else UNREADABLE


def walk(
    root: str,
    below: str = "",
    enter: Callable[[str], bool] = lambda name: True,
    is_file: Callable[[str], bool] = lambda name: False,
) -> Iterator[Entry]:
    """Everything below `root/below` that is no folder, and the folders that are not entered.

    Args:
      root: local or remote.
      below: a folder below it; the paths of the entries begin with it.
      enter: whether to look into a folder of this name.
      is_file: as in `entries`.

    Raises:
      DataError: a folder cannot be read.
    """
    for name, kind in entries(posixpath.join(root, below), is_file):
        path = posixpath.join(below, name)
        if kind == FOLDER and enter(name):
            yield from walk(root, path, enter, is_file)
        else:
            yield Entry(path, kind)


def _and_above(folder: str) -> frozenset[tuple[int, int]]:
    """A local folder and those above it: by its path, and by where the links in its path lead."""
    here, found = Path(folder).absolute(), set()
    for one in (here, *here.parents, *here.resolve().parents):
        with contextlib.suppress(OSError):  # a folder on the way may be closed to this user
            found.add(_identity(one))
    return frozenset(found)


def _identity(folder: Path | os.DirEntry[str]) -> tuple[int, int]:
    """What two paths of the same local folder have in common: device and inode."""
    found = folder.stat()
    return found.st_dev, found.st_ino
