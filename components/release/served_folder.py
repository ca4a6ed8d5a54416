"""The folder of versions that a model server watches."""

from __future__ import annotations

import posixpath

import tensorflow as tf
from tfx.utils import io_utils

from data.files.atomic import atomic_path
from data.files.copy_tree import copy_tree
from data.files.remote import is_remote

GRAPH = "saved_model.pb"
FINGERPRINT = "fingerprint.pb"  # TensorFlow's checksum of a SavedModel, copied with it


def push_model(model: str, base: str, now: float) -> tuple[str, int]:
    """Copy a SavedModel to `<base>/<version>`, atomically.

    On a disk, the version is copied to a temporary folder and renamed. Buckets cannot rename folders, so there
    `saved_model.pb` is copied last: servers do not load a version without it.

    Versions are seconds since 1970, as TFX's, but always above the last. A model that is the latest version already
    (a run was killed between the push and its record) is not pushed twice.

    Args:
      model: Folder of the SavedModel.
      base: Folder of the served model.
      now: Time in seconds since 1970.

    Returns:
      The version's folder and its number.
    """
    tf.io.gfile.makedirs(base)
    for leftover in _leftovers(base):
        tf.io.gfile.rmtree(posixpath.join(base, leftover))
    present = versions(base)
    if present and _same_model(posixpath.join(base, str(present[-1])), model):
        return posixpath.join(base, str(present[-1])), present[-1]
    version = max(int(now), *(number + 1 for number in present[-1:]), 1)
    aside, target = posixpath.join(base, f".pushing-{version}"), posixpath.join(base, str(version))
    if is_remote(base):
        copy_tree(model, target, last=GRAPH)
        return target, version
    with atomic_path(target, aside) as partial:
        io_utils.copy_dir(model, partial)
    return target, version


def versions(base: str) -> list[int]:
    """Return the numbers of the versions in a model's folder, ascending; none if there is no folder."""
    if not tf.io.gfile.isdir(base):
        return []
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(base))
    return sorted(int(name) for name in names if name.isdecimal())


def _leftovers(base: str) -> list[str]:
    """Return the folders that an interrupted push has left."""
    if is_remote(base):
        names = map(str, versions(base))
        return [name for name in names if not tf.io.gfile.exists(posixpath.join(base, name, GRAPH))]
    return [name for name in tf.io.gfile.listdir(base) if name.startswith(".pushing-")]


def _same_model(left: str, right: str) -> bool:
    paths = [posixpath.join(folder, FINGERPRINT) for folder in (left, right)]
    return all(map(tf.io.gfile.exists, paths)) and len({io_utils.read_bytes_file(path) for path in paths}) == 1
