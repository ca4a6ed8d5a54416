"""A sample of records chosen to find trouble: every class, every extreme, every kind of file, and some at random."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from data.errors import DataError, first_line
from data.images import ops
from data.images.edge_cases import KINDS, kinds_of, odd_picture
from data.images.headers import read_header
from data.records import image_record, parse_spec
from data.spec import IMAGE, LABEL, VECTOR, Classes, Feature, Image, Label

_BATCH = 1024  # records parsed in one call
_FRAME = 16  # bytes that TFRecord adds to a record: its length and a checksum of this before it, one of itself after
_HEAD = 512  # bytes of a record that are searched for EXIF: the picture comes first in it, and EXIF first in this
_COLUMNS = 16  # numbers of a row whose extremes are looked for
_JPEG = b"\xff\xd8\xff"

Reasons = Iterator[tuple[int, str]]  # row, why


@dataclass(frozen=True)
class Probe:
    """One record of the sample.

    Attributes:
      record: serialized `tf.train.Example`, label included.
      why: what it was chosen for, e.g. "class horse, smallest", "png", "made: CMYK JPEG" or "random".
    """

    record: bytes
    why: str


def choose_probes(files: Sequence[str], feature: Feature, label: Label, limit: int = 64, seed: int = 0) -> list[Probe]:
    """Chooses records, none of them twice; the same ones in the same order for the same files and seed.

    Pictures: the first of each class; the fewest and most pixels and bytes; the tallest and the widest; the first of
    each format, number of channels and EXIF orientation. Numbers: the first of each class or the extremes of the label,
    and those of each of the first 16 columns. Where all records have the same value there is no extreme. Then some at
    random. Pictures of `odd_pictures.KINDS` that are still missing are made of the first one chosen.

    The facts are read first, then the chosen records alone: memory does not grow with the pictures.

    Args:
      files: TFRecord shards, uncompressed.
      feature, label: what they hold. A picture's facts (`records.FACTS`) may be missing; then so are their extremes.
      limit: up to how many the random ones fill the sample. What is chosen for a reason stays, however many they are;
        what is made comes on top.
      seed: of the random ones.

    Raises:
      DataError: there are no records, or they cannot be read.
    """
    try:
        sizes, facts = _read_facts(files, feature, label)
        reasons = _collect_reasons(facts, feature, label)
        rest = [row for row in range(len(sizes)) if row not in reasons]
        for row in np.random.default_rng(seed).permutation(rest)[: max(0, limit - len(reasons))]:
            reasons[int(row)] = "random"
        records = _read_rows(files, sizes, list(reasons))
        picked = [Probe(record, why) for record, why in zip(records, reasons.values(), strict=True)]
    except tf.errors.OpError as error:
        raise DataError(
            f"cannot read the records of {files[0]}{' and others' * (len(files) > 1)}: {first_line(error)}",
            hint="TFRecord shards of tf.train.Example, uncompressed, with the task's feature and label are needed.",
        ) from error
    if isinstance(feature, Image):
        present = set().union(*(kinds_of(_parse_example(one.record)[IMAGE].bytes_list.value[0]) for one in picked))
        picked += make_edge_cases(picked[0].record, feature, present)
    return picked


def make_edge_cases(example: bytes, feature: Image, present: Collection[str] = ()) -> list[Probe]:
    """Pictures of each of `odd_pictures.KINDS`, with the label of the one that they are made of.

    A kind that the feature's own decoder refuses (CMYK to grey) is left out.

    Args:
      example: serialized `tf.train.Example` of a picture and its label.
      feature: no picture has more than its `max_pixels`.
      present: the kinds that are not needed.
    """
    features = _parse_example(example)
    text, number = features[LABEL].bytes_list.value, features[LABEL].float_list.value
    label = text[0].decode() if text else number[0]
    pixels = _decode(features[IMAGE].bytes_list.value[0], 3, feature.max_pixels)
    if pixels is None:
        return []
    found = []
    for kind in KINDS:
        if kind in present or (kind == "CMYK JPEG" and feature.channels == 1):  # which libjpeg refuses, on stderr
            continue
        contents = odd_picture(kind, pixels, feature.max_pixels)
        decoded = _decode(contents, feature.channels, feature.max_pixels)
        if decoded is not None:
            why, (height, width) = f"made: {kind}", decoded.shape[:2]
            record = image_record(contents, (height, width), read_header(contents), label, why)
            found.append(Probe(record.example, why))
    return found


def _decode(contents: bytes, channels: int, max_pixels: int) -> np.ndarray | None:
    """uint8 [height, width, channels]; None where it cannot be decoded to so many channels."""
    try:
        # The kind is known here: `decode` would trace a function for each GIF.
        return ops.decode_kind(ops.kind_of(contents), tf.constant(contents), channels, max_pixels).numpy()
    except tf.errors.InvalidArgumentError:
        return None


def _parse_example(serialized: bytes) -> Any:
    """The map of an example's features."""
    return tf.train.Example.FromString(serialized).features.feature


