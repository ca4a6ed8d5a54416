"""Records: `tf.train.Example`s of an encoded picture or of numbers, with a label.

The record of a picture has the unchanged bytes of the file and facts about it, which data validation checks:

    image             bytes    the encoded file
    image/width       int64    pixels as they are stored, before any turn by EXIF
    image/height      int64    pixels as they are stored
    image/channels    int64    channels in the file, before any conversion
    image/bytes       int64    size of the file
    image/format      bytes    "jpeg", "png", "gif", "bmp", "webp" or "jxl"
    image/source      bytes    path below the data folder (the file system's bytes), or "<file>[<row>]"
    label             bytes    the class's name (UTF-8), or any number of names, or float for a number

A source may add further features, texts by which an evaluation is sliced. A record of numbers has `features`
(float [size]) and `label`.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Union

import numpy as np
import tensorflow as tf

from data.images.headers import FLAT, SIXTEEN_BITS, Header
from data.names import to_bytes, to_utf8
from data.spec import IMAGE, LABEL, VECTOR, Classes, Feature, Image, Label, Labels

LabelValue = Union[str, float, tuple[str, ...]]
"""The label of a record: the name of a class, a number, or any number of names."""

FACTS = ("image/width", "image/height", "image/channels", "image/bytes", "image/format", "image/source")


_FLAT_RANGE = 32  # of 256: the range that a camera of up to 13 bits uses in the upper byte


@dataclass(frozen=True)
class Record:
    """A serialized example for a shard.

    Attributes:
      example: the serialized `tf.train.Example`.
      digest: 64 bits of the content's SHA-256, unsigned; equal pictures have equal digests.
      labels: the names that apply, each once: of `Classes` one, of `Labels` any number; empty if the label is a number.
      source: path or row, for reports.
      remarks: keys of `headers.REMARKS`.
    """

    example: bytes
    digest: int
    labels: tuple[str, ...]
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """An input that goes to quarantine.

    Attributes:
      source: path or row, for reports.
      reason: why, in two words.
      message: the reason in full, or the decoder's message.
      contents: the encoded file, if it was read: Pillow may show what TensorFlow does not decode.
    """

    source: str
    reason: str
    message: str = ""
    contents: bytes = field(default=b"", repr=False, compare=False)


Outcome = Union[Record, Rejected]


def digest(content: bytes) -> int:
    """Return the first 64 bits of SHA-256, unsigned. It decides the split and identifies duplicates."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def image_record(
    contents: bytes,
    size: tuple[int, int],
    header: Header,
    label: LabelValue,
    source: str,
    *,
    content: bytes | None = None,
    extras: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of a picture.

    Args:
      contents: the encoded file.
      size: height and width in pixels.
      header: the result of `formats.read_header`.
      label: the class's name, a number, or names, each once.
      source: the path or row, for reports.
      content: bytes to compute the digest of, if they are not `contents` (pixels that were encoded here).
      extras: further features of the record, a text each, by name.
    """
    height, width = size
    label = _text(label)
    example = encode_image_example(contents, height, width, header, label, to_bytes(source), extras or {})
    return Record(
        example, digest(contents if content is None else content), _names(label), source, remarks(contents, header)
    )


def remarks(contents: bytes, header: Header) -> tuple[str, ...]:
    """Return keys of `headers.REMARKS`: those of the header; for a PNG of 16 bits, `FLAT` if its upper 8 are flat."""
    if SIXTEEN_BITS not in header.remarks:
        return header.remarks
    colours = tf.io.decode_png(contents).numpy()[..., : 1 if header.channels <= 2 else 3]
    deep = FLAT if np.ptp(colours) < _FLAT_RANGE else SIXTEEN_BITS
    return tuple(deep if one == SIXTEEN_BITS else one for one in header.remarks)


def vector_record(values: Sequence[float], label: LabelValue, source: str) -> Outcome:
    """Return a record of numbers, or reject it if a value is not finite in float32: one NaN makes all weights NaN.

    Args:
      values: the numbers.
      label: the class's name, a number, or names, each once.
      source: the path or row, for reports.
    """
    limit = float(np.finfo(np.float32).max)
    if not all(abs(value) <= limit for value in values):
        return Rejected(source, "not numeric", "a value is not a finite float32")
    example = tf.train.Example()
    feature = example.features.feature
    feature[VECTOR].float_list.value.extend(values)
    label = _text(label)
    if isinstance(label, float):
        feature[LABEL].float_list.value.append(label)
    else:
        feature[LABEL].bytes_list.SetInParent()  # also without a value: the label is known to be none of the names
        feature[LABEL].bytes_list.value.extend(name.encode() for name in label)
    serialized = example.SerializeToString(deterministic=True)  # otherwise each process has another order of a map
    return Record(serialized, digest(repr(list(values)).encode()), _names(label), source)


def _text(label: LabelValue) -> float | tuple[str, ...]:
    """Return a number, or names as UTF-8, which schemas and servers' answers require."""
    if isinstance(label, (str, tuple)):
        return tuple(map(to_utf8, (label,) if isinstance(label, str) else label))
    return float(label)


