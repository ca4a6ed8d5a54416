"""The folders of a task below the root, and checks of paths that a user gives."""

from __future__ import annotations

import os
import posixpath
import tempfile
import unicodedata
from dataclasses import dataclass

from data.errors import UsageError
from data.files.missing import no_folder
from data.files.remote import is_remote

_FOLDER = "skewless-root"
DEFAULT_ROOT = os.environ.get("SKEWLESS_ROOT") or _FOLDER
# Beam and TensorFlow read paths as glob patterns: such a root would match other folders, or nothing.
_PATTERN = "*?[\\"
_MAX_NAME = 63  # of a task, as in `components.task.task`, which loads TensorFlow
_LONGEST = 503  # bytes of a SQLite file's path in ML Metadata; 511 with the suffix of its journal


def absolute_path(path: str) -> str:
    """Return a local path as an absolute one, with `~` expanded; a URI unchanged, without a slash at its end."""
    return path.rstrip("/") if is_remote(path) else os.path.abspath(os.path.expanduser(path))


def check_path(option: str, path: str) -> None:
    """Check that TFX can store a path.

    Args:
      option: The option that the user gave the path with, for the message.
      path: Local or remote.

    Raises:
      UsageError: If the path is empty, contains a NUL character, or is not valid UTF-8.
    """
    if not path.strip():
        raise UsageError(f"{option} is empty", hint=f"Name a folder: {option} DIR")
    if any(one == "\0" or unicodedata.category(one) == "Cs" for one in path):  # Cs: a byte that is not UTF-8
        raise UsageError(f"{option} {path!r} is not valid UTF-8", hint="Rename the folder.")


def check_data(data: str) -> None:
    """Check that a data folder on this machine exists; loads no TensorFlow.

    Raises:
      UsageError: If the path fails `check_path`.
      DataError: If there is no such folder.
    """
    check_path("--data", data)
    folder = os.path.realpath(absolute_path(data))
    if not is_remote(data) and not os.path.isdir(folder):
        raise no_folder(folder)


def check_pattern(option: str, path: str) -> None:
    """Check that Beam and TensorFlow do not read a folder to write to as a glob pattern.

    Args:
      option: The option that the user gave the path with, for the message.
      path: Local or remote.

    Raises:
      UsageError: If the path contains a glob character or a character that is not printable.
    """
    if not path.isprintable():
        raise UsageError(f"{option} {path!r} contains a character that is not printable", hint="Give another folder.")
    found = [one for one in _PATTERN if one in path]
    if found:
        raise UsageError(
            f"{option} {path} contains {found[0]}, which Beam and TensorFlow read as a glob pattern",
            hint=f"Give a folder without {' '.join(_PATTERN)} in its path. Only a data folder (--data) may have them.",
        )


def check_root(root: str) -> None:
    """Check that a run can write below the root, as far as this machine can tell; create a local root.

    Raises:
      UsageError: If the root is a file, cannot be written to, is too long, or fails `check_path` or `check_pattern`.
    """
    check_path("--root", root)
    check_pattern("--root", root)
    local = local_folder(absolute_path(root))
    metadata = Paths(local, _MAX_NAME * "x").metadata
    if len(os.fsencode(metadata)) > _LONGEST:
        raise UsageError(
            f"--root has {len(os.fsencode(local))} bytes: SQLite, which ML Metadata uses, allows at most"
            f" {_LONGEST - len(os.fsencode(metadata)) + len(os.fsencode(local))}",
            hint="Give a shorter path with --root DIR.",
        )
    try:
        os.makedirs(local, exist_ok=True)
        with tempfile.TemporaryFile(dir=local) as file:
            file.write(b"0" * 4096)  # on a full disk, empty files can still be created
    except OSError as error:
        reason = "it is a file" if os.path.isfile(local) else error.strerror
        raise UsageError(
            f"cannot write to --root {root}: {reason}", hint="Give another folder with --root DIR."
        ) from None


def local_folder(root: str) -> str:
    """Return the local folder of a root: the root itself, or for a remote root the folder for what must be local."""
    if not is_remote(root):
        return root
    base = _FOLDER if is_remote(DEFAULT_ROOT) else DEFAULT_ROOT
    return posixpath.join(absolute_path(base), root.replace("://", "/"))


@dataclass(frozen=True)
class Paths:
    """The folders of one task.

        <root>/<task>/artifacts/    outputs of the components
                      metadata.db   ML Metadata
                      serving/<task>/<version>/   the served versions
                      runs/<id>/    run.json of each run
                      run.json      of the latest run
                      data/         the task's own data
        <root>/logs/                output of TensorFlow, TFX and Beam

    The root may be remote, `gs://bucket/root`; then metadata.db, the lock of a run and logs/ are on this machine, in
    `skewless-root/gs/bucket/root/` below the working folder.

    Attributes:
      root: Folder of all tasks.
      task: Name of the task.
    """

    root: str
    task: str

    @property
    def folder(self) -> str:
        """The task's folder below the root."""
        return posixpath.join(self.root, self.task)

    @property
    def artifacts(self) -> str:
        """TFX's pipeline root."""
        return posixpath.join(self.folder, "artifacts")

    @property
    def metadata(self) -> str:
        """The SQLite file of ML Metadata, on this machine."""
        return posixpath.join(self.local_folder, "metadata.db")

    @property
    def local_folder(self) -> str:
        """The task's folder on this machine."""
        return posixpath.join(local_folder(self.root), self.task)

    @property
    def serving(self) -> str:
        """The folder of the served versions: TF Serving's `--model_base_path`."""
        return posixpath.join(self.folder, "serving", self.task)

    @property
    def data(self) -> str:
        """The folder of the task's own data."""
        return posixpath.join(self.folder, "data")

    @property
    def latest(self) -> str:
        """The record of the latest run."""
        return posixpath.join(self.folder, "run.json")

    def run(self, run_id: str) -> str:
        """Return the folder of one run's record."""
        return posixpath.join(self.folder, "runs", run_id)
