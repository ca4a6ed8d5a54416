"""Survey a folder of pictures: count all of them, and decode a sample of each class."""

from __future__ import annotations

import io
import itertools
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from PIL import Image as Pil

from data.errors import DataError
from data.files.remote import is_remote
from data.images import ops
from data.images.formats import DECODED_TITLES, read_header
from data.images.headers import ALPHA, Header
from data.images.validate import NO_FILE, Checked, check_files
from data.ingest.shards import Ingest, assign_split
from data.names import printable
from data.records import Rejected, digest, remarks
from data.sources import ImageFolder
from data.sources.base import chunks, prefetch
from data.spec import Image, Labels
from pipeline.scaffold.table import PictureTable, find_picture_table

PER_CLASS = 300  # decoded pictures of each class and split
MAX_BYTES = 300_000_000  # of decoded files: about 75 photographs of 12 megapixels, or all of a small set
COLOURS = 300  # pictures at most that are searched for a colour
GREY = 3  # largest difference between the channels of a grey picture after lossy compression
_CHUNK = 16
_ITEMS = 256  # items of a table whose rows are read together

Drawn = tuple[str, tuple[str, ...], str]  # split, labels and path of a picture in the sample


@dataclass
class Survey:
    """The findings about a folder.

    Attributes:
      folder: The data folder.
      counts: Number of all pictures by split and class; the split is "" if the content decides it.
      split: Number of pictures by "train", "eval" or "test", and class, as a run will have them; an estimate if the
        content decides and not all pictures of the class were decoded.
      sizes: (height, width) in pixels of each decoded picture, turned upright.
      formats, channels: Number of decoded pictures by format, and by the channels in the file.
      is_grey: Whether no decoded picture has a colour, however it is stored.
      see_through: Whether at least one has transparent parts.
      remarks: Number of decoded pictures by what decoding ignores: `headers.REMARKS`.
      bad: Path and reason of pictures that cannot be decoded.
      bad_rows: Place and reason of rows of a table that cannot be used.
      not_pictures: Number of other files, by kind.
      unused: Number of pictures that a run does not use, by folder.
      layout: The folder of each split, if folder names decide the splits; of a table, what its rows of a split have.
      notes: Further remarks on how the folder is read.
      table: The table that lists the pictures; None for class folders.
      pictures: Number of pictures by split, if a picture may have several labels.
    """

    folder: str
    counts: dict[str, dict[str, int]]
    split: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    is_grey: bool = True
    see_through: bool = False
    remarks: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str]] = field(default_factory=list)
    bad_rows: list[tuple[str, str]] = field(default_factory=list)
    not_pictures: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    table: PictureTable | None = None
    pictures: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of pictures in all splits."""
        return sum(map(self.count_of, self.counts))

    def count_of(self, split: str) -> int:
        """Return the number of all pictures of a key of `counts`."""
        return self.pictures.get(split, sum(self.counts[split].values()))

    @property
    def place(self) -> str:
        """Where the pictures of a class are."""
        return "rows" if self.table else "folder"

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several labels."""
        return self.table is not None and isinstance(self.table.label, Labels)

    @property
    def looked_at(self) -> int:
        """Number of pictures that were decoded or could not be."""
        return len(self.sizes) + len(self.bad)

    @property
    def by_class(self) -> Counter[str]:
        """Number of pictures of each class, in all splits."""
        return sum((Counter(classes) for classes in self.counts.values()), Counter())

    def of_split(self, split: str) -> int:
        """Return the number of pictures that a run will have in "train" or "eval"."""
        if not self.pictures:
            return sum(self.split[split].values())
        parts = _buckets()
        return self.pictures.get(split) or round(self.pictures[""] * parts[split] / sum(parts.values()))


