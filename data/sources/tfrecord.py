"""TFRecords of tf.Example, as other pipelines write them."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from data.errors import DataError, UsageError
from data.images.headers import read_header
from data.images.validate import check_bytes
from data.names import listed, printable
from data.records import Outcome, Rejected, image_record, vector_record
from data.sources.base import BLOCK, Plan, chunks
from data.sources.labels import ONE_HOT, NoLabel, label_of
from data.sources.split_files import shown, split_files
from data.sources.splits import SplitSource
from data.sources.tfrecord_file import Damaged, offsets, read_at, records
from data.spec import Feature, Image, Label

KIND = "*tfrecord* or *.tfrec"


@dataclass(frozen=True)
class TFRecords(SplitSource):
    """Every file in the folder whose name contains `tfrecord` or `tfrec`, checksums included.

    The names of folders and files tell the splits (`data.sources.splits`). A compressed file (gzip or zlib, told by its
    first bytes) is one unit of work, and keeps its order.

    Attributes:
      feature: the key of the encoded picture (bytes) or of the numbers (float or int64).
      label: the key of the label: bytes, int64 or float.
    """

    feature: str = "image"
    label: str = "label"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.feature or not self.label:
            raise UsageError("source.feature and source.label must not be empty")

    def split_names(self, folder: str) -> frozenset[str]:
        """The splits, from the names of folders and files."""
        return frozenset(split_files(self, folder, _is_tfrecord, KIND)[0])

    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists blocks of records, (file below `folder`, offsets of its records or none), by split.

        Raises:
          DataError: no file, one that is not a TFRecord, or splits that are not plain.
        """
        by_split, unused = split_files(self, folder, _is_tfrecord, KIND)
        plan = Plan({}, records_per_item=BLOCK, unused=unused)
        for split, names in by_split.items():
            plan.splits[split] = [item for name in names for item in _blocks(folder, name)]
            if not plan.splits[split]:
                raise DataError(
                    f"no records in {printable(folder)}: {shown(names)}",
                    hint="Were they written to their end? Write or fetch them again.",
                )
            if split:
                plan.layout[split] = shown(names)
        return plan

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Reads the records of the blocks in a random order and checks them as any other picture."""
        found = [(name, int(offset)) for name, some in items for offset in some]
        order = [found[index] for index in rng.permutation(len(found))]
        for chunk in chunks(order):
            yield from self._records(_read_chunk(folder, chunk), feature, label)
        for name in (name for name, some in items if not len(some)):
            rows = ((f"{name}[{number}]", row) for number, row in enumerate(records(posixpath.join(folder, name))))
            while part := list(itertools.islice(rows, BLOCK)):
                yield from self._records(part, feature, label)

    def _records(
        self, rows: Sequence[tuple[str, bytes | Damaged]], feature: Feature, label: Label
    ) -> Iterator[Outcome]:
        parsed = [(source, self._parse(row, source, feature, label)) for source, row in rows]
        good = [(source, value) for source, value in parsed if not isinstance(value, Rejected)]
        yield from (value for _, value in parsed if isinstance(value, Rejected))
        if not isinstance(feature, Image):
            yield from (vector_record(values, name, source) for source, (values, name) in good)
            return
        checked = check_bytes([contents for _, (contents, _) in good], feature.channels, feature.max_pixels)
        for (source, (contents, name)), (_, size, reason, message) in zip(good, checked, strict=True):
            if reason:
                yield Rejected(source, reason, message)
            else:
                yield image_record(contents, size, read_header(contents), name, source)

    def _parse(self, row: bytes | Damaged, source: str, feature: Feature, label: Label) -> Any:
        """(picture's bytes or list of numbers, label), or why not."""
        if isinstance(row, Damaged):
            return Rejected(source, "damaged record", row)
        try:
            values = tf.train.Example.FromString(row).features.feature
        except Exception as error:  # protobuf's DecodeError differs between its implementations
            return Rejected(source, "not a tf.Example", str(error))
        for key in (self.feature, self.label):
            if key not in values or values[key].WhichOneof("kind") is None:
                return Rejected(source, "missing feature", f"no '{key}' among {listed(sorted(values), 8) or 'none'}")
        labels = list(getattr(values[self.label], values[self.label].WhichOneof("kind")).value)
        try:
            name = label_of(labels, label)
        except NoLabel as error:
            one_hot = len(labels) > 1 and sorted(labels)[-2:] in ([0, 1], [0.0, 1.0])
            return Rejected(source, "unknown label", f"'{self.label}': {error}{f'. {ONE_HOT}' if one_hot else ''}")
        if isinstance(feature, Image):
            images = values[self.feature].bytes_list.value
            if len(images) == 1:
                return images[0], name
            what = f"{len(images)} values: a picture is one" if images else "not bytes"
            return Rejected(source, "several pictures" if images else "missing feature", f"'{self.feature}': {what}")
        kind = values[self.feature].WhichOneof("kind")
        numbers = [] if kind == "bytes_list" else [*map(float, getattr(values[self.feature], kind).value)]
        if kind == "bytes_list":
            return Rejected(source, "not numeric", f"'{self.feature}' is bytes, not float or int64")
        if len(numbers) != feature.size:
            return Rejected(source, "wrong size", f"{len(numbers)} numbers, the feature has {feature.size}")
        return numbers, name


def _is_tfrecord(name: str) -> bool:
    return "tfrec" in name.lower()


def _blocks(folder: str, name: str) -> list[tuple[str, np.ndarray]]:
    """Offsets of the records by blocks; none for a compressed file."""
    found = offsets(posixpath.join(folder, name))
    if found is None:
        return [(name, np.empty(0, np.int64))]
    return [(name, np.array(block, np.int64)) for block in chunks(found, BLOCK)]


def _read_chunk(folder: str, chunk: Sequence[tuple[str, int]]) -> list[tuple[str, bytes | Damaged]]:
    """Records with their places, in the order given; each file is opened once."""
    by_file: dict[str, list[int]] = {}
    for name, offset in chunk:
        by_file.setdefault(name, []).append(offset)
    found = {
        (name, offset): record
        for name, wanted in by_file.items()
        for offset, record in zip(wanted, read_at(posixpath.join(folder, name), wanted), strict=True)
    }
    return [(f"{name}@{offset}", found[name, offset]) for name, offset in chunk]
