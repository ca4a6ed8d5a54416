"""The data of the benchmarks: data sets found in a folder, and smaller copies of them."""

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
from numpy.typing import NDArray

from data.errors import DataError
from data.files.array_files import open_array
from data.sources import ImageFolder
from data.spec import Image

FEATURE = Image(height=64, width=64, channels=3)  # of the measured tasks; ingestion does not change the files
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
PREFIXES = ("train", "t10k")


@dataclass(frozen=True)
class Pictures:
    """One data set of pictures.

    Attributes:
      name: Name in the tables.
      folder: Folder of the files.
      count: Number of pictures.
      depth: Folders between `folder` and a picture: 1 for class, 2 for split and class, 0 for IDX files.
    """

    name: str
    folder: Path
    count: int
    depth: int

    @property
    def is_idx(self) -> bool:
        """Whether the pictures are in IDX files, not in one folder per class."""
        return self.depth == 0


def find_data_sets(folder: Path, scratch: Path) -> list[Pictures]:
    """Find the data sets in a folder, or in the folders and tar files directly below it.

    Args:
      folder: The folder to search.
      scratch: Folder to unpack tar files into.

    Raises:
      DataError: If there is no data set.
    """
    if not folder.is_dir():
        raise DataError(f"no data folder at {folder}", hint="Pass the folder with the data: --data DIR.")
    whole = recognise_data_set(folder)
    found = [whole] if whole else [one for one in map(recognise_data_set, _below(folder, scratch)) if one]
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


def recognise_data_set(folder: Path) -> Pictures | None:
    """Return the data set of which this is the folder, or None."""
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
    """Return the pairs of image and label files in a folder, the training pair first."""
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


def idx_arrays(pair: tuple[Path, Path]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read pictures, uint8 [N, h, w], and labels, uint8 [N], into memory, as notebooks do."""
    contents = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in pair]
    shape = np.frombuffer(contents[0], ">i4", 3, 4)
    return np.frombuffer(contents[0], np.uint8, offset=16).reshape(shape), np.frombuffer(
        contents[1], np.uint8, offset=8
    )


def take_pictures(pictures: Pictures, limit: int, scratch: Path) -> Pictures:
    """Return about `limit` pictures, evenly chosen from all classes, in a new folder; all if there are no more."""
    if pictures.count <= limit:
        return pictures
    target = Path(tempfile.mkdtemp(dir=scratch))
    step = -(-pictures.count // limit)
    count = _thin_idx(pictures, target, step) if pictures.is_idx else _thin_folder(pictures, target, step)
    return replace(pictures, folder=target, count=count)


def _thin_folder(pictures: Pictures, target: Path, step: int) -> int:
    """Link every `step`-th picture of each class; return their number."""
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
    """Write every `step`-th row of each file, gzipped if the file was; return the number of pictures."""
    count = 0
    for pair in idx_pairs(pictures.folder):
        for file, rows in zip(pair, (one[::step] for one in idx_arrays(pair)), strict=True):
            header = bytes((0, 0, 8, rows.ndim)) + np.array(rows.shape, ">i4").tobytes()
            contents = header + rows.tobytes()
            (target / file.name).write_bytes(gzip.compress(contents) if file.suffix == ".gz" else contents)
            count += len(rows) if rows.ndim == 3 else 0
    return count


def copy_idx_files(pictures: Pictures, scratch: Path) -> Pictures:
    """Copy IDX files to a new folder, so that this process cannot use what it cached of files unpacked before."""
    if not pictures.is_idx:
        return pictures
    target = Path(tempfile.mkdtemp(dir=scratch))
    for file in itertools.chain.from_iterable(idx_pairs(pictures.folder)):
        shutil.copy(file, target / file.name)
    return replace(pictures, folder=target)


def fill_page_cache(pictures: Pictures) -> None:
    """Read every file once, so that the first measurement does not include the disk."""
    for file in pictures.folder.rglob("*"):
        if file.is_file():
            file.read_bytes()