def _names(label: float | tuple[str, ...]) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else ()


def _varint(value: int) -> bytes:
    """Encode a number as a base-128 integer of protocol buffers."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """Encode a length-delimited field."""
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _bytes_entry(name: str, *values: bytes) -> bytes:
    """Encode an entry of `Features.feature`, a map<string, Feature>, with a `bytes_list` of the values."""
    listed = b"".join([_field(1, value) for value in values])
    return _field(1, _field(1, name.encode()) + _field(2, _field(1, listed)))


@functools.lru_cache(maxsize=4096)
def _int_entry(name: str, value: int) -> bytes:
    """Encode an entry with an `int64_list` of one value, packed."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(3, _field(1, _varint(value)))))


def _float_entry(name: str, value: float) -> bytes:
    """Encode an entry with a `float_list` of one value, packed."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(2, _field(1, struct.pack("<f", value)))))


# Values that many pictures have (sizes, formats, labels) are encoded once.
_shared_bytes_entry = functools.lru_cache(maxsize=4096)(_bytes_entry)


@functools.lru_cache(maxsize=4096)
def _label_entry(names: tuple[str, ...]) -> bytes:
    return _bytes_entry(LABEL, *(name.encode() for name in names))


def encode_image_example(
    contents: bytes,
    height: int,
    width: int,
    header: Header,
    label: float | tuple[str, ...],
    source: bytes,
    extras: Mapping[str, str],
) -> bytes:
    """Encode a picture's `tf.train.Example` directly in protobuf's wire format.

    Building the message was the slowest part of ingestion (30 of 70 us a picture). The tests parse the result.
    """
    return _field(
        1,
        b"".join(
            (
                _bytes_entry(IMAGE, contents),
                _int_entry("image/width", width),
                _int_entry("image/height", height),
                _int_entry("image/channels", header.channels),
                _int_entry("image/bytes", len(contents)),
                _shared_bytes_entry("image/format", header.format.encode()),
                _bytes_entry("image/source", source),
                _float_entry(LABEL, label) if isinstance(label, float) else _label_entry(label),
                *(_shared_bytes_entry(name, to_utf8(value).encode()) for name, value in extras.items()),
            )
        ),
    )


def parse_spec(feature: Feature, label: Label | None) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """Return the specification with which `tf.io.parse_example` reads the feature and, if given, the label."""
    if isinstance(feature, Image):
        spec = {IMAGE: tf.io.FixedLenFeature([], tf.string)}
    else:
        spec = {VECTOR: tf.io.FixedLenFeature([feature.size], tf.float32)}
    if isinstance(label, Labels):
        spec[LABEL] = tf.io.VarLenFeature(tf.string)
    elif label is not None:
        spec[LABEL] = tf.io.FixedLenFeature([], tf.string if isinstance(label, Classes) else tf.float32)
    return spec
