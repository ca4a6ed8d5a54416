"""Check that TensorFlow decodes a file, with the transform's own decoder: PIL's `verify` misses truncated files."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from data.errors import describe_error, op_message
from data.files.remote import is_remote
from data.images import ops, pixel_limit
from data.images.formats import (
    DECODED_TITLES,
    FAMILY_HINT,
    UNSUPPORTED,
    ImageFormat,
    decoder_name,
    find_format,
    suffix,
)
from data.images.headers import jpeg_frame
from data.names import printable
from data.spec import MAX_PIXELS

NO_FILE = "the file no longer exists"
MAX_BYTES = 2**31 - 2**20  # of one file: a serialized tf.train.Example has less than 2 GiB
_DECODED = f"TensorFlow decodes {DECODED_TITLES}"
_UNKNOWN = "not a picture of a known format"
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)  # markers of a JPEG's frame header (ITU T.81, table B.1)
_OTHER_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class Checked(NamedTuple):
    """A file that was checked.

    Attributes:
      contents: the file's bytes, also if it is rejected; empty if it cannot be read.
      size: (height, width) in pixels.
      reason, message: why it is rejected, in two words and in full; empty if it is decoded.
    """

    contents: bytes
    size: tuple[int, int]
    reason: str = ""
    message: str = ""


def check_files(
    paths: Sequence[str], channels: int, max_pixels: int = MAX_PIXELS, background: str = ""
) -> list[Checked]:
    """Read files and decode them in TensorFlow's threads; a bad one is reported, not raised."""
    read = [_read(path) for path in paths]
    decoded = iter(check_bytes([one for one in read if isinstance(one, bytes)], channels, max_pixels, background))
    found = [next(decoded) if isinstance(one, bytes) else one for one in read]
    return [_named(path, checked) for path, checked in zip(paths, found, strict=True)]


def check_bytes(
    contents: Sequence[bytes], channels: int, max_pixels: int = MAX_PIXELS, background: str = ""
) -> list[Checked]:
    """Decode encoded pictures in TensorFlow's threads; a bad one is reported, not raised.

    Args:
      contents: the files.
      channels: 1 or 3.
      max_pixels: as in `Image`.
      background: as in `Image`: with one, a WebP's alpha channel is decoded, and may be damaged.
    """
    checked: list[Checked | None] = [None] * len(contents)
    by_format: dict[str, list[int]] = {}
    for index, one in enumerate(contents):
        by_format.setdefault(decoder_name(one), []).append(index)
    for name, indices in by_format.items():
        decode_sizes = _sizes(name, channels, max_pixels, background)
        results = _check_format(decode_sizes, [contents[index] for index in indices])
        for index, result in zip(indices, results, strict=True):
            checked[index] = result
    return [one for one in checked if one is not None]


Sizes = Callable[[tf.Tensor], tf.Tensor]
"""Decodes pictures of one format, string [N], and returns their sizes, int32 [N, 2]."""


def _check_format(decode_sizes: Sizes, contents: list[bytes]) -> list[Checked]:
    """Decode all files of a format at once; if one fails, one by one, to find out which and why."""
    try:
        sizes = decode_sizes(tf.constant(contents)).numpy().tolist()
    except tf.errors.OpError:
        return [_check_one(decode_sizes, one) for one in contents]
    return [Checked(one, (height, width)) for one, (height, width) in zip(contents, sizes, strict=True)]


