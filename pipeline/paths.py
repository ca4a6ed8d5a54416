"""Where a task's files lie below the root."""

from __future__ import annotations

import os
import posixpath
import tempfile
import unicodedata
from dataclasses import dataclass

from data.errors import UsageError
from data.files.remote import is_remote

_FOLDER = "skewless-root"
DEFAULT_ROOT = os.environ.get("SKEWLESS_ROOT") or _FOLDER
# Beam and TensorFlow look for files by patterns: such a root would find other folders, or nothing.
_PATTERN = "*?[\\"
_MAX_NAME = 63  # of a task, see `components.task.task`, which would load all of TensorFlow
_LONGEST = 503  # bytes of a file of sqlite, which ML Metadata opens, and of 511 with its journal's suffix


def absolute_path(path: str) -> str:
    """A local path made absolute, `~` the home folder; a URI as it is, without a slash at its end."""
    return path.rstrip("/") if is_remote(path) else os.path.abspath(os.path.expanduser(path))


def check_path(option: str, path: str) -> None:
    """Whether TFX can write the path into its records.

    Raises:
      UsageError: it is empty, holds a NUL, or is no UTF-8.
    """
    if not path.strip():
        raise UsageError(f"{option} is empty", hint=f"Name a folder: {option} DIR")
    if any(one == "\0" or unicodedata.category(one) == "Cs" for one in path):  # so Python reads bytes that are no UTF-8
        raise UsageError(f"{option} {path!r} is no path in UTF-8", hint="Rename the folder.")


def check_pattern(option: str, path: str) -> None:
    """Whether a folder to write to has a name that Beam and TensorFlow take as it is.

    Raises:
      UsageError: it holds a character of their patterns.
    """
    if not path.isprintable():
        raise UsageError(f"{option} {path!r} holds a line break or the like", hint="Give a folder without.")
    found = [one for one in _PATTERN if one in path]
    if found:
        raise UsageError(
            f"{option} {path} holds {found[0]}, which Beam and TensorFlow take for a pattern of several names",
            hint=f"Give a folder without {' '.join(_PATTERN)} in its name. A data folder (--data) may have them.",
        )


def check_root(root: str) -> None:
    """Whether a run can write below the root, as far as this machine knows; makes the folder of a local one.

    Raises:
      UsageError: see `check_path` and `check_pattern`; it is a file, cannot be written to, or is too long a path.
    """
    check_path("--root", root)
    check_pattern("--root", root)
    local = local_folder(absolute_path(root))
    metadata = Paths(local, _MAX_NAME * "x").metadata
    if len(os.fsencode(metadata)) > _LONGEST:
        raise UsageError(
            f"--root is a path of {len(os.fsencode(local))} bytes: sqlite, and with it ML Metadata, takes"
            f" {_LONGEST - len(os.fsencode(metadata)) + len(os.fsencode(local))} at most",
            hint="Give a shorter one with --root DIR.",
        )
    try:
        os.makedirs(local, exist_ok=True)
        with tempfile.TemporaryFile(dir=local) as file:
            file.write(b"0" * 4096)  # a full disk still makes empty files
    except OSError as error:
        raise UsageError(
            f"cannot write to --root {root}: {error.strerror}", hint="Give another folder with --root DIR."
        ) from None


def local_folder(root: str) -> str:
    """The root, or of a remote one the folder on this machine that stands for it: what must be local lies there."""
    if not is_remote(root):
        return root
    base = _FOLDER if is_remote(DEFAULT_ROOT) else DEFAULT_ROOT
    return posixpath.join(absolute_path(base), root.replace("://", "/"))


@dataclass(frozen=True)
class Paths:
    """The folders of one task.

        <root>/<task>/artifacts/    what the components made
                      metadata.db   ML Metadata
                      serving/<task>/<version>/   what is served
                      runs/<id>/    run.json of each run
                      run.json      of the latest run
                      data/         pictures that the task brought itself
        <root>/logs/                what TensorFlow, TFX and Beam printed

    The root may be remote, `gs://bucket/root`; then metadata.db, the lock of a run and logs/ lie on this machine, in
    `skewless-root/gs/bucket/root/` below the working folder.

    Attributes:
      root: of all tasks.
      task: its name.
    """

    root: str
    task: str

    @property
    def folder(self) -> str:
        """Of this task."""
        return posixpath.join(self.root, self.task)

    @property
    def artifacts(self) -> str:
        """TFX's pipeline root."""
        return posixpath.join(self.folder, "artifacts")

    @property
    def metadata(self) -> str:
        """The sqlite file of ML Metadata, on this machine."""
        return posixpath.join(self.local_folder, "metadata.db")

    @property
    def local_folder(self) -> str:
        """The task's folder on this machine."""
        return posixpath.join(local_folder(self.root), self.task)

    @property
    def serving(self) -> str:
        """The model's folder, as TF Serving's `--model_base_path`."""
        return posixpath.join(self.folder, "serving", self.task)

    @property
    def data(self) -> str:
        """Where a task that brings its own data puts them."""
        return posixpath.join(self.folder, "data")

    @property
    def latest(self) -> str:
        """The record of the latest run."""
        return posixpath.join(self.folder, "run.json")

    def run(self, run_id: str) -> str:
        """The folder of one run's record and log."""
        return posixpath.join(self.folder, "runs", run_id)
