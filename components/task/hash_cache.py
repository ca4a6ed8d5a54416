"""A hash of source files, computed again only when a file has changed: reading all of Skewless takes a second."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from data.files.atomic import atomic_path


def cache_folder() -> Path:
    """Return the folder in the user's home for what can be computed again at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "skewless")


def cached_hash(files: Iterable[Path], compute: Callable[[], str]) -> str:
    """Return a hash of files; compute it only if a file's name, size or times differ from the last call's.

    The time of the last change of a file's entry counts, too: no tool can set it, so that copies with the time of
    their origin are seen. Where the folder cannot be written to, the hash is computed each time.

    Args:
      files: What the hash depends on.
      compute: Returns the hash.
    """
    state: list[tuple[str, int, int, int]] = [(str(file), *_state(file)) for file in files]
    folders = sorted({os.path.dirname(name) for name, *_ in state})  # of this installation
    kept = cache_folder() / f"sources-{_digest(folders)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(kept.read_text())
        if found["state"] == _digest(state):
            return str(found["hash"])
    computed = compute()
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(str(kept), f"{kept}.{os.getpid()}") as partial:
            Path(partial).write_text(json.dumps({"state": _digest(state), "hash": computed}))
    return computed


def _state(file: Path) -> tuple[int, int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
