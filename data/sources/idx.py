"""The four IDX files of the MNIST family, as MNIST and Fashion-MNIST ship them, gzipped or not."""

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
from data.sources.arrays import one_of, plan_pairs, read_pairs
from data.sources.base import Plan, Source
from data.spec import Feature, Label


@dataclass(frozen=True)
class Idx(Source):
    """`<prefix>-images-idx3-ubyte` and `<prefix>-labels-idx1-ubyte`, `.gz` or not; each may lie in a folder of its own
    name, and `.idx3-ubyte` is understood, too.

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
        """Training and evaluation, or "" where there is no prefix for the latter."""
        return frozenset(("train", "eval") if self.eval else ("",))

    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists blocks of rows by split.

        Raises:
          DataError: a file is missing, is not IDX, is cut off, or has not as many pictures as its pair has labels.
        """
        prefixes = {"train": self.train, "eval": self.eval} if self.eval else {"": self.train}
        listed = entries(folder)
        pairs = {
            split: (
                _find(folder, listed, f"{prefix}-images", "idx3-ubyte"),
                _find(folder, listed, f"{prefix}-labels", "idx1-ubyte"),
            )
            for split, prefix in prefixes.items()
        }
        return plan_pairs(pairs, feature)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Encodes the pictures as PNG, which loses nothing."""
        return read_pairs(items, feature, label, rng)


def _find(folder: str, listed: Sequence[Entry], stem: str, kind: str) -> str:
    """Path of an IDX file.

    Raises:
      DataError: there is none, or there are two that differ.
    """
    names = [f"{stem}{mark}{kind}{packed}" for mark in "-." for packed in ("", ".gz")]
    found = []
    for entry in listed:
        if entry.name in names:
            path = posixpath.join(folder, entry.name)
            inner = entries(path) if entry.kind == FOLDER else []
            found += [posixpath.join(path, one.name) for one in inner if one.name in names and one.kind == FILE]
            found += [path] if entry.kind == FILE else []
    if found:
        return one_of(found)
    shown = ", ".join(printable(entry.name) for entry in listed[:8]) or "nothing"
    raise DataError(
        f"no {stem}-{kind} or {stem}-{kind}.gz in {printable(folder)}", hint=f"Found: {shown}. --data names the folder."
    )
