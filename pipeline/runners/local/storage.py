"""A root in a bucket: whether it can be written to, and a task's own data brought there."""

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
    """Writes and removes a small file where the root is remote, so that a run need not find out at its end.

    Raises:
      UsageError: no right to write there, no such bucket, or a scheme that TensorFlow does not know.
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
    """Whether it is a folder, local or remote.

    Raises:
      UsageError: it is out of reach.
    """
    if tf.io.gfile.isdir(folder):
        return True
    try:
        tf.io.gfile.stat(folder)  # which tells, where `isdir` says no to whatever is wrong
    except tf.errors.NotFoundError:
        return False
    except tf.errors.OpError as error:
        raise UsageError(f"cannot read {folder}: {first_line(error)}", hint=_hint(error)) from None
    return False


def fetch_own_data(paths: Paths, fetch: Callable[[str], None]) -> str:
    """The folder of the data that a task brings itself, made on first use; in a remote root, through this machine."""
    local = posixpath.join(paths.local_folder, "data")
    if not os.path.isdir(local):
        with atomic_path(local, keep=True) as partial:  # kept: a download resumes where the last call stopped
            os.makedirs(partial, exist_ok=True)
            fetch(partial)
    if not is_remote(paths.root):
        return os.path.realpath(local)
    whole = f"{paths.data}.whole"  # a file beside the folder: within it, it would be one of the data
    if not tf.io.gfile.exists(whole):
        copy_tree(local, paths.data)
        write_aside(whole, "")
    return paths.data


def _hint(error: Exception) -> str:
    if isinstance(error, tf.errors.UnimplementedError):
        return "TensorFlow itself knows local paths and gs://; mount any other bucket as a folder."
    return "Is the name right, and may this machine's credentials use it?"
