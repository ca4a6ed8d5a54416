"""Resolve the paths of a table: relative to the table, to the data folder, or absolute; with or without suffix."""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from data.files.remote import is_remote
from data.images.formats import SUFFIXES, UNSUPPORTED, suffix
from data.names import to_bytes

_COMMON = (".jpg", ".jpeg", ".png")
_TRIED = (*_COMMON, *(one.upper() for one in _COMMON), *sorted(SUFFIXES - set(_COMMON)))


# Most paths are normal already, and `normpath` is slow.
_PLAIN = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*").fullmatch


class InvalidPath(ValueError):
    """A value that cannot be a path; the message says why."""


@dataclass(frozen=True)
class PathResolver:
    """Finds the files that the paths of a table name.

    Attributes:
      folder: the data folder, local or remote.
      images: the folder below it that paths are relative to; "": that of the table, then the data folder.
      suffix: what is added to a path; "": nothing if the path ends in the suffix of a picture; otherwise the first
        suffix with which there is a file.
    """

    folder: str
    images: str
    suffix: str

    def normalize(self, value: Any) -> str:
        """Return a value of the path's column as a path: absolute, a URI, or relative, with "/" and without "./".

        Raises:
          InvalidPath: If the value is not the path of a file.
        """
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        if value is None or value == "" or (isinstance(value, float) and value != value):
            raise InvalidPath("empty")
        path = str(value).strip()
        if not path or "\0" in path or "\n" in path or not _is_encodable(path):
            raise InvalidPath(f"{path[:60]!r} is not a path" if path else "empty")
        if is_remote(path) or _PLAIN(path):
            return path
        path = posixpath.normpath(path.replace("\\", "/"))
        if path in (".", ".."):
            raise InvalidPath(f"'{path}' is a folder")
        return path

    def key(self, path: str, table: str) -> str:
        """Return a text that is the same for rows of one picture, if they write its path in the same way.

        It is the path below the data folder if the picture is there, and where the paths of the table begin.

        Args:
          path: from `normalize`.
          table: path of the table below the data folder.
        """
        if self.suffix:
            path = next(self._names(path, False))
        if is_remote(path) or path.startswith("/"):
            return path.removeprefix(f"{self.folder}/")
        base = self.bases(table)[0]
        return posixpath.normpath(posixpath.join(base, path)) if base else path

    def candidates(self, path: str, table: str, *, try_suffixes: bool = True) -> list[str]:
        """Return the files that a path may name, in the order of preference.

        Args:
          path: from `normalize`.
          table: path of the table below the data folder.
          try_suffixes: whether to add suffixes to a path that has none.

        Returns:
          Paths below the data folder, absolute paths or URIs.
        """
        names = list(self._names(path, try_suffixes))
        if is_remote(path) or path.startswith("/"):
            return [name.removeprefix(f"{self.folder}/") for name in names]
        return [posixpath.normpath(posixpath.join(base, name)) for base in self.bases(table) for name in names]

    @functools.lru_cache(maxsize=16)  # noqa: B019 a resolver is small, and as long-lived as a plan
    def bases(self, table: str) -> list[str]:
        """Return the folders below the data folder that the paths of a table may be relative to."""
        return [self.images] if self.images else list(dict.fromkeys((posixpath.dirname(table), "")))

    def _names(self, path: str, try_suffixes: bool) -> Iterator[str]:
        if self.suffix:
            yield path if path.lower().endswith(self.suffix.lower()) else path + self.suffix
            return
        yield path
        if try_suffixes and not has_suffix(path):
            yield from (path + one for one in _TRIED)

    def locate(self, path: str, table: str) -> str:
        """Return the file that a path names, or the first candidate if there is none.

        If there is only one candidate, it is returned even if it does not exist.
        """
        found = self.candidates(path, table)
        if len(found) == 1:
            return found[0]
        return next((one for one in found if self.exists(one)), found[0])

    def full(self, file: str) -> str:
        """Return the path to open a file with."""
        return file if is_remote(file) else posixpath.join(self.folder, file)

    def exists(self, file: str) -> bool:
        """Return whether there is such a file, or anything else of this name."""
        full = self.full(file)
        if not is_remote(full):
            return os.path.lexists(full)
        try:
            return bool(tf.io.gfile.exists(full))
        except tf.errors.OpError:  # reading it gives the reason
            return True


def has_suffix(path: str) -> bool:
    """Return whether a path ends in the suffix of a picture, decoded or not."""
    return suffix(path) in SUFFIXES | UNSUPPORTED


def _is_encodable(path: str) -> bool:
    try:
        to_bytes(path)
    except UnicodeEncodeError:  # a half of a surrogate pair, as JSON may have it
        return False
    return True