def survey_folder(folder: str) -> Survey:
    """Count the pictures of a folder and decode a sample.

    Raises:
      DataError: If there is no folder, there are fewer than two classes, a class cannot be both trained and evaluated
        on, or no picture can be decoded.
    """
    table = find_picture_table(folder)
    found, drawn = _survey_table(folder, table) if table else _survey_folders(folder)
    _check_counts(found)
    seen: dict[tuple[str, str], Counter[str]] = {}  # (split, class) -> sampled pictures by resulting split, or "bad"
    for split, names, path, checked in _sample(folder, drawn):
        if checked.reason:
            is_missing = found.table is not None and checked.message == NO_FILE
            reason = "missing file" if is_missing else f"{checked.reason}: {checked.message}"
            found.bad.append((printable(path), reason))
            part = "bad"
        else:
            _take(found, checked)
            part = split or assign_split(digest(checked.contents), _buckets())
        for name in names:
            seen.setdefault((split, name), Counter())[part] += 1
    if not found.sizes:
        path, reason = found.bad[0]
        raise DataError(
            f"none of {len(found.bad)} pictures in {folder} can be decoded; {path}: {reason}",
            hint=f"Skewless reads {DECODED_TITLES}.",
        )
    found.split = _expected(found.counts, seen)
    _check_splits(found)
    return found


def _survey_folders(folder: str) -> tuple[Survey, list[list[Drawn]]]:
    """Return what the names of folders and files show, and a sample of the pictures of each class and split."""
    plan = ImageFolder().plan(folder, Image(1, 1))
    counts = {split: dict(Counter(name for _, name in items)) for split, items in plan.splits.items()}
    found = Survey(
        folder, counts, not_pictures=plan.not_pictures, unused=plan.unused, layout=plan.layout, notes=plan.notes
    )
    rng = np.random.default_rng(0)
    groups: dict[tuple[str, str], list[str]] = {}
    for split, items in plan.splits.items():
        for path, name in items:
            groups.setdefault((split, name), []).append(path)
    return found, [
        [(split, (name,), paths[index]) for index in rng.permutation(len(paths))[:PER_CLASS]]
        for (split, name), paths in groups.items()
    ]


