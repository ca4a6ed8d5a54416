"""What a folder of pictures holds: all of them counted, a sample of each class decoded."""

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
from data.images import ops
from data.images.formats import DECODED
from data.images.headers import ALPHA, Header, read_header
from data.images.validate import Checked, check_files
from data.ingest.shards import Ingest, assign_split
from data.names import printable
from data.records import digest, remarks
from data.sources import ImageFolder
from data.sources.base import chunks, prefetch
from data.spec import Image

PER_CLASS = 300  # pictures looked at, of each class and split
MAX_BYTES = 300_000_000  # of files looked at: some 75 photographs of 12 megapixels, or all of a small set
COLOURS = 300  # pictures of colour files, at most, in which a colour is looked for
GREY = 3  # largest difference of the three channels that compression makes of a grey picture
_CHUNK = 16


@dataclass
class Survey:
    """What was found.

    Attributes:
      folder: of the data.
      counts: pictures by split and class, all of them; the split is "" where the content decides it.
      split: pictures by "train", "eval" or "test", and class, as a run will have them; estimated, where the content
        decides and not all pictures of the class were looked at.
      sizes: [height, width] of each picture looked at that decodes.
      formats, channels: of these, by the name of the format and the file's own channels.
      is_grey: no picture looked at has a colour, however it is stored.
      see_through: at least one has transparent parts.
      remarks: of these, by what decoding passes over in silence: `headers.REMARKS`.
      bad: path and reason of those that do not decode.
      not_pictures: other files, by kind.
      unused: pictures that a run passes over, by where they lie.
      layout: the folder of each split, where the names of folders tell the splits.
      notes: what else is to be known of how the folder was understood.
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
    not_pictures: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    layout: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Pictures in all splits."""
        return sum(sum(classes.values()) for classes in self.counts.values())

    @property
    def looked_at(self) -> int:
        """Pictures decoded, or tried."""
        return len(self.sizes) + len(self.bad)

    @property
    def by_class(self) -> Counter[str]:
        """Pictures of each class, in all splits."""
        return sum((Counter(classes) for classes in self.counts.values()), Counter())

    def of_split(self, split: str) -> int:
        """Pictures that a run will have in "train" or "eval"."""
        return sum(self.split[split].values())


def survey_folder(folder: str) -> Survey:
    """Counts the pictures, and decodes a sample.

    Raises:
      DataError: no folder, no classes or one, a class that cannot be both learned and evaluated, nothing that decodes.
    """
    plan = ImageFolder().plan(folder, Image(1, 1))
    counts = {split: dict(Counter(name for _, name in items)) for split, items in plan.splits.items()}
    found = Survey(
        folder, counts, not_pictures=plan.not_pictures, unused=plan.unused, layout=plan.layout, notes=plan.notes
    )
    _check_counts(found)
    seen: dict[tuple[str, str], Counter[str]] = {}  # (split, class) -> pictures of the sample, by what becomes of them
    for split, name, path, checked in _sample(folder, plan.splits):
        if checked.reason:
            found.bad.append((printable(path), f"{checked.reason}: {checked.message}"))
            part = "bad"
        else:
            _take(found, checked)
            part = split or assign_split(digest(checked.contents), _buckets())
        seen.setdefault((split, name), Counter())[part] += 1
    if not found.sizes:
        path, reason = found.bad[0]
        raise DataError(
            f"none of {len(found.bad)} pictures in {folder} decodes; {path}: {reason}",
            hint=f"Skewless reads {DECODED}.",
        )
    found.split = _expected(counts, seen)
    _check_splits(found)
    return found


def _sample(folder: str, splits: dict[str, Sequence[tuple[str, str]]]) -> Iterator[tuple[str, str, str, Checked]]:
    """Split, class, path and verdict; one of each class in turn, so that the end of the budget is fair to all."""
    rng = np.random.default_rng(0)
    groups: dict[tuple[str, str], list[str]] = {}
    for split, items in splits.items():
        for path, name in items:
            groups.setdefault((split, name), []).append(path)
    drawn = [
        [(split, name, paths[index]) for index in rng.permutation(len(paths))[:PER_CLASS]]
        for (split, name), paths in groups.items()
    ]
    turns = [one for turn in itertools.zip_longest(*drawn) for one in turn if one is not None]
    budget = MAX_BYTES
    for part, checked in prefetch(
        lambda part: check_files([posixpath.join(folder, path) for _, _, path in part], channels=3),
        chunks(turns, _CHUNK),
    ):
        for (split, name, path), one in zip(part, checked, strict=True):
            yield split, name, path, one
            budget -= len(one.contents)
        if budget < 0:
            return


def _take(found: Survey, checked: Checked) -> None:
    """Adds the facts of a picture that decodes."""
    header = read_header(checked.contents)
    found.sizes.append(checked.size)
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
    """The parts of a hash split, as a run with default settings makes it."""
    return {"train": Ingest().train_buckets, "eval": Ingest().eval_buckets}


def _expected(counts: dict[str, dict[str, int]], seen: dict[tuple[str, str], Counter[str]]) -> dict[str, Counter[str]]:
    """`Look.split`: counted where a class was looked at in whole, else in proportion."""
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
    """Raises DataError where the number of pictures alone tells that nothing can be learned."""
    by_class = found.by_class
    if len(by_class) < 2:
        raise DataError(
            f"only one class, '{next(iter(by_class))}', in {found.folder}: there is nothing to tell apart",
            hint="Put the pictures of each class into a folder of its own, two at the least.",
        )
    single = sorted(name for name, count in by_class.items() if count == 1)
    if single:
        raise DataError(
            f"class '{single[0]}' has one picture: it cannot be both trained on and evaluated",
            hint="Add pictures of it, or remove its folder.",
        )
    unseen = sorted(set(by_class) - set(found.counts.get("train", by_class)))
    if unseen:
        raise DataError(
            f"class '{unseen[0]}' has no folder for training: the model cannot learn it",
            hint="Add pictures of it for training, or remove its folder.",
        )


def _check_splits(found: Survey) -> None:
    """Raises DataError where a run would stop for the want of pictures that decode."""
    hint = "Replace those that do not decode, or add others."
    if "" in found.counts:
        hint = "Their content decides. Add pictures, or make folders train/ and validation/ with one for each class."
    for name, count in found.by_class.items():
        if not any(split[name] for split in found.split.values()):
            raise DataError(f"none of {count} pictures of class '{name}' decodes", hint="Replace them.")
        if not found.split["train"][name]:
            raise DataError(f"class '{name}' has {count} pictures, and none of them to train on", hint=hint)
    evaluated = sorted(name for name, count in found.split["eval"].items() if count)
    if len(evaluated) < 2:
        what = f"only class '{evaluated[0]}'" if evaluated else f"none of {found.total} pictures"
        raise DataError(f"{what} in {found.folder} is there to evaluate: the accuracy would say nothing", hint=hint)