@functools.cache
def _sizes(name: str, channels: int, max_pixels: int, background: str) -> Sizes:
    """Return a function that decodes pictures of one format; traced once per process.

    One for each format, because the branches of `ops.decode` take a third of the time of small pictures.
    """
    decode_sizes: Sizes = tf.function(
        lambda batch: tf.map_fn(
            lambda one: tf.shape(ops.decode_as(name, one, channels, max_pixels, background))[:2],
            batch,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
            parallel_iterations=32,
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,  # nothing to convert, and looking takes half a second
    )
    return decode_sizes


def _read(path: str) -> bytes | Checked:
    """Return a file's bytes, or the reason why it cannot be read."""
    try:
        return tf.io.read_file(path).numpy() if is_remote(path) else _read_local(path)
    except (tf.errors.OpError, OSError) as error:
        return _unreadable(describe_error(error))


def _read_local(path: str) -> bytes | Checked:
    """Read a plain file and nothing else: opening a pipe without a writer would wait for ever."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            return _unreadable(f"a link to nowhere: {printable(os.readlink(path))}")
        return _unreadable(NO_FILE)
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _OTHER_KINDS.items() if is_kind(found.st_mode)), "a special file")
        return _unreadable(f"{kind}, not a file")
    if found.st_size > MAX_BYTES:
        return _unreadable(f"{found.st_size} bytes; a record holds less than 2 GiB")
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        return file.read(MAX_BYTES)


def _unreadable(message: str) -> Checked:
    return Checked(b"", (0, 0), "unreadable", message)


def _named(path: str, checked: Checked) -> Checked:
    """Return the result with a better reason if the file's name identifies the format and its bytes do not."""
    if checked.message == _UNKNOWN and suffix(path) in UNSUPPORTED:
        return checked._replace(reason="unsupported format", message=f"{_DECODED}, not {suffix(path)}{FAMILY_HINT}")
    return checked


def _check_one(decode_sizes: Sizes, contents: bytes) -> Checked:
    if not contents:
        return Checked(b"", (0, 0), "empty file", "0 bytes")
    try:
        ((height, width),) = decode_sizes(tf.constant([contents])).numpy().tolist()
    except tf.errors.OpError as error:
        return Checked(contents, (0, 0), *_explain(contents, error.message))
    return Checked(contents, (height, width))


def _explain(contents: bytes, message: str) -> tuple[str, str]:
    """Return the reason and the message for a file that does not decode: the actual cause, in plain words."""
    if pixel_limit.is_refusal(message):
        return "not decodable", op_message(message)
    found = find_format(contents)
    if found is None:
        return "not decodable", _UNKNOWN
    if isinstance(found, ImageFormat) and found.is_decoded:
        return "not decodable", _explain_damage(found, contents, op_message(message))
    if found.is_picture:
        return "unsupported format", f"{found.label}: {_DECODED}{FAMILY_HINT}"
    return "not decodable", f"{found.label}, not a picture"


def _explain_damage(image_format: ImageFormat, contents: bytes, message: str) -> str:
    if image_format.name == "jpeg":
        return _explain_jpeg(contents)
    if image_format.name == "png":
        return _explain_png(contents, message)
    if image_format.name == "gif":
        return "a GIF that is cut off or damaged" if b"," in contents[13:] else "a GIF without a picture"
    if image_format.name == "bmp":
        return f"a damaged BMP: {message}"
    return f"a {image_format.title} that is cut off or damaged"


def _explain_jpeg(contents: bytes) -> str:
    frame = jpeg_frame(contents)
    if frame.marker and frame.bits != 8:
        return f"a JPEG with {frame.bits} bits a sample: TensorFlow decodes 8"
    if frame.marker in _LOSSLESS:
        return "a lossless JPEG, which TensorFlow does not decode"
    if frame.marker and frame.channels not in (1, 3, 4):
        return f"a JPEG with {frame.channels} channels: TensorFlow decodes 1, 3 and 4"
    if contents.rfind(b"\xff\xd9") <= contents.rfind(b"\xff\xda"):  # its end; the start of the pixels
        return "a JPEG that is cut off"
    return "a damaged JPEG"


def _explain_png(contents: bytes, message: str) -> str:
    if b"IEND" not in contents:
        return "a PNG that is cut off"
    return "a damaged PNG" if message.startswith("Invalid PNG") else f"a PNG: {message}"
