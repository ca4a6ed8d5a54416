"""Read pairs of numpy arrays, examples and their labels, as notebooks save them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import DataError, UsageError
from data.files.array_files import member_names, open_array
from data.files.listing import FILE, entries
from data.files.spool import Spool
from data.images import stored_png
from data.images.headers import Header
from data.names import printable
from data.records import LabelValue, Outcome, Rejected, image_record, vector_record
from data.sources.base import BLOCK, Plan, Source, blocks, chunks, list_found, prefetch, shuffled_rows
from data.sources.labels import ONE_HOT_HINT, InvalidLabel, indicated_names, parse_label
from data.spec import Feature, Image, Label, Labels


@dataclass(frozen=True)
class Arrays(Source):
    """Source of pairs of arrays: row i of the one is an example, row i of the other its label.

    For `Labels`, the array of labels is a matrix [N, labels] of 0 and 1, or of truth values: column i is the i-th of
    `label.names`, or without names the label "i". An array [N] gives one label for each example.

    Attributes:
      train: names of the arrays of examples and of labels for training: `x_train` is the file `x_train.npy`, or the
        array of that name in an `.npz` in the folder.
      eval: names of the arrays for evaluation; empty: the content decides the split of the rows of `train`.
    """

    train: tuple[str, str] = ("x_train", "y_train")
    eval: tuple[str, ...] = ("x_test", "y_test")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.eval) not in (0, 2):
            raise UsageError(f"source.eval must name two arrays, or none, got {', '.join(self.eval)}")
        if not all((*self.train, *self.eval)):
            raise UsageError("source.train and source.eval must not contain an empty name")

    def split_names(self, folder: str) -> frozenset[str]:
        """Return training and evaluation, or "" if no arrays are named for evaluation."""
        return frozenset(("train", "eval") if self.eval else ("",))

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List blocks of rows, (examples, labels, first row, last row + 1), by split.

        Raises:
          DataError: If an array is missing, cannot be read, or does not fit its pair or the feature.
        """
        pairs = {"train": self.train, "eval": self.eval} if self.eval else {"": self.train}
        located = {split: (_find_array(folder, x), _find_array(folder, y)) for split, (x, y) in pairs.items()}
        return plan_pairs(located, feature, label)

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Encode images as PNG, which is lossless; numbers stay numbers."""
        return read_pairs(items, feature, label, rng)


def _find_array(folder: str, name: str) -> str:
    """Return the path of an array: `<folder>/<name>.npy`, or `<archive>.npz!<name>`.

    Raises:
      DataError: If there is no such array, or there are two that differ.
    """
    files = [entry.name for entry in entries(folder) if entry.kind == FILE]
    archives = [file for file in files if file.lower().endswith(".npz")]
    found = [posixpath.join(folder, file) for file in files if file.lower() == f"{name}.npy".lower()]
    found += [f"{posixpath.join(folder, file)}!{name}" for file in archives if name in member_names(f"{folder}/{file}")]
    if not found and len(archives) == 1:
        return f"{posixpath.join(folder, archives[0])}!{name}"  # opening it reports what the archive holds
    if not found:
        raise DataError(
            f"no array '{name}' in {printable(folder)}: no {name}.npy, and no .npz that contains it",
            hint=f"Found: {list_found(files)}. Name the arrays with the source's `train` and `eval`.",
        )
    return pick_identical(found)


def pick_identical(paths: Sequence[str]) -> str:
    """Return the first of several files if all hold the same array, such as a download and its unpacked copy.

    Raises:
      DataError: If the arrays differ, so that the choice is ambiguous.
    """
    first, *others = paths
    for other in others:
        if not np.array_equal(open_array(first), open_array(other)):
            raise DataError(
                f"{_display_name(first)} and {_display_name(other)} hold different arrays of the same name",
                hint="Remove the one that you do not want to use.",
            )
    return first


def plan_pairs(pairs: Mapping[str, tuple[str, str]], feature: Feature, label: Label | None) -> Plan:
    """Plan blocks of rows of each split's pair of arrays.

    Args:
      pairs: paths of the examples and of the labels, by split.
      feature: the task's feature.
      label: the task's label; None stands for `Classes`.

    Raises:
      DataError: If the numbers of examples and labels differ or are 0, or the examples do not fit the feature or the
        labels the label.
    """
    plan = Plan({}, records_per_item=BLOCK)
    for split, (x, y) in pairs.items():
        examples, labels = open_array(x), open_array(y)
        if examples.ndim == 0 or labels.ndim == 0 or len(examples) != len(labels):
            raise DataError(
                f"{_display_name(x)} has {_describe_rows(examples)}, {_display_name(y)} has {_describe_rows(labels)}:"
                " the numbers must be equal"
            )
        if not len(examples):
            raise DataError(f"{_display_name(x)} has no rows", hint="Save the arrays again, or name others in source.")
        _check_labels(_display_name(y), labels, label)
        _check_shape(_display_name(x), examples, feature)
        found = plan.splits[split] = Spool[tuple[str, str, int, int]]()
        for first, last in blocks(len(examples)):
            found.append((x, y, first, last))
    return plan


def _describe_rows(array: NDArray[Any]) -> str:
    return f"{len(array):,} rows" if array.ndim else "no rows"


def _check_labels(name: str, array: NDArray[Any], label: Label | None) -> None:
    """Check that a row has one value; of `Labels`, that it may also have a number for each name."""
    if not _is_matrix(array, label):
        if array[0].size != 1:
            raise DataError(f"{name} has {array[0].size} values per row: a label has one value", hint=ONE_HOT_HINT)
        return
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} holds {array.dtype} of shape {array.shape}: several labels are a matrix [N, labels] of 0 and 1",
            hint="scikit-learn's MultiLabelBinarizer makes one from lists of names.",
        )
    names = label.names if isinstance(label, Labels) else ()
    if names and array.shape[1] != len(names):
        problem = f"{name} has {array.shape[1]} columns, but label.names has {len(names)} names"
        raise DataError(problem, hint="Give a name for each column, in their order.")


def _is_matrix(array: NDArray[Any], label: Label | None) -> bool:
    """Return whether the rows have a value for each name, and not one label."""
    return isinstance(label, Labels) and array.ndim > 1


def _check_shape(name: str, array: NDArray[Any], feature: Feature) -> None:
    """Check that images are uint8 [N, h, w] or [N, h, w, 1, 3 or 4], and vectors of the feature's size."""
    if not isinstance(feature, Image):
        size = array[0].size
        if size != feature.size or array.dtype.kind not in "iuf":
            raise DataError(
                f"{name} has {size} values of {array.dtype} per row, but the task's feature has {feature.size} numbers",
                hint=f"Set feature=Vector({size}) in the task, or save the rows as numbers.",
            )
    elif array.dtype != np.uint8:
        raise DataError(
            f"{name} holds {array.dtype}: pictures must be uint8, 0..255",
            hint="Keep the upper 8 bits if all 16 are used: (pictures >> 8).astype('uint8')."
            if array.dtype == np.uint16
            else "Save the pictures before scaling them.",
        )
    elif array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3, 4)):
        raise DataError(
            f"{name} has shape {array.shape}: pictures must be [N, height, width] or [N, height, width, channels]"
        )


