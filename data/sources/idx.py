"""Read the four IDX files of MNIST, Fashion-MNIST and their relatives, gzipped or not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.errors import DataError, UsageError
from data.files.listing import FILE, FOLDER, Entry, entries
from data.names import printable
from data.records import Outcome
from data.sources.arrays import pick_identical, plan_pairs, read_pairs
from data.sources.base import Plan, Source, list_found, require_one_label
from data.spec import Feature, Label


@dataclass(frozen=True)
class Idx(Source):
    """Source of the files `<prefix>-images-idx3-ubyte` and `<prefix>-labels-idx1-ubyte`, `.gz` or not.

    A file may also be inside a folder of the same name, and its name may end in `.idx3-ubyte` or `.idx1-ubyte`.

    Attributes:
      train: prefix of the training files.
      eval: prefix of the evaluation files; empty: the content decides the split of the training files' rows.
    """

    train: str = "train"
    eval: str = "t10k"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train:
            raise UsageError("source.train must not be empty: it is the prefix of the training files")

    def split_names(self, folder: str) -> frozenset[str]:
        """Return training and evaluation, or "" if no prefix is given for evaluation."""
        return frozenset(("train", "eval") if self.eval else ("",))

    def check_label(self, label: Label) -> None:
        """Check that a picture has one label.

        Raises:
          UsageError: If the label is `Labels`.
        """
        hint = "Pictures with several labels: Arrays (a matrix of 0 and 1), TFRecords or an ImageFolder."
        require_one_label(label, "Idx reads one label a picture", hint)

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List blocks of rows, (images, labels, first row, last row + 1), by split.

        Raises:
          DataError: If a file is missing, is not IDX, is cut off, or holds another number of images than of labels.
        """
        prefixes = {"train": self.train, "eval": self.eval} if self.eval else {"": self.train}
        found = entries(folder)
        pairs = {
            split: (
                _find_file(folder, found, f"{prefix}-images", "idx3-ubyte"),
                _find_file(folder, found, f"{prefix}-labels", "idx1-ubyte"),
            )
            for split, prefix in prefixes.items()
        }
        return plan_pairs(pairs, feature, label)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Encode the images as PNG, which is lossless."""
        return read_pairs(items, feature, label, rng)


def _find_file(folder: str, found: Sequence[Entry], stem: str, kind: str) -> str:
    """Return the path of an IDX file.

    Raises:
      DataError: If there is no such file, or there are two that differ.
    """
    names = [f"{stem}{mark}{kind}{packed}" for mark in "-." for packed in ("", ".gz")]
    paths = []
    for entry in found:
        if entry.name in names:
            path = posixpath.join(folder, entry.name)
            inner = entries(path) if entry.kind == FOLDER else []
            paths += [posixpath.join(path, one.name) for one in inner if one.name in names and one.kind == FILE]
            paths += [path] if entry.kind == FILE else []
    if paths:
        return pick_identical(paths)
    raise DataError(
        f"no {stem}-{kind} or {stem}-{kind}.gz in {printable(folder)}",
        hint=f"Found: {list_found(entry.name for entry in found)}. Name the right folder with --data.",
    )
