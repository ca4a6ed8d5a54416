"""Read TFRecord files of `tf.train.Example`, as other pipelines write them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import UsageError
from data.images.formats import read_header
from data.images.validate import check_bytes
from data.names import list_names
from data.records import LabelValue, Outcome, Rejected, image_record, vector_record
from data.sources.base import BLOCK, batched, chunks
from data.sources.labels import ONE_HOT_HINT, InvalidLabel, indicated_names, parse_label
from data.sources.split_files import FileSource
from data.sources.tfrecord_file import DamagedRecord, read_compressed, read_records_at, record_offsets
from data.spec import Feature, Image, Label, Labels

Parsed = tuple[Any, LabelValue]  # the image's bytes or the list of numbers, and the label


@dataclass(frozen=True)
class TFRecords(FileSource):
    """Source of TFRecord files: every file in the folder whose name contains `tfrecord` or `tfrec`.

    The names of folders and files show the splits (`data.sources.splits`). Checksums are verified. A compressed file
    (gzip or zlib, recognised by its first bytes) is one unit of work, and keeps its order.

    Attributes:
      feature: key of the encoded image (bytes) or of the numbers (float or int64).
      label: key of the label: bytes, int64 or float. Of `Labels`, it has any number of values, names or indices into
        `label.names`; or, with three or more `label.names`, a 0 or 1 for each of them. An empty list means no label.
    """

    KIND: ClassVar[str] = "*tfrecord* or *.tfrec"
    NO_RECORDS: ClassVar[str] = "empty"

    feature: str = "image"
    label: str = "label"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.feature or not self.label:
            raise UsageError("source.feature and source.label must not be empty")

    @staticmethod
    def is_data_file(name: str) -> bool:
        """Return whether the name contains "tfrec", in any case."""
        return "tfrec" in name.lower()

    def list_blocks(self, folder: str, name: str, feature: Feature) -> list[tuple[str, NDArray[np.int64]]]:
        """Find the records of a file, in one pass over their lengths.

        Returns:
          (file below `folder`, offsets of its records) of each block; a compressed file is one block without offsets.

        Raises:
          DataError: If the file is not a TFRecord file, is cut off or is damaged.
        """
        offsets = record_offsets(posixpath.join(folder, name))
        if offsets is None:
            return [(name, np.empty(0, np.int64))]
        return [(name, np.array(block, np.int64)) for block in chunks(offsets, BLOCK)]

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read the records of the blocks in a random order, and check them as `ImageFolder` checks images."""
        places = [(name, int(offset)) for name, offsets in items for offset in offsets]
        order = [places[index] for index in rng.permutation(len(places))]
        for chunk in chunks(order):
            yield from self._make_records(_read_chunk(folder, chunk), feature, label)
        for name in (name for name, offsets in items if not len(offsets)):
            records = read_compressed(posixpath.join(folder, name))
            for batch in batched(((f"{name}[{number}]", record) for number, record in enumerate(records)), BLOCK):
                yield from self._make_records(batch, feature, label)

    def _make_records(
        self, rows: Sequence[tuple[str, bytes | DamagedRecord]], feature: Feature, label: Label
    ) -> Iterator[Outcome]:
        """Parse and check rows, (source, serialized example)."""
        good: list[tuple[str, Parsed]] = []
        for source, row in rows:
            parsed = self._parse(row, source, feature, label)
            if isinstance(parsed, Rejected):
                yield parsed
            else:
                good.append((source, parsed))
        if not isinstance(feature, Image):
            yield from (vector_record(values, name, source) for source, (values, name) in good)
            return
        pictures = [contents for _, (contents, _) in good]
        checked = check_bytes(pictures, feature.channels, feature.max_pixels, feature.background)
        for (source, (contents, name)), (_, size, reason, message) in zip(good, checked, strict=True):
            if reason:
                yield Rejected(source, reason, message, contents)
            else:
                yield image_record(contents, size, read_header(contents), name, source)

    def _parse(self, row: bytes | DamagedRecord, source: str, feature: Feature, label: Label) -> Parsed | Rejected:
        """Return the feature's value and the label of a serialized example, or the reason to reject it."""
        if isinstance(row, DamagedRecord):
            return Rejected(source, "damaged record", row)
        try:
            values = tf.train.Example.FromString(row).features.feature
        except Exception as error:  # protobuf's implementations raise different DecodeErrors
            return Rejected(source, "not a tf.Example", str(error))
        for key in (self.feature, self.label):
            if key not in values or values[key].WhichOneof("kind") is None:
                return Rejected(
                    source, "missing feature", f"no '{key}' among {list_names(sorted(values), 8) or 'none'}"
                )
        labels = _values(values[self.label])
        try:
            name = _parse_labels(labels, label) if isinstance(label, Labels) else parse_label(labels, label)
        except InvalidLabel as error:
            one_hot = not isinstance(label, Labels) and len(labels) > 1 and sorted(labels)[-2:] in ([0, 1], [0.0, 1.0])
            return Rejected(source, "unknown label", f"'{self.label}': {error}{f'. {ONE_HOT_HINT}' if one_hot else ''}")
        if isinstance(feature, Image):
            contents = self._image(values, source)
            return contents if isinstance(contents, Rejected) else (contents, name)
        numbers = self._numbers(values, source, feature.size)
        return numbers if isinstance(numbers, Rejected) else (numbers, name)

    def _image(self, values: Mapping[str, Any], source: str) -> bytes | Rejected:
        """Return the encoded image of an example, or the reason to reject it."""
        images = values[self.feature].bytes_list.value
        if len(images) == 1:
            return bytes(images[0])
        problem = f"{len(images)} values: a picture has one value" if images else "not bytes"
        return Rejected(source, "several pictures" if images else "missing feature", f"'{self.feature}': {problem}")

    def _numbers(self, values: Mapping[str, Any], source: str, size: int) -> list[float] | Rejected:
        """Return the numbers of an example, or the reason to reject it."""
        feature = values[self.feature]
        if feature.WhichOneof("kind") == "bytes_list":
            return Rejected(source, "not numeric", f"'{self.feature}' is bytes, not float or int64")
        numbers = [float(value) for value in _values(feature)]
        if len(numbers) != size:
            return Rejected(source, "wrong size", f"{len(numbers)} numbers, but the feature has {size}")
        return numbers