def read_pairs(
    items: Sequence[tuple[str, str, int, int]], feature: Feature, label: Label, rng: np.random.Generator
) -> Iterator[Outcome]:
    """Make records of the rows of blocks (examples, labels, first, last + 1), in a random order.

    Args:
      items: blocks of `plan_pairs`; the paths of the two arrays, and a range of rows.
      feature: the task's feature.
      label: the task's label.
      rng: draws the order of the rows.
    """
    by_file: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for x, y, first, last in items:
        by_file.setdefault((x, y), []).append((first, last))
    for (x, y), ranges in by_file.items():
        # Open the arrays for each shard: pages that a long-lived mapping touched would count as this process's memory.
        examples, labels = open_array(x), open_array(y)
        rows = chunks(shuffled_rows(ranges, rng))
        for chunk, (pixels, encoded) in prefetch(lambda part: _encode_rows(examples[part], feature), rows):  # noqa: B023
            sources = [f"{_display_name(x)}[{row}]" for row in chunk]
            yield from _make_records(pixels, encoded, np.asarray(labels[chunk]), sources, feature, label)


def _encode_rows(examples: NDArray[Any], feature: Feature) -> tuple[NDArray[Any], list[Any]]:
    """Return rows and their encoded form: uint8 [N, h, w, c] and PNG files, or numbers [N, size] and lists of them."""
    if isinstance(feature, Image):
        pixels = np.ascontiguousarray(examples if examples.ndim == 4 else examples[..., np.newaxis])
        if stored_png.fits(*pixels.shape[1:]):  # uncompressed: training slices them instead of decoding them
            return pixels, stored_png.encode(pixels)
        return pixels, tf.io.encode_png(pixels).numpy().tolist()
    vectors = examples.reshape(len(examples), -1)
    return vectors, vectors.tolist()


def _make_records(
    rows: NDArray[Any], encoded: list[Any], labels: NDArray[Any], sources: list[str], feature: Feature, label: Label
) -> Iterator[Outcome]:
    header = Header("png", rows.shape[-1])
    values = labels.reshape(len(labels), -1)
    parse = _parse_row if _is_matrix(labels, label) else parse_label
    for row, code, value, source in zip(rows, encoded, values.tolist(), sources, strict=True):
        try:
            name = parse(value, label)
        except InvalidLabel as error:
            yield Rejected(source, "unknown label", str(error))
            continue
        if isinstance(feature, Image):
            yield image_record(code, row.shape[:2], header, name, source, content=row.tobytes())
        else:
            yield vector_record(code, name, source)


def _parse_row(values: Sequence[Any], label: Label) -> LabelValue:
    """Return the names whose columns are 1."""
    names = label.names if isinstance(label, Labels) else ()
    return indicated_names(values, names or [str(column) for column in range(len(values))])


def _display_name(path: str) -> str:
    return printable(posixpath.basename(path))
