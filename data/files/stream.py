"""List the files below a folder one by one: memory grows with the number of folders, not with that of the files."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator

from data.files.listing import FOLDER, is_visible, walk
from data.files.remote import is_remote


def visible_files(folder: str) -> Iterator[str]:
    """Yield the path below `folder` of everything that is not a folder, in any order.

    Hidden files and folders, and folders that cannot be read, are skipped. Each folder is entered once, also if several
    links lead to it.

    Args:
      folder: local or remote.
    """
    if is_remote(folder):
        for listed in walk(folder, "", is_visible, lambda name: "." in name):
            if listed.kind != FOLDER and is_visible(listed.name):
                yield listed.path
        return
    below, seen = [""], set()
    while below:
        here = below.pop()
        with contextlib.suppress(OSError), os.scandir(os.path.join(folder, here)) as found:
            status = os.stat(os.path.join(folder, here))
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            for entry in found:
                if not is_visible(entry.name):
                    continue
                if _is_folder(entry):
                    below.append(posixpath.join(here, entry.name))
                else:
                    yield posixpath.join(here, entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False
