"""Access to local and remote storage: a check of the root, and the copy of a task's own data in it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable

import tensorflow as tf

from data.errors import UsageError, first_line
from data.files.atomic import atomic_path, write_aside
from data.files.copy_tree import copy_tree
from data.files.remote import is_remote
from pipeline.paths import Paths


def check_remote_root(paths: Paths) -> None:
    """Check that a remote root can be written to, by writing and removing a small file.

    Otherwise a run would find that out only at its end.

    Raises:
      UsageError: If the credentials may not write, the bucket does not exist, or TensorFlow does not know the scheme.
    """
    if not is_remote(paths.root):
        return
    probe = posixpath.join(paths.folder, ".writable")
    try:
        write_aside(probe, "")
        tf.io.gfile.remove(probe)
    except (tf.errors.OpError, OSError) as error:
        raise UsageError(f"cannot write to {paths.root}: {first_line(error)}", hint=_hint(error)) from None


def is_folder(folder: str) -> bool:
    """Return whether a path is a folder, local or remote.

    Raises:
      UsageError: If it cannot be accessed.
    """
    if tf.io.gfile.isdir(folder):
        return True
    try:
        tf.io.gfile.stat(folder)  # raises the reason; `isdir` returns False for every failure
    except tf.errors.NotFoundError:
        return False
    except tf.errors.OpError as error:
        raise UsageError(f"cannot read {folder}: {first_line(error)}", hint=_hint(error)) from None
    return False


def fetch_own_data(paths: Paths, fetch: Callable[[str], None]) -> str:
    """Return the folder of a task's own data; fetch them on first use.

    For a remote root they are fetched to this machine and copied from here.

    Args:
      paths: The task's folders.
      fetch: Writes the data into an empty local folder. After an interrupted call it gets the partial folder, and can
        continue a download.
    """
    local = posixpath.join(paths.local_folder, "data")
    if not os.path.isdir(local):
        with atomic_path(local, keep=True) as partial:  # kept: a download resumes where the last call stopped
            os.makedirs(partial, exist_ok=True)
            fetch(partial)
    if not is_remote(paths.root):
        return os.path.realpath(local)
    whole = f"{paths.data}.whole"  # next to the folder: a file inside it would be read as data
    if not tf.io.gfile.exists(whole):
        copy_tree(local, paths.data)
        write_aside(whole, "")
    return paths.data


def _hint(error: Exception) -> str:
    if isinstance(error, tf.errors.UnimplementedError):
        return "TensorFlow reads local paths and gs:// only; mount another bucket as a folder."
    return "Check the name, and whether this machine's credentials have access."
