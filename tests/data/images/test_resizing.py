"""Resizing against `tf.image.resize`, rounded and clipped: equal bit for bit, for any size and on real photographs."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import ops, resizing
from data.spec import RESIZE_METHODS, Image

LARGE = 97, 101  # of a result: above the size of a thumbnail
RESULTS = [(1, 1), (7, 5), (24, 40), LARGE]
ANTIALIASED = ["bilinear", "bicubic", "lanczos3"]


def by_tensorflow(image: tf.Tensor, size: tuple[int, int], method: str, antialias: bool) -> tf.Tensor:
    """Resize as TensorFlow does in one op, and round; this is what Skewless did until 0.16."""
    resized = tf.image.resize(image, size, method=method, antialias=antialias)
    return resized if resized.dtype == tf.uint8 else tf.saturate_cast(tf.round(resized), tf.uint8)


@functools.cache
def traced(function, size, method, antialias, channels):
    signature = [tf.TensorSpec([None, None, channels], tf.uint8)]
    return tf.function(lambda image: function(image, size, method, antialias), signature, autograph=False)


def assert_equal(image: np.ndarray, size: tuple[int, int], method: str, antialias: bool) -> None:
    how = (size, method, antialias, image.shape[-1])
    expected = traced(by_tensorflow, *how)(image)
    np.testing.assert_array_equal(traced(resizing.resize_to_uint8, *how)(image), expected)


@st.composite
def pictures(draw) -> np.ndarray:
    """Noise, black and white, one colour, or a ramp, whose means are often halves; of any shape."""
    height, width = draw(st.integers(1, 230)), draw(st.integers(1, 230))
    shape = (height, width, draw(st.sampled_from([1, 3])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = {
        "noise": lambda: rng.integers(0, 256, shape),
        "black and white": lambda: rng.integers(0, 2, shape) * 255,
        "one colour": lambda: np.full(shape, rng.choice([0, 1, 254, 255])),
        "ramp": lambda: np.arange(np.prod(shape)).reshape(shape) % 256,
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]().astype(np.uint8)


@settings(max_examples=120, deadline=None)
@given(pictures(), st.sampled_from(RESULTS), st.sampled_from(ANTIALIASED))
def test_antialias_is_tensorflows(image, size, method):
    assert_equal(image, size, method, True)


@settings(max_examples=80, deadline=None)
@given(pictures(), st.sampled_from(RESULTS), st.sampled_from(RESIZE_METHODS))
def test_without_antialias_it_is_tensorflows(image, size, method):
    assert_equal(image, size, method, False)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("sides", [(1, 1), (169, 173), (167, 173), (300, 400)])
def test_a_picture_around_the_size_up_to_which_it_is_cast(sides, antialias):
    """97 x 101, three times, is 29,391: 169 x 173 is below, 170 x 173 above."""
    for extra in (0, 1):
        shape = (sides[0] + extra, sides[1], 3)
        image = np.random.default_rng(extra).integers(0, 256, shape).astype(np.uint8)
        assert_equal(image, LARGE, "bilinear", antialias)


def test_a_large_picture_is_not_cast():
    """Its float32 copy would take four times the memory; the op reads four pixels for each of the result."""
    graph = traced(resizing.resize_to_uint8, LARGE, "bilinear", False, 3).get_concrete_function().graph.as_graph_def()
    branches = [{node.op for node in function.node_def} for function in graph.library.function]
    assert sorted("Cast" in one for one in branches if "ResizeBilinear" in one) == [False, True]


@pytest.mark.parametrize("method", ANTIALIASED)
def test_a_batch_and_numbers_with_fractions(method):
    images = np.random.default_rng(0).uniform(0, 255, (3, 40, 30, 3)).astype(np.float32)
    for size in ((13, 17), (80, 61)):
        for antialias in (False, True):
            expected = by_tensorflow(images, size, method, antialias)
            found = resizing.resize_to_uint8(tf.constant(images), size, method, antialias)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(
                resizing.resize_to_uint8(tf.constant(images[1]), size, method, antialias), expected[1]
            )


@pytest.mark.parametrize("antialias", [False, True])
def test_numbers_beyond_the_range_are_clipped(antialias):
    image = tf.constant(np.linspace(-300, 600, 48, dtype=np.float32).reshape(4, 4, 3))
    found = resizing.resize_to_uint8(image, (8, 8), "bilinear", antialias).numpy()
    assert (found.min(), found.max()) == (0, 255)


def test_the_mean_of_very_many_white_pixels_is_white():
    """Without the upper bound, a mean of 255.6 would become 0: black."""
    line = np.full((1, 3_000_000, 1), 255, np.uint8)
    assert_equal(line, (1, 1), "bilinear", True)
    assert_equal(line, (7, 5), "bilinear", True)


def test_photographs(shared_data: Path):
    """Flowers of several sizes, from the file to the model's pixels, against the single steps in TensorFlow."""
    paths = sorted((shared_data / "flowers").glob("*/*.jpg"))[::12][:5]
    if not paths:
        pytest.skip("no flowers")
    files = [path.read_bytes() for path in paths]
    for antialias in (False, True):
        found = ops.decode_batch(tf.constant(files), Image(*LARGE, antialias=antialias))
        for file, pixels in zip(files, found, strict=True):
            decoded = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")
            np.testing.assert_array_equal(pixels, by_tensorflow(decoded, LARGE, "bilinear", antialias))
