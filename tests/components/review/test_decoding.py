"""Files that are decoded without a graph, against the graph that training and serving use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from components.review.decoding import decode_as_served, decode_file, decode_for_model
from data.images import ops
from data.spec import Image


@pytest.fixture(scope="module")
def files(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> dict[str, bytes]:
    alpha = np.dstack([smooth(5), smooth(6)[..., :1]])
    turned = Pil.Exif()
    turned[0x0112] = 6
    return {
        "JPEG": encode(smooth(1), "JPEG"),
        "PNG": encode(smooth(2), "PNG"),
        "grey": encode(smooth(3)[..., 0], "PNG"),
        "alpha": encode(alpha, "PNG"),
        "GIF": encode(Pil.fromarray(smooth(4)).quantize(), "GIF"),
        "BMP": encode(smooth(7), "BMP"),
        "turned": encode(smooth(8), "JPEG", exif=turned),
    }


@pytest.mark.parametrize(
    "spec",
    [Image(12, 16), Image(23, 37, channels=1, background="white", orientation="exif", fit="crop")],
    ids=["colour", "grey on white, upright, as large as the files"],
)
def test_pixels_are_those_of_the_model(files: dict[str, bytes], spec: Image) -> None:
    expected = ops.decode_batch(tf.constant(list(files.values())), spec).numpy()
    np.testing.assert_array_equal(decode_for_model(list(files.values()), spec), expected)
    np.testing.assert_array_equal(decode_as_served(list(files.values()), spec), expected)


def test_pixels_of_a_file_that_is_decoded_at_a_smaller_scale(
    smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]
) -> None:
    spec = Image(12, 16, shrink_on_load=True)
    files = [encode(smooth(number, 130, 170), "JPEG") for number in range(35)]
    expected = ops.decode_batch(tf.constant(files), spec).numpy()
    np.testing.assert_array_equal(decode_as_served(files, spec), expected)
    assert (decode_for_model(files, spec) != expected).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation: int, smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> None:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    contents = encode(smooth(orientation), "PNG", exif=exif)
    expected = ops.decode(tf.constant(contents), 3, orientation="exif").numpy()
    np.testing.assert_array_equal(decode_file(contents, Image(9, 9, orientation="exif")), expected)