def _parse_labels(values: Sequence[Any], label: Labels) -> LabelValue:
    """Return the names that a list of any number of values means.

    A list of 0 and 1 as long as three or more `label.names` repeats a number, so that it cannot be a list of indices.

    Raises:
      InvalidLabel: If a value cannot be a label, a number is repeated, or the list has two meanings.
    """
    if any(isinstance(value, bytes) for value in values):
        return parse_label(values, label)
    if len(label.names) == 2 and sorted(values) == [0, 1]:
        raise InvalidLabel(f"{list(values)} may be two indices, or a 0 or 1 for each label: write names instead")
    if len(values) == len(label.names) > 2 and all(value in (0, 1) for value in values):
        return indicated_names(values, label.names)
    if len(set(values)) < len(values):
        raise InvalidLabel(
            f"{len(values)} numbers with repeats: a 0 or 1 for each label needs label.names, three or more, as many as"
            " there are numbers"
        )
    return parse_label(values, label)


def _values(feature: Any) -> list[Any]:
    """Return the values of a `tf.train.Feature` of any kind."""
    return list(getattr(feature, feature.WhichOneof("kind")).value)


def _read_chunk(folder: str, chunk: Sequence[tuple[str, int]]) -> list[tuple[str, bytes | DamagedRecord]]:
    """Read records in the order given, and return each with its place; each file is opened once."""
    by_file: dict[str, list[int]] = {}
    for name, offset in chunk:
        by_file.setdefault(name, []).append(offset)
    records = {
        (name, offset): record
        for name, offsets in by_file.items()
        for offset, record in zip(offsets, read_records_at(posixpath.join(folder, name), offsets), strict=True)
    }
    return [(f"{name}@{offset}", records[name, offset]) for name, offset in chunk]
