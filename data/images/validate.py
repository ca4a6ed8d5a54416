"""Does TensorFlow decode it? Asked with the transform's own decoder, since PIL's `verify` misses truncated files."""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from data.errors import op_message
from data.files.remote import is_remote
from data.images import ops, pixel_limit
from data.images.file_kinds import file_kind
from data.images.formats import DECODED, OTHERS, SUFFIXES
from data.images.headers import jpeg_frame
from data.names import printable
from data.spec import MAX_PIXELS

# Pictures all the same: passing over them in silence would lose data, so they go to quarantine.
UNSUPPORTED = (
    frozenset({".webp", ".jxl", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".ppm", ".tga"}) - SUFFIXES
)
MAX_BYTES = 2**31 - 2**20  # of one file: a serialized tf.train.Example has less than 2 GiB
_DECODED = f"TensorFlow decodes {DECODED}"
_UNKNOWN = "no picture of a known kind"
_PNG = b"\x89PNG\r\n\x1a\n"
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_OTHER_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class Checked(NamedTuple):
    """contents: the file's bytes; size: (height, width) in pixels; reason, message: why it is refused, or empty."""

    contents: bytes
    size: tuple[int, int]
    reason: str = ""
    message: str = ""


def suffix(name: str) -> str:
    """The lower-case suffix of a file's name, with its dot."""
    return posixpath.splitext(name)[1].lower()


def check_files(paths: Sequence[str], channels: int, max_pixels: int = MAX_PIXELS) -> list[Checked]:
    """Reads the files, and decodes them in TensorFlow's threads; never raises for a bad one."""
    read = [_read(path) for path in paths]
    decoded = iter(check_bytes([one for one in read if isinstance(one, bytes)], channels, max_pixels))
    found = [next(decoded) if isinstance(one, bytes) else one for one in read]
    return [_named(path, checked) for path, checked in zip(paths, found, strict=True)]


def check_bytes(contents: Sequence[bytes], channels: int, max_pixels: int = MAX_PIXELS) -> list[Checked]:
    """Decodes encoded pictures in TensorFlow's threads; never raises for a bad one."""
    checked: list[Checked | None] = [None] * len(contents)
    by_kind: dict[str, list[int]] = {}
    for index, one in enumerate(contents):
        by_kind.setdefault(ops.kind_of(one), []).append(index)
    for kind, indices in by_kind.items():
        results = _check_kind(kind, [contents[index] for index in indices], channels, max_pixels)
        for index, result in zip(indices, results, strict=True):
            checked[index] = result
    return [one for one in checked if one is not None]


def _check_kind(kind: str, contents: list[bytes], channels: int, max_pixels: int) -> list[Checked]:
    """All at once; only where one of them fails, one by one, to find out which and why."""
    try:
        sizes = _sizes(kind, channels, max_pixels)(tf.constant(contents)).numpy().tolist()
    except tf.errors.OpError:
        return [_check_one(kind, one, channels, max_pixels) for one in contents]
    return [Checked(one, (height, width)) for one, (height, width) in zip(contents, sizes, strict=True)]


@functools.cache
def _sizes(kind: str, channels: int, max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Decodes pictures of one kind, string [N], to their sizes, int32 [N, 2]; traced once per process.

    By kind, because the branches of `image_ops.decode` cost a third of the time of small pictures.
    """
    return tf.function(
        lambda batch: tf.map_fn(
            lambda one: tf.shape(ops.decode_kind(kind, one, channels, max_pixels))[:2],
            batch,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
            parallel_iterations=32,
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def _read(path: str) -> bytes | Checked:
    """A file's bytes, or why there are none."""
    try:
        return tf.io.read_file(path).numpy() if is_remote(path) else _read_local(path)
    except tf.errors.OpError as error:
        return _unreadable(op_message(error.message))
    except OSError as error:
        return _unreadable(error.strerror or str(error))


def _read_local(path: str) -> bytes | Checked:
    """Opens nothing but plain files: a pipe without a writer would be waited for without an end."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            return _unreadable(f"a link to nowhere: {printable(os.readlink(path))}")
        return _unreadable("it is not there any more")
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
    """The verdict, where the file's name says more than its bytes."""
    if checked.message == _UNKNOWN and suffix(path) in UNSUPPORTED:
        return checked._replace(reason="unsupported format", message=f"{_DECODED}, not {suffix(path)}{OTHERS}")
    return checked


def _check_one(kind: str, contents: bytes, channels: int, max_pixels: int) -> Checked:
    if not contents:
        return Checked(b"", (0, 0), "empty file", "0 bytes")
    try:
        ((height, width),) = _sizes(kind, channels, max_pixels)(tf.constant([contents])).numpy().tolist()
    except tf.errors.OpError as error:
        return Checked(b"", (0, 0), *_why(kind, contents, error.message))
    return Checked(contents, (height, width))


def _why(kind: str, contents: bytes, message: str) -> tuple[str, str]:
    """The reason and the message for a file that does not decode: the true cause, in plain words."""
    words = op_message(message)
    if pixel_limit.is_ours(message):
        return "not decodable", words
    if kind == "png" and not contents.startswith(_PNG):  # of no kind that is decoded
        found = file_kind(contents)
        if found is None:
            return "not decodable", _UNKNOWN
        if found.is_picture:
            return "unsupported format", f"{found.name}: {_DECODED}{OTHERS}"
        return "not decodable", f"{found.name}, not a picture"
    if kind == "jpeg":
        return "not decodable", _why_jpeg(contents)
    if kind == "png":
        if b"IEND" not in contents:
            return "not decodable", "a PNG that is cut off"
        return "not decodable", "a damaged PNG" if words.startswith("Invalid PNG") else f"a PNG: {words}"
    if kind == "gif":
        return "not decodable", "a GIF that is cut off or damaged" if b"," in contents[
            13:
        ] else "a GIF without a picture"
    if kind == "bmp":
        return "not decodable", f"a damaged BMP: {words}"
    return "not decodable", f"a {'WebP' if kind == 'webp' else 'JPEG XL'} that is cut off or damaged"


def _why_jpeg(contents: bytes) -> str:
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
