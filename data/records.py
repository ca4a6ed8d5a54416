"""Records: `tf.train.Example`s of an encoded picture or of numbers, with a label.

The record of a picture has the unchanged bytes of the file and facts about it, which data validation checks:

    image             bytes    the encoded file
    image/width       int64    pixels
    image/height      int64    pixels
    image/channels    int64    channels in the file, before any conversion
    image/bytes       int64    size of the file
    image/format      bytes    "jpeg", "png", "gif", "bmp", "webp" or "jxl"
    image/source      bytes    path below the data folder (the file system's bytes), or "<file>[<row>]"
    label             bytes    the class's name (UTF-8), or float for a number

A record of numbers has `features` (float [size]) and `label`.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np
import tensorflow as tf

from data.images.headers import FLAT, SIXTEEN_BITS, Header
from data.names import to_bytes, to_utf8
from data.spec import IMAGE, LABEL, VECTOR, Classes, Feature, Image, Label, Labels

FACTS = ("image/width", "image/height", "image/channels", "image/bytes", "image/format", "image/source")


_FLAT_RANGE = 32  # of 256: the range that a camera of up to 13 bits uses in the upper byte


@dataclass(frozen=True)
class Record:
    """A serialized example for a shard.

    Attributes:
      example: the serialized `tf.train.Example`.
      digest: 64 bits of the content's SHA-256, unsigned; equal pictures have equal digests.
      label: the class's name; empty if the label is a number.
      source: path or row, for reports.
      remarks: keys of `headers.REMARKS`.
    """

    example: bytes
    digest: int
    label: str
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """An input that goes to quarantine.

    Attributes:
      source: path or row, for reports.
      reason: why, in two words.
      message: the reason in full, or the decoder's message.
    """

    source: str
    reason: str
    message: str = ""


Outcome = Union[Record, Rejected]


def digest(content: bytes) -> int:
    """Return the first 64 bits of SHA-256, unsigned. It decides the split and identifies duplicates."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def image_record(
    contents: bytes,
    size: tuple[int, int],
    header: Header,
    label: str | float,
    source: str,
    *,
    content: bytes | None = None,
) -> Record:
    """Return the record of a picture.

    Args:
      contents: the encoded file.
      size: height and width in pixels.
      header: the result of `formats.read_header`.
      label: the class's name, or a number.
      source: the path or row, for reports.
      content: bytes to compute the digest of, if they are not `contents` (pixels that were encoded here).
    """
    height, width = size
    label = _text(label)
    value = label.encode() if isinstance(label, str) else label
    example = encode_image_example(contents, height, width, header, value, to_bytes(source))
    return Record(
        example, digest(contents if content is None else content), _class(label), source, remarks(contents, header)
    )


def remarks(contents: bytes, header: Header) -> tuple[str, ...]:
    """Return keys of `headers.REMARKS`: those of the header; for a PNG of 16 bits, `FLAT` if its upper 8 are flat."""
    if SIXTEEN_BITS not in header.remarks:
        return header.remarks
    colours = tf.io.decode_png(contents).numpy()[..., : 1 if header.channels <= 2 else 3]
    deep = FLAT if np.ptp(colours) < _FLAT_RANGE else SIXTEEN_BITS
    return tuple(deep if one == SIXTEEN_BITS else one for one in header.remarks)


def vector_record(values: Sequence[float], label: str | float, source: str) -> Outcome:
    """Return a record of numbers, or reject it if a value is not finite in float32: one NaN makes all weights NaN.

    Args:
      values: the numbers.
      label: the class's name, or a number.
      source: the path or row, for reports.
    """
    limit = float(np.finfo(np.float32).max)
    if not all(abs(value) <= limit for value in values):
        return Rejected(source, "not numeric", "a value is not a finite float32")
    example = tf.train.Example()
    feature = example.features.feature
    feature[VECTOR].float_list.value.extend(values)
    label = _text(label)
    if isinstance(label, str):
        feature[LABEL].bytes_list.value.append(label.encode())
    else:
        feature[LABEL].float_list.value.append(label)
    serialized = example.SerializeToString(deterministic=True)  # otherwise each process has another order of a map
    return Record(serialized, digest(repr(list(values)).encode()), _class(label), source)


def _text(label: str | float) -> str | float:
    """Return the label; the name of a class as UTF-8, which schemas and servers' answers require."""
    return to_utf8(label) if isinstance(label, str) else label


def _class(label: str | float) -> str:
    return label if isinstance(label, str) else ""


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


def _bytes_entry(name: str, value: bytes) -> bytes:
    """Encode an entry of `Features.feature`, a map<string, Feature>, with a `bytes_list` of one value."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(1, _field(1, value))))


@functools.lru_cache(maxsize=4096)
def _int_entry(name: str, value: int) -> bytes:
    """Encode an entry with an `int64_list` of one value, packed."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(3, _field(1, _varint(value)))))


def _float_entry(name: str, value: float) -> bytes:
    """Encode an entry with a `float_list` of one value, packed."""
    return _field(1, _field(1, name.encode()) + _field(2, _field(2, _field(1, struct.pack("<f", value)))))


# Values that many pictures have (sizes, formats, labels) are encoded once.
_shared_bytes_entry = functools.lru_cache(maxsize=4096)(_bytes_entry)


def encode_image_example(
    contents: bytes, height: int, width: int, header: Header, label: bytes | float, source: bytes
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
                _shared_bytes_entry(LABEL, label) if isinstance(label, bytes) else _float_entry(LABEL, label),
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
