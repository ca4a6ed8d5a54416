"""The entries of a folder, local or remote: names of any bytes, circular and broken links, pipes and devices."""

from __future__ import annotations

import contextlib
import errno
import itertools
import operator
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import tensorflow as tf

from data.errors import DataError, describe_error
from data.files.missing import no_folder
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
_SORTED = 1 << 16  # entries of a folder that are in memory at once


class Entry(NamedTuple):
    """An entry of a folder.

    Attributes:
      path: below the listed folder, with "/" between its parts. Bytes that are not UTF-8 are surrogates, as with
        `os.fsdecode`, so that this name opens the file; print it with `data.names.printable`.
      kind: `FOLDER`, `FILE`, "link to nowhere", "link to a folder above it", "pipe", "socket", "device" or
        "unreadable".
    """

    path: str
    kind: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)


def is_visible(name: str) -> bool:
    """Return whether a file or folder is neither hidden nor added to an archive by macOS."""
    return not name.startswith((".", "__MACOSX"))


def entries(folder: str, is_file: Callable[[str], bool] = lambda name: False) -> list[Entry]:
    """Return the files and folders directly in `folder`, sorted by name.

    A link to a folder above itself has the kind "link to a folder above it" instead of `FOLDER`.

    Args:
      folder: local or remote.
      is_file: whether a name is certainly that of a file; this saves one request for each on a remote file system.

    Raises:
      DataError: If the folder does not exist, is not a folder, or cannot be read.
    """
    return sorted(each_entry(folder, is_file))


def each_entry(folder: str, is_file: Callable[[str], bool] = lambda name: False) -> Iterator[Entry]:
    """Yield what `entries` returns; of a folder with more than 65,536 entries, each so many are sorted by themselves.

    So the memory does not grow with the folder.
    """
    if is_remote(folder):
        return _remote_entries(folder, is_file)
    return (Entry(one.name, kind) for one, kind in scan(folder))


def scan(folder: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield the entries of a local folder with the kind of each, in the order of `each_entry`.

    Raises:
      DataError: If the folder does not exist, is not a folder, or cannot be read.
    """
    above: frozenset[tuple[int, int]] | None = None
    try:
        with os.scandir(folder) as found:
            while listed := list(itertools.islice(found, _SORTED)):
                if above is None and any(one.is_symlink() for one in listed):
                    above = _and_above(folder)
                for one in sorted(listed, key=operator.attrgetter("name")):
                    yield one, _kind(one, above or frozenset())
    except (FileNotFoundError, NotADirectoryError):
        raise no_folder(folder) from None
    except OSError as error:
        raise DataError(
            f"cannot read the folder {printable(folder)}: {describe_error(error)}", hint="May this user read it?"
        ) from None


class _Listing(Protocol):
    def entries(self, folder: str) -> Iterator[Entry]: ...


KNOWN: dict[str, _Listing] = {}
"""Remote folders with a listing of everything below them, which is used instead of requests."""


def _remote_entries(folder: str, is_file: Callable[[str], bool]) -> Iterator[Entry]:
    for root, listing in KNOWN.items():
        if f"{folder.rstrip('/')}/".startswith(f"{root}/"):
            yield from listing.entries(folder)
            return
    if not tf.io.gfile.isdir(folder):
        raise no_folder(folder)
    for name in sorted({name.rstrip("/") for name in tf.io.gfile.listdir(folder)}):
        is_folder = not is_file(name) and tf.io.gfile.isdir(posixpath.join(folder, name))
        yield Entry(name, FOLDER if is_folder else FILE)


def _kind(entry: os.DirEntry[str], above: frozenset[tuple[int, int]]) -> str:
    """Return the kind of an entry; links are followed."""
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
    """Yield all entries below `root/below` that are not folders, and the folders that are not entered.

    Args:
      root: local or remote.
      below: a folder below it; the paths of the entries begin with it.
      enter: whether to list a folder of this name.
      is_file: see `entries`.

    Raises:
      DataError: If a folder cannot be read.
    """
    above = posixpath.join(below, "")  # joined once: there may be many files
    for name, kind in each_entry(posixpath.join(root, below), is_file):
        path = f"{above}{name}"
        if kind == FOLDER and enter(name):
            yield from walk(root, path, enter, is_file)
        else:
            yield Entry(path, kind)


def _and_above(folder: str) -> frozenset[tuple[int, int]]:
    """Return a local folder and those above it, by its path and by its path with all links resolved."""
    here, found = Path(folder).absolute(), set()
    for one in (here, *here.parents, *here.resolve().parents):
        with contextlib.suppress(OSError):  # this user may not be allowed to read a folder above
            found.add(_identity(one))
    return frozenset(found)


def _identity(folder: Path | os.DirEntry[str]) -> tuple[int, int]:
    """Return device and inode, which two paths of the same local folder have in common."""
    found = folder.stat()
    return found.st_dev, found.st_ino
