"""Stored PNG files: decoders and slicing read the same pixels."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow

from data.images import stored_png
from data.images.ops import decode_batch
from data.spec import Image

SIZES = [(28, 28, 1), (32, 32, 3), (64, 64, 3), (1, 1, 1), (3, 5, 3), (7, 2, 1)]


def pictures(shape: tuple[int, int, int], count: int = 5) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("shape", SIZES)
def test_other_decoders_read_them(shape: tuple[int, int, int]) -> None:
    pixels = pictures(shape)
    for file, wanted in zip(stored_png.encode(pixels), pixels, strict=True):
        opened = Pillow.open(io.BytesIO(file))
        opened.verify()  # the checksums
        assert opened.format == "PNG"
        np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(file))).reshape(shape), wanted)
        np.testing.assert_array_equal(tf.io.decode_png(file), wanted)


@pytest.mark.parametrize("shape", SIZES)
def test_slicing_gives_the_same(shape: tuple[int, int, int], in_both: Callable[..., np.ndarray]) -> None:
    pixels = pictures(shape)
    files = stored_png.encode(pixels)
    assert in_both(lambda some: stored_png.are_stored(some, *shape), tf.constant(files))
    np.testing.assert_array_equal(in_both(lambda some: stored_png.decode(some, *shape), tf.constant(files)), pixels)
    np.testing.assert_array_equal(decode_batch(tf.constant(files), Image(*shape)), pixels)


def test_a_png_of_another_form_is_recognised_and_decoded(encode: Callable[..., bytes]) -> None:
    pixels = pictures((28, 28, 1))
    files = stored_png.encode(pixels)
    head = len(stored_png._head(28, 28, 1))
    filtered = files[1][:head] + b"\x02" + files[1][head + 1 :]  # the first row says that it adds the row above: none
    others = {
        "compressed": encode(pixels[1, :, :, 0], "PNG"),
        "TensorFlow's": tf.io.encode_png(pixels[1], 0).numpy(),
        "JPEG": encode(pixels[1, :, :, 0], "JPEG"),
        "filtered": filtered,
        "longer": files[1] + b"\0",
    }
    for name, other in others.items():
        mixed = tf.constant([files[0], other, files[2]])
        assert not stored_png.are_stored(mixed, 28, 28, 1), name
        if name not in ("JPEG", "filtered"):
            np.testing.assert_array_equal(decode_batch(mixed, Image(28, 28, 1)), pixels[:3], err_msg=name)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_no_picture_is_refused_as_ever(content: bytes) -> None:
    files = [*stored_png.encode(pictures((28, 28, 1))), content]
    assert not stored_png.are_stored(tf.constant(files), 28, 28, 1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_batch(tf.constant(files), Image(28, 28, 1))


def test_no_pictures_at_all() -> None:
    assert decode_batch(tf.zeros([0], tf.string), Image(28, 28, 1)).shape == (0, 28, 28, 1)


def test_what_fits() -> None:
    assert stored_png.fits(64, 64, 3)
    assert not stored_png.fits(64, 65, 3)
    assert not stored_png.fits(4, 4, 4)
