"""Choose a sample of records that is likely to expose faults: each class, each extreme, each kind of file, and more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data.errors import DataError, first_line
from data.images import ops
from data.images.edge_cases import EDGE_CASES, edge_cases_of, make_edge_case
from data.images.formats import JPEG_MAGIC, PNG_MAGIC, decoder_name, read_header
from data.records import image_record, parse_spec
from data.spec import IMAGE, LABEL, VECTOR, Classes, Feature, Image, Label, Labels

_BATCH = 1024  # records parsed in one call
_HEADER = 12  # bytes before a record's data in a TFRecord file: its length (8) and the length's checksum (4)
_FOOTER = 4  # bytes after it: the data's checksum
_HEAD = (
    512  # bytes of a record to search for EXIF: the image is the record's first feature, EXIF the image's first part
)
_COLUMNS = 16  # columns of a row of numbers that are searched for extremes
_GENERATED = "generated: "
_SEPARATOR = "\0"  # between the names of a record; no name contains a control character

Reasons = Iterator[tuple[int, str]]  # row, reason


@dataclass(frozen=True)
class Probe:
    """A record of the sample.

    Attributes:
      record: serialized `tf.train.Example`, label included.
      reason: why it was chosen, e.g. "class horse, smallest", "png", "generated: CMYK JPEG" or "random".
    """

    record: bytes
    reason: str

    @property
    def is_generated(self) -> bool:
        """Whether the image was generated for the sample, by `make_edge_cases`."""
        return self.reason.startswith(_GENERATED)


def choose_probes(files: Sequence[str], feature: Feature, label: Label, limit: int = 64, seed: int = 0) -> list[Probe]:
    """Choose records, none of them twice; the same files and seed give the same records in the same order.

    Of images: the first of each class; those with the fewest and the most pixels and bytes; the tallest and the widest;
    the first of each format, number of channels and EXIF orientation. Of numbers: the first of each class or the
    extremes of the label, and the extremes of each of the first 16 columns. With several labels: the first with each
    label, the first without one, and one with the most. A value that is the same in all records has no extremes. Then
    random records. Then, for each of `edge_cases.KINDS` that is still missing, an image generated from the first one
    chosen.

    The facts are read first, and then only the chosen records: memory does not grow with the number of images.

    Args:
      files: TFRecord shards, uncompressed.
      feature: the feature that the records hold. An image's facts (`records.FACTS`) may be missing; then it has no
        extremes of these facts.
      label: the label that the records hold.
      limit: size up to which random records fill the sample. Records chosen for a reason always stay, even if there are
        more of them; generated images come on top.
      seed: seed of the random records.

    Raises:
      DataError: If there are no records, or they cannot be read.
    """
    try:
        sizes, facts = _read_facts(files, feature, label)
        reasons = _collect_reasons(facts, feature, label)
        rest = [row for row in range(len(sizes)) if row not in reasons]
        for row in np.random.default_rng(seed).permutation(rest)[: max(0, limit - len(reasons))]:
            reasons[int(row)] = "random"
        records = _read_rows(files, sizes, list(reasons))
        probes = [Probe(record, reason) for record, reason in zip(records, reasons.values(), strict=True)]
    except tf.errors.OpError as error:
        raise DataError(
            f"cannot read the records of {files[0]}{' and others' * (len(files) > 1)}: {first_line(error)}",
            hint="The files must be uncompressed TFRecords of tf.train.Example with the task's feature and label.",
        ) from error
    if isinstance(feature, Image):
        present = set().union(*(edge_cases_of(_parse_example(one.record)[IMAGE].bytes_list.value[0]) for one in probes))
        probes += make_edge_cases(probes[0].record, feature, present)
    return probes


def make_edge_cases(example: bytes, feature: Image, present: Collection[str] = ()) -> list[Probe]:
    """Generate an image of each of `edge_cases.KINDS` from another image, with the same label.

    A kind that the feature's decoder rejects (CMYK to grey) is left out.

    Args:
      example: serialized `tf.train.Example` of an image and its label.
      feature: the task's feature; no generated image has more than its `max_pixels`.
      present: kinds to leave out, because the sample has them already.
    """
    features = _parse_example(example)
    numbers, names = features[LABEL].float_list.value, features[LABEL].bytes_list.value
    label = numbers[0] if numbers else tuple(name.decode() for name in names)
    pixels = _decode(features[IMAGE].bytes_list.value[0], 3, feature.max_pixels)
    if pixels is None:
        return []
    probes = []
    for kind in EDGE_CASES:
        if kind in present or (kind == "CMYK JPEG" and feature.channels == 1):  # libjpeg rejects it, on stderr
            continue
        contents = make_edge_case(kind, pixels, feature.max_pixels)
        decoded = _decode(contents, feature.channels, feature.max_pixels)
        if decoded is not None:
            reason, (height, width) = f"{_GENERATED}{kind}", decoded.shape[:2]
            record = image_record(contents, (height, width), read_header(contents), label, reason)
            probes.append(Probe(record.example, reason))
    return probes


def _decode(contents: bytes, channels: int, max_pixels: int) -> NDArray[np.uint8] | None:
    """Return uint8 [height, width, channels], or None if the image cannot be decoded to this number of channels."""
    try:
        # The kind is known here: `decode` would trace a function for each GIF.
        pixels: NDArray[np.uint8] = ops.decode_as(
            decoder_name(contents), tf.constant(contents), channels, max_pixels
        ).numpy()
    except tf.errors.InvalidArgumentError:
        return None
    return pixels


def _parse_example(serialized: bytes) -> Any:
    """Return the feature map of a serialized example."""
    return tf.train.Example.FromString(serialized).features.feature


def _read_facts(
    files: Sequence[str], feature: Feature, label: Label
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return the sizes of the serialized records in bytes, int64 [N], and columns [N] of facts; never parse `image`."""
    if isinstance(feature, Image):
        whole = ("image/width", "image/height", "image/channels", "image/bytes")
        spec = {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in whole}
        spec["image/format"] = tf.io.FixedLenFeature([], tf.string, "")
        spec[LABEL] = parse_spec(feature, label)[LABEL]
    else:
        spec = parse_spec(feature, label)

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def parse_batch(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = {"size": tf.strings.length(serialized), **tf.io.parse_example(serialized, spec)}
        if isinstance(label, Labels):
            columns[LABEL] = tf.strings.reduce_join(tf.sparse.to_dense(columns[LABEL], ""), 1, separator=_SEPARATOR)
        if isinstance(feature, Image):
            columns["head"] = tf.strings.substr(serialized, 0, _HEAD)
        else:
            columns[VECTOR] = columns[VECTOR][:, :_COLUMNS]
        return columns

    batches = []
    dataset = tf.data.TFRecordDataset(list(files)).batch(_BATCH).map(parse_batch, num_parallel_calls=2).prefetch(2)
    for batch in dataset.as_numpy_iterator():
        if isinstance(feature, Image):
            batch["orientation"] = np.array([_read_orientation(head) for head in batch.pop("head")])
        batches.append(batch)
    if not batches:
        raise DataError(f"no records in {', '.join(files) or 'no files'}", hint="Is the split empty?")
    facts = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return facts.pop("size").astype(np.int64), facts


def _read_orientation(head: bytes) -> int:
    """Return the EXIF orientation of a JPEG or PNG, 1..8, found in a record's first bytes; 1 if there is none."""
    if b"Exif" not in head and b"eXIf" not in head:
        return 1
    starts = [head.find(magic) for magic in (JPEG_MAGIC, PNG_MAGIC) if magic in head]
    return read_header(head[min(starts) :]).orientation if starts else 1


def _read_rows(files: Sequence[str], sizes: NDArray[np.int64], rows: Sequence[int]) -> list[bytes]:
    """Read the records of these rows; a record's offset follows from the sizes of the records before it."""
    ends = np.cumsum(_HEADER + sizes + _FOOTER)
    file_ends = np.cumsum([tf.io.gfile.stat(file).length for file in files])
    found: dict[int, bytes] = {}
    for number, file in enumerate(files):
        begin = int(file_ends[number - 1]) if number else 0
        with tf.io.gfile.GFile(file, "rb") as opened:
            for row in sorted(row for row in rows if begin < ends[row] <= file_ends[number]):
                opened.seek(int(ends[row]) - int(sizes[row]) - _FOOTER - begin)
                found[row] = opened.read(int(sizes[row]))
    return [found[row] for row in rows]


def _collect_reasons(facts: dict[str, NDArray[Any]], feature: Feature, label: Label) -> dict[int, str]:
    """Return the rows to choose, in order, each with all its reasons, separated by commas."""
    found: dict[int, list[str]] = {}
    for source in (
        _label_reasons(facts[LABEL], label),
        _image_reasons(facts) if isinstance(feature, Image) else _vector_reasons(facts),
    ):
        for row, reason in source:
            found.setdefault(row, []).append(reason)
    return {row: ", ".join(reasons) for row, reasons in found.items()}


def _label_reasons(labels: NDArray[Any], label: Label) -> Reasons:
    if isinstance(label, Classes):
        yield from _first_of_each(labels, lambda name: f"class {name.decode(errors='replace')}")
    elif isinstance(label, Labels):
        yield from _several_labels_reasons([joined.decode(errors="replace") for joined in labels])
    else:
        yield from _extremes(labels, "lowest label", "highest label")


def _several_labels_reasons(labels: Sequence[str]) -> Reasons:
    """Yield the first row of each name, the first row without a name, and the first of those with the most names."""
    names = [[name for name in joined.split(_SEPARATOR) if name] for joined in labels]
    first: dict[str, int] = {}
    for row, found in enumerate(names):
        for name in found:
            first.setdefault(name, row)
    for name in sorted(first):
        yield first[name], f"label {name}"
    counts = np.array([len(found) for found in names])
    if not counts.all():
        yield int(np.argmin(counts)), "no label"
    if counts.max() > 1:
        yield int(np.argmax(counts)), "most labels"


def _image_reasons(facts: dict[str, NDArray[Any]]) -> Reasons:
    width, height, channels = (facts[f"image/{name}"] for name in ("width", "height", "channels"))
    yield from _extremes(width * height, "smallest", "largest")
    yield from _extremes(facts["image/bytes"], "fewest bytes", "most bytes")
    yield from _extremes(width / np.maximum(height, 1), "tallest", "widest")
    yield from _first_of_each(facts["image/format"], lambda name: name.decode() or "unknown format")
    depths = {1: "grey", 2: "grey and alpha", 3: "colour", 4: "four channels"}
    yield from _first_of_each(channels, lambda count: depths.get(int(count), "unknown channels"))
    for row, reason in _first_of_each(facts["orientation"], lambda value: f"EXIF orientation {value}"):
        if facts["orientation"][row] > 1:
            yield row, reason


def _vector_reasons(facts: dict[str, NDArray[Any]]) -> Reasons:
    for number, column in enumerate(facts[VECTOR].T):
        yield from _extremes(column, f"lowest of column {number}", f"highest of column {number}")


def _extremes(values: NDArray[Any], lowest: str, highest: str) -> Reasons:
    """Yield the first row of the lowest and of the highest value, unless all are equal."""
    low, high = int(np.argmin(values)), int(np.argmax(values))
    if values[low] != values[high]:
        yield low, lowest
        yield high, highest


def _first_of_each(values: NDArray[Any], describe: Callable[[Any], str]) -> Reasons:
    """Yield the first row of each value, in the order of the values."""
    for value, row in zip(*np.unique(values, return_index=True), strict=True):
        yield int(row), describe(value)
