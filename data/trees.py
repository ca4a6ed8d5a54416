"""Folders copied file by file, local or remote: a bucket renames no folder."""

from __future__ import annotations

import posixpath

import tensorflow as tf


def copy_tree(source: str, target: str, last: str = "") -> None:
    """Copies all files below `source` to the same paths below `target`.

    Args:
      source, target: folders; files of the same name are replaced.
      last: the file, by its path below `source`, that is copied after all others: who finds it finds everything.
    """
    source = source.rstrip("/")
    files = [posixpath.join(folder, name) for folder, _, names in tf.io.gfile.walk(source) for name in names]
    for path in sorted(files, key=lambda path: (path == posixpath.join(source, last), path)):
        copy = posixpath.join(target, path[len(source) + 1 :])
        tf.io.gfile.makedirs(posixpath.dirname(copy))
        tf.io.gfile.copy(path, copy, overwrite=True)
