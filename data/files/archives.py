"""Archives of pictures: unpacked completely or not at all, and never outside of their folder."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO

from data.errors import DataError, first_line
from data.files.atomic import atomic_path
from data.files.download import File, fetch

_BY_HAND = "Unpack it by hand, and give the folder with --data DIR."


def unpack(archive: str, folder: str) -> None:
    """Unpack a zip, tar or compressed tar file; a folder that exists is complete, and left unchanged.

    Only folders and plain files are unpacked; owners, dates and permissions in the archive are ignored.

    Args:
      archive: path of the file; its format is recognised by its content.
      folder: created when all files are unpacked.

    Raises:
      DataError: If there is no such archive, it is broken or empty, or a member is a link or leads out of the folder.
    """
    if os.path.isdir(folder):
        return
    try:
        with atomic_path(folder) as partial:
            os.makedirs(partial)
            for name, content in _members(archive):
                target = os.path.join(partial, *_parts(name, archive))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with content, open(target, "wb") as out:
                    shutil.copyfileobj(content, out)
            if not os.listdir(partial):
                raise DataError(f"{archive} contains no file", hint="Delete it, and download it again.")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        raise DataError(
            f"cannot unpack {archive}: {first_line(error)}", hint="Delete it, and download it again."
        ) from error


def fetch_archives(archives: Mapping[str, File], folder: str, report: Callable[[str], None]) -> None:
    """Download archives, and unpack each into its folder, which then contains the folders of the classes.

    Args:
      archives: by the name of their folder.
      folder: where to create these folders; an interrupted call resumes.
      report: called with lines of progress.

    Raises:
      DataError: If `fetch` or `unpack` fails.
    """
    wanted = f"the pictures, as {' and '.join(f'{name}/<class>/*' for name in archives)},"
    for name, archive in archives.items():
        target = os.path.join(folder, name)
        if os.path.isdir(target):
            continue
        fetch([archive], folder, report, instead=wanted)
        file, unpacked = os.path.join(folder, archive.name), f"{target}.whole"
        unpack(file, unpacked)
        inner = os.listdir(unpacked)  # some archives contain one folder with the folders of the classes
        only = os.path.join(unpacked, inner[0])
        os.rename(only if len(inner) == 1 and os.path.isdir(only) else unpacked, target)  # `unpacked` is complete
        shutil.rmtree(unpacked, ignore_errors=True)
        os.remove(file)


def _members(archive: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of each file in an archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    yield info.filename, zipped.open(info)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content
            elif not member.isdir():
                problem = f"{archive} contains '{member.name}', which is neither a file nor a folder"
                raise DataError(problem, hint=_BY_HAND)


def _parts(name: str, archive: str) -> tuple[str, ...]:
    """Return the parts of a member's path.

    Raises:
      DataError: If the path leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(f"{archive} contains '{name}', which leads out of its folder", hint=_BY_HAND)
    return path.parts
