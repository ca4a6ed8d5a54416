"""The records of a task's runs as files: which there are, and which one a user means.

Loads TensorFlow for remote roots only: listing runs takes a moment, importing TensorFlow many.
"""

from __future__ import annotations

import datetime
import difflib
import fcntl
import functools
import json
import os
import posixpath
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from data.errors import UsageError, describe_error
from data.files.remote import is_remote
from data.names import printable
from pipeline.next_steps import root_words, skewless_command
from pipeline.paths import Paths

RECORD, PAGE = "run.json", "report.html"  # in the folder of a run
LOCK = ".lock"  # in the task's local folder; a run holds it
PREVIOUS = "previous"
SCHEMA = 1
"""Version of the keys in a record. Raise it if a key changes its meaning or disappears, not if one is added."""

_LISTED = 5  # runs that an error names
_READERS = 16  # files of a bucket that are read at the same time


@dataclass(frozen=True)
class RunFile:
    """The record of a run as it is stored; one that cannot be read is there, too.

    Attributes:
      run_id: Name of the run: of its folder.
      path: Of the record.
      found: Its JSON object; empty if it cannot be read.
      problem: Why it cannot be read; "" if it can.
    """

    run_id: str
    path: str
    found: dict[str, Any]
    problem: str = ""

    @functools.cached_property
    def started(self) -> datetime.datetime | None:
        """When the run began, with a time zone; None if neither its record nor its name has a time."""
        try:
            return datetime.datetime.fromisoformat(str(self.found.get("started", ""))).astimezone()
        except ValueError:
            pass
        try:
            return datetime.datetime.strptime(self.run_id[:15], "%Y%m%d-%H%M%S").astimezone()
        except ValueError:
            return None

    @property
    def order(self) -> tuple[float, str]:
        """A sort key, which rises with the time."""
        return (self.started.timestamp() if self.started else 0.0, self.run_id)


def list_runs(paths: Paths) -> list[RunFile]:
    """Return the runs of a task that have a record, the newest first.

    Raises:
      UsageError: If there are none, or if the folder cannot be read.
    """
    names = run_names(paths)
    read = functools.partial(_read_run, paths)
    if is_remote(paths.root):
        with ThreadPoolExecutor(_READERS) as readers:
            found = list(readers.map(read, names))
    else:
        found = [read(name) for name in names]
    return sorted((one for one in found if one), key=lambda one: one.order, reverse=True) or _no_runs(paths)


def run_names(paths: Paths) -> list[str]:
    """Return the names of the folders of runs, sorted; those of tunings and proofs are among them.

    Raises:
      UsageError: If there are none, or if the folder cannot be read.
    """
    folder = posixpath.dirname(paths.run("x"))
    try:
        return sorted(_names(folder)) or _no_runs(paths)
    except OSError as error:
        raise UsageError(
            f"cannot read {printable(folder)}: {describe_error(error)}", hint="May this user read it?"
        ) from None


def find_run(paths: Paths, name: str = "", after: str = "") -> str:
    """Return the path of the record that a user means.

    Args:
      paths: Of the task.
      name: Of the run: an id, the beginning of one, `previous`, the path of a record or of its folder; "" for the
        latest run.
      after: Path of a record: `previous` is the run before this one; "" for the latest.

    Raises:
      UsageError: If there is no such run, or if several begin with the name.
    """
    if not name:
        return paths.latest if _exists(paths.latest) else list_runs(paths)[0].path
    if name == PREVIOUS:
        return _previous(paths, after or find_run(paths))
    if "/" in name or name.endswith(".json"):
        return _named_file(name)
    names = run_names(paths)
    runs = [name] if name in names else [one for one in names if one.startswith(name)]
    runs = [one for one in runs if _exists(posixpath.join(paths.run(one), RECORD))]
    if len(runs) > 1:
        listed = ", ".join(runs[-_LISTED:])
        raise UsageError(f"{len(runs)} runs begin with '{name}'", hint=f"Give more of the name: {listed}")
    if not runs:
        raise _unknown_run(paths, name, names)
    return posixpath.join(paths.run(runs[0]), RECORD)


def read_run(path: str) -> RunFile:
    """Read a record; one that cannot be read has a `problem`.

    Args:
      path: Of the record; its folder has the name of the run.
    """
    name = posixpath.basename(posixpath.dirname(path))
    try:
        found = json.loads(_text(path))
        schema = int(found.get("schema", SCHEMA))
    except (AttributeError, TypeError, ValueError):
        return RunFile(name, path, {}, "it is no record of a run")
    except OSError as error:
        return RunFile(name, path, {}, describe_error(error))
    if schema > SCHEMA:
        return RunFile(name, path, {}, f"a newer Skewless wrote it (schema {schema}; this one reads {SCHEMA})")
    return RunFile(name, path, found)


def is_active(paths: Paths) -> bool:
    """Return whether a run or tuning of the task holds its lock on this machine; the lock ends with the process."""
    try:
        with open(os.path.join(paths.local_folder, LOCK)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no run yet on this machine
        return False
    return False


def _previous(paths: Paths, after: str) -> str:
    runs = list_runs(paths)
    shown = read_run(after)
    name = str(shown.found.get("run_id", shown.run_id))  # the latest record is not in the folder of its run
    before = [one for one in runs if one.order < (shown.order[0], name)]
    if not before:
        raise UsageError(f"there is no run of '{paths.task}' before {name}", hint=f"Runs: {_newest(runs)}")
    return before[0].path


def _named_file(name: str) -> str:
    path = name if name.endswith(".json") else posixpath.join(name, RECORD)
    path = path if is_remote(path) else os.path.abspath(os.path.expanduser(path))
    if not _exists(path):
        raise UsageError(f"no file {printable(path)}", hint=f"Give the path of a {RECORD}, or the id of a run.")
    return path


def _unknown_run(paths: Paths, name: str, names: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    try:
        hint = f"Runs: {_newest(list_runs(paths))}"
    except UsageError as error:
        return error
    return UsageError(f"no run '{printable(name)}' of '{paths.task}'.{guess}", hint=hint)


def _newest(runs: list[RunFile]) -> str:
    more = len(runs) - _LISTED
    return ", ".join(one.run_id for one in runs[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _no_runs(paths: Paths) -> Any:
    first = skewless_command("run", paths.task, *root_words(paths.root))
    raise UsageError(f"no run of '{paths.task}' in {paths.folder}", hint=f"First: {first}")


def _read_run(paths: Paths, name: str) -> RunFile | None:
    """Return the run of a folder; None if it has no record: a tuning, or a proof of a run that was removed."""
    path = posixpath.join(paths.run(name), RECORD)
    return read_run(path) if _exists(path) else None


# TensorFlow's errors become those of the system, so that callers need not load it.


def _names(folder: str) -> list[str]:
    if not is_remote(folder):
        return os.listdir(folder) if os.path.isdir(folder) else []
    import tensorflow as tf

    try:
        return [one.rstrip("/") for one in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
    except tf.errors.OpError as error:
        raise OSError(describe_error(error)) from None


def _exists(path: str) -> bool:
    if not is_remote(path):
        return os.path.exists(path)
    import tensorflow as tf

    return bool(tf.io.gfile.exists(path))


def _text(path: str) -> str:
    if not is_remote(path):
        with open(path, encoding="utf-8") as local:
            return local.read()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path) as file:
            return str(file.read())
    except tf.errors.OpError as error:
        raise OSError(describe_error(error)) from None
