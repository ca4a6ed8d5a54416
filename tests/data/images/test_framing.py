"""Cropping and padding against Keras' `Resizing` layer and boxes worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.images import framing, ops
from data.spec import RESIZE_METHODS, Image

SIZES = [  # of pictures; the results are 12 x 12, 7 x 11, 11 x 7 and 1 x 5
    *[(24, 24), (12, 12), (30, 20), (20, 30), (31, 20), (20, 31), (13, 12), (11, 13), (14, 22), (7, 11), (9, 10)],
    *[(1, 1), (1, 40), (40, 1), (2, 37), (37, 2), (3, 3), (97, 41), (41, 97), (5, 100)],
]
RESULTS = [(12, 12), (7, 11), (11, 7), (1, 5)]


def by_keras(image: np.ndarray, spec: Image) -> np.ndarray:
    """Return what Keras makes of uint8 [h, w, c], rounded."""
    layer = keras.layers.Resizing(
        spec.height,
        spec.width,
        interpolation=spec.resize,
        crop_to_aspect_ratio=spec.fit == "crop",
        pad_to_aspect_ratio=spec.fit == "pad",
        fill_mode="constant",
        fill_value=0,
        antialias=spec.antialias,
    )
    resized = layer(image[np.newaxis].astype(np.float32))[0].numpy()
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 256, (height, width, channels)).astype(np.uint8)


def resize_in_graph(spec: Image):
    signature = [tf.TensorSpec([None, None, spec.channels], tf.uint8)]
    return tf.function(lambda image: ops.resize(image, spec), signature, autograph=False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", [one for one in RESIZE_METHODS if one != "area"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_every_fit_is_that_of_keras(fit, method, antialias, channels):
    for result in RESULTS:
        spec = Image(*result, channels=channels, resize=method, fit=fit, antialias=antialias)
        resize = resize_in_graph(spec)
        for size in SIZES:
            image = noise(*size, channels)
            np.testing.assert_array_equal(resize(image), by_keras(image, spec), str((result, size)))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_box_is_that_of_keras_for_many_sizes(fit):
    """Nearest shows a box that is off by one; results of odd sides make float32 round."""
    rng = np.random.default_rng(0)
    for result in [(37, 53), (224, 160), (299, 299)]:
        spec = Image(*result, channels=1, resize="nearest", fit=fit)
        resize = resize_in_graph(spec)
        for height, width in rng.integers(1, 700, (25, 2)):
            image = noise(height, width, 1)
            np.testing.assert_array_equal(resize(image), by_keras(image, spec), str((result, height, width)))


def test_the_crop_is_that_of_keras_directory_reader():
    spec = Image(37, 53, channels=1, fit="crop")
    signature = [tf.TensorSpec([None, None, 1], tf.uint8)]
    by_reader = tf.function(lambda image: keras.preprocessing.image.smart_resize(image, (37, 53)), signature)
    resize = resize_in_graph(spec)
    for height, width in np.random.default_rng(1).integers(1, 300, (20, 2)):
        image = noise(height, width, 1)
        np.testing.assert_array_equal(resize(image), np.rint(by_reader(image)), str((height, width)))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_area_resizes_what_the_others_do(fit):
    spec = Image(4, 4, 1, resize="area", fit=fit)
    image = noise(8, 16, 1)
    framed = image[:, 4:12] if fit == "crop" else np.pad(image, [(4, 4), (0, 0), (0, 0)])
    expected = np.rint(tf.image.resize(framed, (4, 4), "area"))
    np.testing.assert_array_equal(ops.resize(tf.constant(image), spec), expected)


def test_the_crop_by_hand(in_both):
    """Of 2 x 5 pixels, the two in the middle remain: of three that are too many, one goes on the left, two right."""
    image = np.arange(10, dtype=np.uint8).reshape(2, 5, 1)
    got = in_both(lambda one: ops.resize(one, Image(2, 2, 1, fit="crop")), image)
    assert got[..., 0].tolist() == [[1, 2], [6, 7]]


def test_the_padding_by_hand(in_both):
    """1 x 3 pixels get a black row above and below."""
    image = np.array([[[10], [20], [30]]], np.uint8)
    got = in_both(lambda one: ops.resize(one, Image(3, 3, 1, fit="pad")), image)
    assert got[..., 0].tolist() == [[0, 0, 0], [10, 20, 30], [0, 0, 0]]


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_batch_of_pictures(fit):
    spec = Image(6, 9, fit=fit)
    batch = np.stack([noise(30, 20), noise(30, 20)[::-1]])
    got = ops.resize(tf.constant(batch), spec)
    np.testing.assert_array_equal(got, [by_keras(one, spec) for one in batch])


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("side", [8, 120])  # in groups, and one by one
def test_a_batch_is_its_pictures(fit, side, encode):
    sizes = [(20, 30), (30, 20), (side, side + 3), (1, 50), (50, 1)] * 4
    files = [encode(noise(*size), "PNG" if size[0] % 3 else "JPEG") for size in sizes]
    for background in ("", "white"):
        spec = Image(side, side + 3, fit=fit, background=background)
        batch, single = traced(ops.decode_batch, spec, [None]), traced(ops.decode_and_resize, spec, [])
        got = batch(tf.constant(files))
        np.testing.assert_array_equal(got, [single(tf.constant(file)) for file in files])
        np.testing.assert_array_equal(got[2], ops.decode(tf.constant(files[2]), 3))


def traced(function, spec, shape):
    """Return a function of strings as a graph: eager, each picture would trace its branches."""
    signature = [tf.TensorSpec(shape, tf.string)]
    return tf.function(lambda contents: function(contents, spec), signature, autograph=False)


@pytest.mark.parametrize(
    "fit, size, decoded",
    [
        ("stretch", (400, 100), (200, 50)),  # 100 / 2 is still at least 40, 100 / 4 is not
        ("crop", (400, 100), (200, 50)),
        ("pad", (400, 100), (50, 13)),  # 400 / 8 is at least 40: the picture is scaled by 40 / 400
        ("pad", (100, 319), (13, 40)),
        ("crop", (100, 319), (50, 160)),
        ("pad", (39, 41), (39, 41)),
        ("pad", (80, 10), (40, 5)),
    ],
)
def test_scaling_while_decoding_keeps_the_sides_that_are_used(fit, size, decoded, smooth, encode):
    contents = tf.constant(encode(smooth(1, *size), "JPEG"))
    assert tuple(ops.decode(contents, 3, (40, 40), fit=fit).shape[:2]) == decoded
    spec = Image(40, 40, fit=fit, shrink_on_load=True)
    found = ops.decode_and_resize(contents, spec)
    np.testing.assert_array_equal(found, by_keras(ops.decode(contents, 3, (40, 40), fit=fit).numpy(), spec))
    framed = framing.fit_image(ops.decode(contents, 3, (40, 40), fit=fit), spec)
    assert min(framed.shape[:2]) >= min(40, *size) - 1  # Keras leaves out an odd row or column


def test_a_narrow_strip_does_not_fill_the_memory(encode):
    """A line of 60,000 pixels would be padded to 3.6 billion."""
    line = np.repeat(np.arange(3, dtype=np.uint8) * 100 + 20, 20_000)[np.newaxis, :, np.newaxis]
    contents = tf.constant(encode(line[..., 0], "PNG"))
    spec = Image(3, 3, channels=1, fit="pad", max_pixels=60_000)
    image = ops.decode(contents, 1, max_pixels=60_000)
    padded = framing.fit_image(image, spec)
    assert 60_000 < padded.shape[0] * padded.shape[1] <= 8 * 60_000
    got = ops.decode_and_resize(contents, spec)[..., 0].numpy()
    assert got.shape == (3, 3) and not got[[0, 2]].any()


def test_a_picture_of_eight_to_one_is_not_thinned_out():
    spec = Image(10, 10, fit="pad", max_pixels=20 * 160)
    image = noise(20, 160)
    np.testing.assert_array_equal(ops.resize(tf.constant(image), spec), by_keras(image, spec))
