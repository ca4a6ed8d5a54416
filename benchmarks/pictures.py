"""The data that ingestion is measured on: what lies in a folder, and smaller copies of it."""

from __future__ import annotations

import gzip
import itertools
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.files.array_files import open_array
from data.sources import ImageFolder
from data.spec import Image

FEATURE = Image(height=64, width=64, channels=3)  # of the tasks measured; ingestion keeps the files as they are
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
PREFIXES = ("train", "t10k")


@dataclass(frozen=True)
class Pictures:
    """One set of pictures.

    Attributes:
      name: for the table.
      folder: where it lies.
      count: number of pictures.
      depth: folders between `folder` and a picture: 1 class, 2 split and class; 0 for IDX files.
    """

    name: str
    folder: Path
    count: int
    depth: int

    @property
    def is_idx(self) -> bool:
        """IDX files, else a folder per class."""
        return self.depth == 0


def discover(folder: Path, scratch: Path) -> list[Pictures]:
    """The sets in the folder, or in the folders and tar files directly below it.

    Args:
      folder: given by the user.
      scratch: gets the contents of tar files.

    Raises:
      DataError: there are none.
    """
    if not folder.is_dir():
        raise DataError(f"no data folder at {folder}", hint="Give the folder that holds the data with --data DIR.")
    whole = recognise(folder)
    found = [whole] if whole else [one for one in map(recognise, _below(folder, scratch)) if one]
    if not found:
        raise DataError(f"neither IDX files nor a folder of pictures per class in {folder} or directly below it")
    return found


def _below(folder: Path, scratch: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield entry
        elif entry.suffix == ".tar":
            target = scratch / entry.stem
            with tarfile.open(entry) as archive:
                archive.extractall(target, filter="data")
            inner = list(target.iterdir())
            yield inner[0] if len(inner) == 1 and inner[0].is_dir() else target


def recognise(folder: Path) -> Pictures | None:
    """The set that lies in the folder itself, if any."""
    name = folder.resolve().name
    pairs = idx_pairs(folder)
    if pairs:
        return Pictures(name, folder, sum(len(open_array(str(images))) for images, _ in pairs), 0)
    try:
        plan = ImageFolder().plan(str(folder), FEATURE)
    except DataError:
        return None
    count = sum(len(items) for items in plan.splits.values())
    return Pictures(name, folder, count, 1 if "" in plan.splits else 2)


def idx_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The files of pictures and of labels, training first; none where the folder holds none."""
    pairs = []
    for prefix in PREFIXES:
        found = [
            next(
                (
                    folder / f"{prefix}-{kind}{end}"
                    for end in ("", ".gz")
                    if (folder / f"{prefix}-{kind}{end}").is_file()
                ),
                None,
            )
            for kind in (IMAGES, LABELS)
        ]
        if found[0] and found[1]:
            pairs.append((found[0], found[1]))
    return pairs


def idx_arrays(pair: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N, h, w] and labels uint8 [N], as notebooks read them: whole, into memory."""
    contents = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in pair]
    shape = np.frombuffer(contents[0], ">i4", 3, 4)
    return np.frombuffer(contents[0], np.uint8, offset=16).reshape(shape), np.frombuffer(
        contents[1], np.uint8, offset=8
    )


def limited(pictures: Pictures, limit: int, scratch: Path) -> Pictures:
    """At most about `limit` of them, evenly taken from all classes, in a folder of its own; all if so few."""
    if pictures.count <= limit:
        return pictures
    target = Path(tempfile.mkdtemp(dir=scratch))
    step = -(-pictures.count // limit)
    count = _thin_idx(pictures, target, step) if pictures.is_idx else _thin_folder(pictures, target, step)
    return replace(pictures, folder=target, count=count)


def _thin_folder(pictures: Pictures, target: Path, step: int) -> int:
    """Every `step`-th picture of each class, as a link."""
    count = 0
    plan = ImageFolder().plan(str(pictures.folder), FEATURE)
    for items in plan.splits.values():
        for _, of_class in itertools.groupby(items, key=lambda item: item[1]):
            for path, _ in list(of_class)[::step]:
                link = target / path
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((pictures.folder / path).resolve())
                count += 1
    return count


def _thin_idx(pictures: Pictures, target: Path, step: int) -> int:
    """Every `step`-th row of each file, gzipped where it was."""
    count = 0
    for pair in idx_pairs(pictures.folder):
        for file, rows in zip(pair, (one[::step] for one in idx_arrays(pair)), strict=True):
            header = bytes((0, 0, 8, rows.ndim)) + np.array(rows.shape, ">i4").tobytes()
            contents = header + rows.tobytes()
            (target / file.name).write_bytes(gzip.compress(contents) if file.suffix == ".gz" else contents)
            count += len(rows) if rows.ndim == 3 else 0
    return count


def unseen(pictures: Pictures, scratch: Path) -> Pictures:
    """IDX files under another name: what this process keeps of those that it unpacked before must not help it."""
    if not pictures.is_idx:
        return pictures
    target = Path(tempfile.mkdtemp(dir=scratch))
    for file in itertools.chain.from_iterable(idx_pairs(pictures.folder)):
        shutil.copy(file, target / file.name)
    return replace(pictures, folder=target)


def warm(pictures: Pictures) -> None:
    """Reads every file once, so that the first way measured does not pay for the disk alone."""
    for file in pictures.folder.rglob("*"):
        if file.is_file():
            file.read_bytes()