def _read_facts(files: Sequence[str], feature: Feature, label: Label) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Sizes of the serialized records in bytes, int64 [N], and columns [N] of facts; `image` is never parsed."""
    if isinstance(feature, Image):
        whole = ("image/width", "image/height", "image/channels", "image/bytes")
        spec = {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in whole}
        spec["image/format"] = tf.io.FixedLenFeature([], tf.string, "")
        spec[LABEL] = parse_spec(feature, label)[LABEL]
    else:
        spec = parse_spec(feature, label)

    @tf.autograph.experimental.do_not_convert
    def parsed(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        found = {"size": tf.strings.length(serialized), **tf.io.parse_example(serialized, spec)}
        if isinstance(feature, Image):
            found["head"] = tf.strings.substr(serialized, 0, _HEAD)
        else:
            found[VECTOR] = found[VECTOR][:, :_COLUMNS]
        return found

    batches = []
    dataset = tf.data.TFRecordDataset(list(files)).batch(_BATCH).map(parsed, num_parallel_calls=2).prefetch(2)
    for batch in dataset.as_numpy_iterator():
        if isinstance(feature, Image):
            batch["orientation"] = np.array([_read_orientation(head) for head in batch.pop("head")])
        batches.append(batch)
    if not batches:
        raise DataError(f"no records in {', '.join(files) or 'no files'}", hint="Is the split empty?")
    facts = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return facts.pop("size").astype(np.int64), facts


def _read_orientation(head: bytes) -> int:
    """EXIF's, as far as a record's first bytes tell; 1 where they do not."""
    return read_header(head[head.find(_JPEG) :]).orientation if b"Exif" in head and _JPEG in head else 1


def _read_rows(files: Sequence[str], sizes: np.ndarray, rows: Sequence[int]) -> list[bytes]:
    """The records of these rows: where each one lies follows from the sizes of those before it."""
    ends = np.cumsum(sizes + _FRAME)
    file_ends = np.cumsum([tf.io.gfile.stat(file).length for file in files])
    found: dict[int, bytes] = {}
    for number, file in enumerate(files):
        begin = int(file_ends[number - 1]) if number else 0
        with tf.io.gfile.GFile(file, "rb") as opened:
            for row in sorted(row for row in rows if begin < ends[row] <= file_ends[number]):
                opened.seek(int(ends[row]) - int(sizes[row]) - 4 - begin)
                found[row] = opened.read(int(sizes[row]))
    return [found[row] for row in rows]


def _collect_reasons(facts: dict[str, np.ndarray], feature: Feature, label: Label) -> dict[int, str]:
    """The rows to choose, in order, and why; a row with several reasons has them all."""
    found: dict[int, list[str]] = {}
    for source in (
        _label_reasons(facts[LABEL], label),
        _image_reasons(facts) if isinstance(feature, Image) else _vector_reasons(facts),
    ):
        for row, why in source:
            found.setdefault(row, []).append(why)
    return {row: ", ".join(whys) for row, whys in found.items()}


def _label_reasons(labels: np.ndarray, label: Label) -> Reasons:
    if isinstance(label, Classes):
        yield from _first_of_each(labels, lambda name: f"class {name.decode(errors='replace')}")
    else:
        yield from _extremes(labels, "lowest label", "highest label")


def _image_reasons(facts: dict[str, np.ndarray]) -> Reasons:
    width, height, channels = (facts[f"image/{name}"] for name in ("width", "height", "channels"))
    yield from _extremes(width * height, "smallest", "largest")
    yield from _extremes(facts["image/bytes"], "fewest bytes", "most bytes")
    yield from _extremes(width / np.maximum(height, 1), "tallest", "widest")
    yield from _first_of_each(facts["image/format"], lambda name: name.decode() or "unknown format")
    depths = {1: "grey", 2: "grey and alpha", 3: "colour", 4: "four channels"}
    yield from _first_of_each(channels, lambda count: depths.get(int(count), "unknown channels"))
    for row, why in _first_of_each(facts["orientation"], lambda value: f"EXIF orientation {value}"):
        if facts["orientation"][row] > 1:
            yield row, why


def _vector_reasons(facts: dict[str, np.ndarray]) -> Reasons:
    for number, column in enumerate(facts[VECTOR].T):
        yield from _extremes(column, f"lowest of column {number}", f"highest of column {number}")


def _extremes(values: np.ndarray, lowest: str, highest: str) -> Reasons:
    """The first row of the lowest and of the highest value, unless all are equal."""
    low, high = int(np.argmin(values)), int(np.argmax(values))
    if values[low] != values[high]:
        yield low, lowest
        yield high, highest


def _first_of_each(values: np.ndarray, name: Any) -> Reasons:
    """The first row of each value, in the order of the values."""
    for value, row in zip(*np.unique(values, return_index=True), strict=True):
        yield int(row), name(value)
