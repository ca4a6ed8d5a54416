"""Where a task's files lie below the root."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass

from data.remote import is_remote

_FOLDER = "skewless-root"
DEFAULT_ROOT = os.environ.get("SKEWLESS_ROOT", _FOLDER)


def absolute(path: str) -> str:
    """A local path made absolute; a URI as it is, without a slash at its end."""
    return path.rstrip("/") if is_remote(path) else os.path.abspath(path)


def here(root: str) -> str:
    """The root, or of a remote one the folder on this machine that stands for it: what must be local lies there."""
    if not is_remote(root):
        return root
    base = _FOLDER if is_remote(DEFAULT_ROOT) else DEFAULT_ROOT
    return posixpath.join(os.path.abspath(base), root.replace("://", "/"))


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
        return posixpath.join(self.here, "metadata.db")

    @property
    def here(self) -> str:
        """The task's folder on this machine."""
        return posixpath.join(here(self.root), self.task)

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