def _survey_table(folder: str, table: PictureTable) -> tuple[Survey, list[list[Drawn]]]:
    """Return what the rows of a table show, and a sample of the pictures of each label and split.

    Raises:
      DataError: If no row can be used.
    """
    source, rng = table.source, np.random.default_rng(0)
    plan = source.plan(folder, Image(1, 1))
    found = Survey(folder, {}, unused=plan.unused, layout=plan.layout, notes=[*plan.notes, *table.notes], table=table)
    groups: dict[tuple[str, str], list[Drawn]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for split, items in plan.splits.items():
        counts, pictures = Counter[str](), 0
        for part in chunks(items, _ITEMS):
            for row in source.list_rows(folder, part, table.label):
                if isinstance(row, Rejected):
                    found.bad_rows.append((printable(row.source), f"{row.reason}: {row.message}"))
                    continue
                names = row.label if isinstance(row.label, tuple) else (str(row.label),)
                counts.update(names)
                pictures += 1
                key = split, names[0] if names else ""
                seen[key] += 1
                place = len(groups.setdefault(key, []))
                if place < PER_CLASS:
                    groups[key].append((split, names, ""))
                else:  # a row of the sample is replaced at random, so that each row is as likely to be in it
                    place = int(rng.integers(seen[key]))
                if place < PER_CLASS:
                    groups[key][place] = (split, names, source.locate(folder, row))
        found.counts[split] = dict(counts)
        if isinstance(table.label, Labels):
            found.pictures[split] = pictures
    if not seen:
        place_of_bad, reason = found.bad_rows[0]
        raise DataError(
            f"none of the {len(found.bad_rows):,} rows of {table.name} can be used; {place_of_bad}: {reason}",
            hint="Repair the table, or write the task by hand: ImageTable(path=..., label=...).",
        )
    return found, list(groups.values())


def _sample(folder: str, drawn: Sequence[Sequence[Drawn]]) -> Iterator[tuple[str, tuple[str, ...], str, Checked]]:
    """Yield split, labels, path and check of sampled pictures; classes take turns, so that each gets its share."""
    turns = [one for turn in itertools.zip_longest(*drawn) for one in turn if one is not None]
    budget = MAX_BYTES
    for part, checked in prefetch(
        lambda part: check_files(
            [path if is_remote(path) else posixpath.join(folder, path) for _, _, path in part], channels=3
        ),
        chunks(turns, _CHUNK),
    ):
        for (split, names, path), one in zip(part, checked, strict=True):
            yield split, names, path.removeprefix(f"{folder}/"), one
            budget -= len(one.contents)
        if budget < 0:
            return


def _take(found: Survey, checked: Checked) -> None:
    """Add the facts of a decoded picture."""
    header = read_header(checked.contents)
    found.sizes.append(checked.size[::-1] if header.orientation >= 5 else checked.size)
    found.formats[header.format] += 1
    found.channels[header.channels] += 1
    found.remarks.update(remarks(checked.contents, header))
    if found.is_grey and header.channels not in (1, 2) and len(found.sizes) <= COLOURS:
        pixels = ops.decode(tf.constant(checked.contents), 3).numpy()
        found.is_grey = int(np.ptp(pixels, axis=2).max()) <= GREY
    if not found.see_through and len(found.sizes) <= COLOURS:
        found.see_through = _is_see_through(checked.contents, header)


def _is_see_through(contents: bytes, header: Header) -> bool:
    if ALPHA not in header.remarks:
        return False
    with Pil.open(io.BytesIO(contents)) as picture:
        return bool(np.asarray(picture.convert("RGBA"))[:, :, 3].min() < 255)


def _buckets() -> dict[str, int]:
    """Return the parts of a split by hash with default settings."""
    return {"train": Ingest().train_buckets, "eval": Ingest().eval_buckets}


def _expected(counts: dict[str, dict[str, int]], seen: dict[tuple[str, str], Counter[str]]) -> dict[str, Counter[str]]:
    """Return `Survey.split`: counted if all pictures of a class were decoded, otherwise in proportion."""
    found: dict[str, Counter[str]] = {"train": Counter(), "eval": Counter()}
    parts = sum(_buckets().values())
    for split, classes in counts.items():
        for name, count in classes.items():
            of_class = seen.get((split, name), Counter())
            whole = of_class.total() == count
            shares = {split: 1.0} if split else {part: size / parts for part, size in _buckets().items()}
            for part, share in shares.items():
                found.setdefault(part, Counter())[name] = of_class[part] if whole else round(share * count)
    return found


def _check_counts(found: Survey) -> None:
    """Raise DataError if the number of pictures alone shows that no model can be trained."""
    by_class = found.by_class
    if len(by_class) < 2 and not found.is_multi_label:
        raise DataError(
            f"only one class, '{next(iter(by_class))}', in {found.folder}: a classifier needs two",
            hint="Is the label another column? Then write the task by hand."
            if found.table
            else "Put the pictures of each class into a subfolder, at least two of them.",
        )
    single = sorted(name for name, count in by_class.items() if count == 1)
    if single:
        raise DataError(
            f"class '{single[0]}' has one picture, but training and evaluation need one each",
            hint=f"Add pictures of it, or remove its {found.place}.",
        )
    unseen = sorted(set(by_class) - set(found.counts.get("train", by_class)))
    if unseen:
        raise DataError(
            f"class '{unseen[0]}' has no {found.place} for training: the model cannot learn it",
            hint=f"Add pictures of it for training, or remove its {found.place}.",
        )


def _check_splits(found: Survey) -> None:
    """Raise DataError if a run would stop for lack of pictures that can be decoded."""
    hint = "Replace those that cannot be decoded, or add others."
    if "" in found.counts:
        own = "a column with the split" if found.table else "folders train/CLASS and validation/CLASS"
        hint = f"A hash of the content splits them. Add pictures, or make {own}."
    for name, count in found.by_class.items():
        if not any(split[name] for split in found.split.values()):
            raise DataError(f"none of {count} pictures of class '{name}' can be decoded", hint="Replace them.")
        if not found.split["train"][name]:
            raise DataError(f"class '{name}' has {count} pictures, and none of them is for training", hint=hint)
    evaluated = sorted(name for name, count in found.split["eval"].items() if count)
    if len(evaluated) < min(2, len(found.by_class)):
        what = f"only class '{evaluated[0]}'" if evaluated else f"none of {found.total} pictures"
        raise DataError(f"{what} in {found.folder} is for evaluation: the accuracy would mean nothing", hint=hint)
