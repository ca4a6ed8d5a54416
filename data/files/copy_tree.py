"""Copies of folders, file by file, local or remote: a bucket cannot rename a folder."""

from __future__ import annotations

import posixpath
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

_AT_ONCE = 16  # copying a small file is mostly waiting for the bucket: some tenths of a second


def copy_tree(source: str, target: str, last: str = "") -> None:
    """Copy all files below `source` to the same paths below `target`.

    Args:
      source: a folder.
      target: a folder; files of the same name are replaced.
      last: path below `source` of the file to copy after all others: a reader that finds it finds everything.
    """
    source = source.rstrip("/")
    found = [posixpath.join(folder, name) for folder, _, names in tf.io.gfile.walk(source) for name in names]
    below = sorted(path[len(source) + 1 :] for path in found)
    for folder in sorted({posixpath.dirname(name) for name in below}):
        tf.io.gfile.makedirs(posixpath.join(target, folder))

    def copy(name: str) -> None:
        tf.io.gfile.copy(posixpath.join(source, name), posixpath.join(target, name), overwrite=True)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(copy, (name for name in below if name != last)))
    if last in below:
        copy(last)
