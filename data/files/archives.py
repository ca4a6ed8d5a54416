"""Archives of pictures: unpacked whole or not at all, and never outside of their folder."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO

from data.errors import DataError
from data.files.atomic import atomic_path
from data.files.download import File, fetch


def unpack(archive: str, folder: str) -> None:
    """Unpacks a zip, tar or compressed tar; a folder that is already there is whole, and left as it is.

    Only folders and plain files come out; the archive's owners, dates and permissions do not count.

    Args:
      archive: path of the file; its content tells its kind.
      folder: appears under this name when all is in it.

    Raises:
      DataError: no such archive, a broken or an empty one, or a member that is a link or leads out of the folder.
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
                raise DataError(f"{archive} holds no file", hint="Delete it, and get it again.")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        raise DataError(
            f"cannot unpack {archive}: {error or type(error).__name__}", hint="Delete it, and get it again."
        ) from error


def fetch_archives(archives: Mapping[str, File], folder: str, say: Callable[[str], None]) -> None:
    """Downloads archives, and unpacks each into a folder of its own, in which the folders of the classes lie.

    Args:
      archives: by the name of that folder.
      folder: where they come to lie; an interrupted call goes on.
      say: gets lines of progress.

    Raises:
      DataError: as `fetch` and `unpack`.
    """
    wanted = f"the pictures, as {' and '.join(f'{name}/<class>/*' for name in archives)},"
    for name, archive in archives.items():
        target = os.path.join(folder, name)
        if os.path.isdir(target):
            continue
        fetch([archive], folder, say, instead=wanted)
        file, whole = os.path.join(folder, archive.name), f"{target}.whole"
        unpack(file, whole)
        inner = os.listdir(whole)  # some archives hold one folder, in which the classes' are
        only = os.path.join(whole, inner[0])
        os.rename(only if len(inner) == 1 and os.path.isdir(only) else whole, target)
        shutil.rmtree(whole, ignore_errors=True)
        os.remove(file)


def _members(archive: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file in it."""
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
                raise DataError(f"{archive} holds '{member.name}', which is neither a file nor a folder")


def _parts(name: str, archive: str) -> tuple[str, ...]:
    """The parts of a member's path.

    Raises:
      DataError: it leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(f"{archive} holds '{name}', which leads out of its folder")
    return path.parts
