"""The data folder of a run: which one it is, and what can be seen to be wrong with it before anything runs."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from components.prepare.example_validator import check_split
from components.task.task import Task
from data.errors import UsageError
from data.files.missing import no_folder
from data.files.remote import is_remote
from pipeline.paths import Paths, absolute_path, check_path, local_folder
from pipeline.runners.local import storage


def resolve_data_folder(task: Task, data: str | None, paths: Paths) -> str:
    """Return the data folder: the given one, else the one that the task names, else the task's own data.

    A task's own data are fetched on first use.

    Args:
      task: The task.
      data: The given folder, local or remote; may be None.
      paths: The task's folders.

    Raises:
      UsageError: If no folder is given, and the task has no data.
      DataError: If the folder does not exist.
    """
    data = task.data or None if data is None else data
    if data is not None:
        check_path("--data", data)
        folder = data.rstrip("/") if is_remote(data) else os.path.realpath(absolute_path(data))
        if not storage.is_folder(folder):
            raise no_folder(folder)
        return folder
    if task.fetch is None:
        raise UsageError(f"task '{task.name}' has no data of its own", hint="Give its folder with --data DIR.")
    return storage.fetch_own_data(paths, task.fetch)


def check_data_folder(task: Task, folder: str, paths: Paths) -> None:
    """Check the names in the data folder for faults that would otherwise stop a run only after its training.

    Args:
      task: The task.
      folder: The data folder.
      paths: The task's folders.

    Raises:
      UsageError: If a run would write into the data folder, or if the data lack the split to evaluate on.
    """
    path, pattern, _ = task.source.folder.partition("{")
    read = posixpath.join(folder, path.rpartition("/")[0] if pattern else path).rstrip("/")
    for written in (paths.folder, posixpath.join(local_folder(paths.root), "logs")):
        if _is_within(written, read):
            raise UsageError(
                f"--root {paths.root} is inside the data folder {read}: a run would write among its own data",
                hint="Give another folder with --root DIR, and remove the one inside the data folder.",
            )
    for written in (paths.artifacts, paths.serving, paths.run("")):
        if _is_within(read, written):
            raise UsageError(
                f"the data folder {read} is a folder that runs of '{task.name}' write to",
                hint="Give the data with --data DIR, or another folder for the output of runs with --root DIR.",
            )
    if not pattern and storage.is_folder(read):  # the folder of a span is known to ExampleGen's driver only
        check_split(task.evaluate.split, task.source.split_names(read))


def _is_within(path: str, folder: str) -> bool:
    if is_remote(path) or is_remote(folder):
        return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return Path(path).resolve().is_relative_to(Path(folder).resolve())
