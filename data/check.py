"""Does TensorFlow decode it? Asked with the transform's own decoder, since PIL's `verify` misses truncated files."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from data import image_ops
from data.errors import own_words
from data.remote import is_remote
from data.spec import MAX_PIXELS

DECODABLE = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp"})
# Pictures all the same: passing over them in silence would lose data, so they go to quarantine.
UNSUPPORTED = frozenset({".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".ppm", ".tga"})


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
        by_kind.setdefault(image_ops.kind_of(one), []).append(index)
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
            lambda one: tf.shape(image_ops.decode_kind(kind, one, channels, max_pixels))[:2],
            batch,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
            parallel_iterations=32,
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


def _read(path: str) -> bytes | Checked:
    """A file's bytes, or why there are none."""
    try:
        if is_remote(path):
            return tf.io.read_file(path).numpy()
        with open(path, "rb") as file:
            return file.read()
    except (OSError, tf.errors.OpError) as error:
        words = error.strerror if isinstance(error, OSError) else own_words(error.message or str(error))
        return Checked(b"", (0, 0), "unreadable", words or str(error))


def _named(path: str, checked: Checked) -> Checked:
    """The verdict, where the file's name says more than its bytes."""
    if checked.reason == "not decodable" and suffix(path) in UNSUPPORTED:
        message = f"TensorFlow decodes JPEG, PNG, GIF and BMP, not {suffix(path)}"
        return checked._replace(reason="unsupported format", message=message)
    return checked


def _check_one(kind: str, contents: bytes, channels: int, max_pixels: int) -> Checked:
    if not contents:
        return Checked(b"", (0, 0), "empty file", "0 bytes")
    try:
        ((height, width),) = _sizes(kind, channels, max_pixels)(tf.constant([contents])).numpy().tolist()
    except tf.errors.OpError as error:
        return Checked(b"", (0, 0), "not decodable", own_words(error.message or str(error)))
    return Checked(contents, (height, width))
