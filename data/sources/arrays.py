"""Pairs of arrays, pictures or numbers and their labels, as notebooks save them with numpy."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from data.errors import DataError, UsageError
from data.files.array_files import member_names, open_array
from data.files.listing import FILE, entries
from data.images import stored_png
from data.images.headers import Header
from data.names import printable
from data.records import Outcome, Rejected, image_record, vector_record
from data.sources.base import BLOCK, Plan, Source, ahead, blocks, chunks, shuffled_rows
from data.sources.labels import ONE_HOT, NoLabel, label_of
from data.spec import Feature, Image, Label


@dataclass(frozen=True)
class Arrays(Source):
    """Pairs of arrays, examples and labels, row by row.

    Attributes:
      train: names of the examples' and the labels' array: `x_train` is `x_train.npy`, or that member of the one
        `.npz` in the folder.
      eval: the same for evaluation; empty: the content decides the split of the rows of `train`.
    """

    train: tuple[str, str] = ("x_train", "y_train")
    eval: tuple[str, ...] = ("x_test", "y_test")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.eval) not in (0, 2):
            raise UsageError(f"source.eval must name two arrays, or none, got {', '.join(self.eval)}")
        if not all((*self.train, *self.eval)):
            raise UsageError("source.train and source.eval must not hold an empty name")

    def split_names(self, folder: str) -> frozenset[str]:
        """Training and evaluation, or "" where there is no pair for the latter."""
        return frozenset(("train", "eval") if self.eval else ("",))

    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists blocks of rows, (examples, labels, first row, last row + 1), by split."""
        pairs = {"train": self.train, "eval": self.eval} if self.eval else {"": self.train}
        located = {split: (_locate(folder, x), _locate(folder, y)) for split, (x, y) in pairs.items()}
        return plan_pairs(located, feature)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Encodes pictures as PNG, which loses nothing; numbers stay numbers."""
        return read_pairs(items, feature, label, rng)


def _locate(folder: str, name: str) -> str:
    """Path of the array `name`: `<folder>/<name>.npy`, or `<the one .npz>!<name>`.

    Raises:
      DataError: there is none, or there are two that differ.
    """
    files = [entry.name for entry in entries(folder) if entry.kind == FILE]
    archives = [file for file in files if file.lower().endswith(".npz")]
    found = [posixpath.join(folder, file) for file in files if file.lower() == f"{name}.npy".lower()]
    found += [f"{posixpath.join(folder, file)}!{name}" for file in archives if name in member_names(f"{folder}/{file}")]
    if not found and len(archives) == 1:
        return f"{posixpath.join(folder, archives[0])}!{name}"  # which says what the archive holds
    if not found:
        shown = ", ".join(map(printable, files[:8])) or "nothing"
        raise DataError(
            f"no array '{name}' in {printable(folder)}: no {name}.npy, and no .npz that holds it",
            hint=f"Found: {shown}. The source's `train` and `eval` name the arrays.",
        )
    return one_of(found)


def one_of(paths: Sequence[str]) -> str:
    """The first of several files, if all hold the same array: as it was fetched, and unpacked beside.

    Raises:
      DataError: they differ, so that it is not plain which is meant.
    """
    first, *others = paths
    for other in others:
        if not np.array_equal(open_array(first), open_array(other)):
            raise DataError(
                f"{_short(first)} and {_short(other)} hold different arrays of the same name",
                hint="Remove the one that is not meant.",
            )
    return first


def plan_pairs(pairs: Mapping[str, tuple[str, str]], feature: Feature) -> Plan:
    """Blocks of rows of each split's pair of arrays.

    Raises:
      DataError: examples and labels differ in number, there are none, a label is not one value, or the examples
        do not fit the feature.
    """
    plan = Plan({}, records_per_item=BLOCK)
    for split, (x, y) in pairs.items():
        examples, labels = open_array(x), open_array(y)
        if examples.ndim == 0 or labels.ndim == 0 or len(examples) != len(labels):
            raise DataError(f"{_short(x)} has {_rows(examples)}, {_short(y)} has {_rows(labels)}: they must be as many")
        if not len(examples):
            raise DataError(f"{_short(x)} has no rows")
        if labels[0].size != 1:
            raise DataError(
                f"{_short(y)} has {labels[0].size} values a row: a label is one",
                hint=ONE_HOT,
            )
        _check_shape(_short(x), examples, feature)
        plan.splits[split] = [(x, y, first, last) for first, last in blocks(len(examples))]
    return plan


def _rows(array: np.ndarray) -> str:
    return f"{len(array):,} rows" if array.ndim else "no rows"


def _check_shape(name: str, array: np.ndarray, feature: Feature) -> None:
    """Pictures are uint8 [N, h, w] or [N, h, w, 1, 3 or 4]; vectors have as many numbers as the feature says."""
    if not isinstance(feature, Image):
        size = array[0].size
        if size != feature.size or array.dtype.kind not in "iuf":
            raise DataError(
                f"{name} has {size} values of {array.dtype} a row, the task's feature {feature.size} numbers"
            )
    elif array.dtype != np.uint8:
        raise DataError(f"{name} holds {array.dtype}: pictures must be uint8, 0..255", hint="Save them before scaling.")
    elif array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3, 4)):
        raise DataError(
            f"{name} has shape {array.shape}: pictures must be [N, height, width] or [N, height, width, channels]"
        )


def read_pairs(
    items: Sequence[tuple[str, str, int, int]], feature: Feature, label: Label, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Reads the rows of blocks (examples, labels, first, last + 1) in a random order and makes records of them."""
    by_file: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for x, y, first, last in items:
        by_file.setdefault((x, y), []).append((first, last))
    for (x, y), ranges in by_file.items():
        # Opened anew for each shard: pages that a long-lived mapping touched would count as this process's memory.
        examples, labels = open_array(x), open_array(y)
        rows = chunks(shuffled_rows(ranges, rng))
        for chunk, (pixels, encoded) in ahead(lambda part: _encoded(examples[part], feature), rows):  # noqa: B023
            sources = [f"{_short(x)}[{row}]" for row in chunk]
            yield from _records(pixels, encoded, np.asarray(labels[chunk]), sources, feature, label)


def _encoded(examples: np.ndarray, feature: Feature) -> tuple[np.ndarray, list[Any]]:
    """Rows and their encoded form: uint8 [N, h, w, c] and PNG files, or numbers [N, size] and lists of them."""
    if isinstance(feature, Image):
        pixels = np.ascontiguousarray(examples if examples.ndim == 4 else examples[..., np.newaxis])
        if stored_png.fits(*pixels.shape[1:]):  # their every byte is read again and again in training
            return pixels, stored_png.encode(pixels)
        return pixels, tf.io.encode_png(pixels).numpy().tolist()
    vectors = examples.reshape(len(examples), -1)
    return vectors, vectors.tolist()


def _records(
    rows: np.ndarray, encoded: list[Any], labels: np.ndarray, sources: list[str], feature: Feature, label: Label
) -> Iterator[Outcome]:
    header = Header("png", rows.shape[-1])
    values = labels.reshape(len(labels), -1).tolist()
    for row, code, value, source in zip(rows, encoded, values, sources, strict=True):
        try:
            name = label_of(value, label)
        except NoLabel as error:
            yield Rejected(source, "unknown label", str(error))
            continue
        if isinstance(feature, Image):
            yield image_record(code, row.shape[:2], header, name, source, content=row.tobytes())
        else:
            yield vector_record(code, name, source)


def _short(path: str) -> str:
    return printable(posixpath.basename(path))
