"""A fingerprint of all files below a folder: their paths, sizes and times, in any order of listing."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import tensorflow as tf

from data.files.known import listed_pages
from data.files.listing import FOLDER, scan, walk
from data.files.remote import is_remote
from data.names import to_bytes

_REQUESTS = 32  # at a time, to a remote file system that lists only names


class FileFacts(NamedTuple):
    """A file.

    Attributes:
      path: below the folder.
      size: in bytes; -1 if it cannot be found out, as of a link to nowhere.
      modified: time of the last change since 1970: local in nanoseconds, in a bucket in microseconds, elsewhere as
        TensorFlow has it.
    """

    path: str
    size: int
    modified: int


def folder_fingerprint(folder: str) -> str:
    """Return the number of files below a folder, and the sum of the hashes of their paths, sizes and times.

    Args:
      folder: local or remote; hidden files and folders count, too.

    Raises:
      DataError: If a folder cannot be read.
    """
    total = count = 0
    for path, size, modified in _all_files(folder):
        text = to_bytes(f"{path} {size} {modified}")
        total += int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
        count += size >= 0
    return f"files:{count},sum:{total % (1 << 128):032x}"


def _all_files(folder: str) -> Iterator[FileFacts]:
    if not is_remote(folder):
        return _local_files(folder, "")
    pages = listed_pages(folder)
    if pages is None:
        return _remote_files(folder)
    return (FileFacts(posixpath.join(page.folder, name), *facts) for page in pages for name, *facts in page.files)


def _local_files(folder: str, below: str) -> Iterator[FileFacts]:
    above = posixpath.join(below, "")
    for entry, kind in scan(posixpath.join(folder, below)):
        path = f"{above}{entry.name}"
        if kind == FOLDER:
            yield from _local_files(folder, path)
            continue
        try:
            found = entry.stat()  # TensorFlow's truncates the time to whole seconds
            yield FileFacts(path, found.st_size, found.st_mtime_ns)
        except OSError:  # a link to nowhere
            yield FileFacts(path, -1, 0)


def _remote_files(folder: str) -> Iterator[FileFacts]:
    def look(path: str) -> FileFacts:
        try:
            found = tf.io.gfile.stat(posixpath.join(folder, path))
            return FileFacts(path, found.length, found.mtime_nsec)
        except tf.errors.OpError:
            return FileFacts(path, -1, 0)

    with ThreadPoolExecutor(_REQUESTS) as pool:
        paths = (entry.path for entry in walk(folder))
        while some := list(itertools.islice(paths, 1024)):
            yield from pool.map(look, some)
