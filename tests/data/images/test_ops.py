"""Decoding and resizing against PIL, `tf.io` and values worked out by hand; eagerly and in tf.data."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.images import ops
from data.spec import RESIZE_METHODS, Image
from tests.conftest import frame_count


def pil(contents: bytes, mode: str) -> np.ndarray:
    """PIL's own decoding, uint8 [h, w, c]."""
    pixels = np.asarray(Pil.open(io.BytesIO(contents)).convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def decode(channels: int):
    return functools.partial(ops.decode, channels=channels)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 30}]
)
def test_a_jpeg_decodes_as_pil_and_the_accurate_transform_do(options, smooth, encode, in_both):
    contents = encode(smooth(1), "JPEG", **{"quality": 95, **options})
    got = in_both(decode(3), contents)
    np.testing.assert_array_equal(got, pil(contents, "RGB"))
    np.testing.assert_array_equal(got, tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"))


def test_the_pinned_transform_matters(smooth, encode):
    """Else the equality above could not fail."""
    contents = encode(smooth(1), "JPEG", quality=95)
    fast = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_FAST").numpy()
    assert (fast != ops.decode(tf.constant(contents), 3).numpy()).any()


def test_a_grey_jpeg(smooth, encode, in_both):
    contents = encode(Pil.fromarray(smooth(2)).convert("L"), "JPEG")
    expected = pil(contents, "L")
    np.testing.assert_array_equal(in_both(decode(1), contents), expected)
    np.testing.assert_array_equal(in_both(decode(3), contents), np.repeat(expected, 3, axis=2))
    assert in_both(decode(0), contents).shape == (23, 37, 1)


def test_a_colour_jpeg_to_grey_is_its_luma(smooth, encode, in_both):
    contents = encode(smooth(3), "JPEG")
    luma = Pil.open(io.BytesIO(contents))
    luma.draft("L", None)
    np.testing.assert_array_equal(in_both(decode(1), contents)[..., 0], np.asarray(luma))


def test_a_cmyk_jpeg_becomes_rgb(smooth, encode, in_both):
    contents = encode(Pil.fromarray(smooth(4)).convert("CMYK"), "JPEG")
    got = in_both(decode(3), contents)
    np.testing.assert_array_equal(got, tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"))
    np.testing.assert_allclose(got.astype(int), pil(contents, "RGB").astype(int), atol=1)


def test_alpha_is_dropped_even_where_nothing_shows(smooth, encode, in_both):
    alpha = np.random.default_rng(0).choice([0, 128, 255], (23, 37, 1)).astype(np.uint8)
    rgba = np.concatenate([smooth(5), alpha], axis=2)
    contents = encode(rgba, "PNG")
    np.testing.assert_array_equal(in_both(decode(3), contents), rgba[..., :3])
    np.testing.assert_array_equal(in_both(decode(0), contents), rgba)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_of_every_depth(mode, smooth, encode, in_both):
    image = Pil.fromarray(smooth(6))
    contents = encode(image.quantize(16) if mode == "P" else image.convert(mode), "PNG")
    np.testing.assert_array_equal(in_both(decode(3), contents), pil(contents, "RGB"))
    np.testing.assert_allclose(in_both(decode(1), contents).astype(int), pil(contents, "L").astype(int), atol=1)


def test_a_16_bit_png_keeps_its_high_bytes(encode, in_both):
    deep = np.random.default_rng(0).integers(0, 1 << 16, (6, 5)).astype(np.uint16)
    np.testing.assert_array_equal(in_both(decode(1), encode(deep, "PNG"))[..., 0], deep >> 8)


@pytest.mark.parametrize("kind", ["BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_gif_and_bmp(kind, mode, smooth, encode, in_both):
    image = Pil.fromarray(smooth(7))
    contents = encode(image.quantize(16) if mode == "P" else image.convert(mode), kind)
    np.testing.assert_array_equal(in_both(decode(3), contents), pil(contents, "RGB"))
    np.testing.assert_allclose(in_both(decode(1), contents).astype(int), pil(contents, "L").astype(int), atol=1)
    assert in_both(decode(0), contents).shape == (23, 37, 3)


def test_a_32_bit_bmp_loses_its_alpha(smooth, encode, in_both):
    rgba = np.concatenate([smooth(8), np.full((23, 37, 1), 7, np.uint8)], axis=2)
    contents = encode(rgba, "BMP")
    assert contents[28] == 32
    np.testing.assert_array_equal(in_both(decode(3), contents), rgba[..., :3])
    assert in_both(decode(1), contents).shape == (23, 37, 1)


def test_grey_is_the_weighted_sum(encode, in_both):
    contents = encode(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8), "BMP")
    by_hand = [76.2, 149.7, 29.1, 18.1]  # 0.2989 R + 0.587 G + 0.114 B
    np.testing.assert_allclose(in_both(decode(1), contents)[0, :, 0], by_hand, atol=1)


def test_of_an_animated_gif_the_first_frame(smooth, encode, in_both):
    frames = [Pil.fromarray(smooth(seed)).quantize(32) for seed in (9, 10, 11)]
    contents = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert frame_count(contents) == 3
    np.testing.assert_array_equal(in_both(decode(3), contents), np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("contents", [b"", b"\xff\xd8\xff", b"BM", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_what_is_no_picture_raises(contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        ops.decode(tf.constant(contents), 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.from_tensors(contents).map(decode(3)))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("size", [(5, 8), (50, 41), (23, 37)])
def test_resizing_is_tensorflows_rounded(method, antialias, size, smooth, in_both):
    spec = Image(size[0], size[1], resize=method, antialias=antialias)
    pixels = smooth(12)
    got = in_both(lambda image: ops.resize(image, spec), pixels)
    exact = tf.image.resize(pixels.astype(np.float32), size, method=method, antialias=antialias).numpy()
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.clip(np.rint(exact), 0, 255))
    np.testing.assert_array_equal(in_both(lambda image: ops.resize(image, spec), pixels.astype(np.float32)), got)


def test_rounding_by_hand(in_both):
    """Bilinear halving averages pairs: 0.5, 1.5, 2.25 and 254.75; halves go to the even neighbour."""
    pixels = np.array([[[0], [1], [1], [2]], [[1], [0], [2], [1]], [[2], [2], [255], [255]], [[2], [3], [254], [255]]])
    got = in_both(lambda image: ops.resize(image, Image(2, 2, 1)), pixels.astype(np.uint8))
    assert got[..., 0].tolist() == [[0, 2], [2, 255]]


def test_overshoot_is_clipped_not_wrapped(in_both):
    edge = np.repeat([[0, 0, 255, 255]], 4, axis=0).astype(np.uint8)[..., np.newaxis]
    exact = tf.image.resize(edge, (4, 16), method="bicubic").numpy()
    assert exact.min() < -1 and exact.max() > 256
    got = in_both(lambda image: ops.resize(image, Image(4, 16, 1, resize="bicubic")), edge)[0, :, 0]
    assert got[:8].max() < 128 <= got[8:].min()


def test_a_batch_is_its_single_pictures(smooth, encode, in_both):
    spec = Image(11, 13)
    kinds = ("JPEG", "PNG", "GIF", "BMP")
    files = [encode(smooth(20 + i, 8 + i, 30 - i), kinds[i % 4]) for i in range(9)]
    batch = in_both(lambda contents: ops.decode_batch(contents, spec), files)
    singles = [in_both(lambda contents: ops.decode_and_resize(contents, spec), one) for one in files]
    assert batch.shape == (9, 11, 13, 3) and batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, np.stack(singles))
    steps = tf.image.resize(pil(files[1], "RGB"), (11, 13)).numpy()
    np.testing.assert_array_equal(batch[1], np.rint(steps))


def test_a_rare_format_among_larger_pictures_changes_no_other_one(smooth, encode):
    """A batch with a rare format takes another path."""
    files = [encode(smooth(24 + i, 8 + i, 30 - i), kind) for i, kind in enumerate(("JPEG", "PNG", "GIF", "BMP"))]
    decode_some = tf.function(lambda some: ops.decode_batch(some, Image(100, 97)), [tf.TensorSpec([None], tf.string)])
    expected = [np.rint(tf.image.resize(pil(file, "RGB"), (100, 97))) for file in files]
    for some in (slice(0, 2), slice(2, 4), slice(0, 4), slice(1, 3)):
        np.testing.assert_array_equal(decode_some(tf.constant(files[some])), np.stack(expected[some]))


def test_what_takes_long_to_trace_is_traced_once_for_all_graphs():
    """Training, export and proof each build a graph that decodes; several sizes share the rare formats."""
    for height in (11, 12, 11):
        spec = Image(height, 13, max_pixels=4321)
        tf.function(lambda some, spec=spec: ops.decode_batch(some, spec)).get_concrete_function(
            tf.TensorSpec([None], tf.string)
        )
    decoders: list[Any] = [ops._rare_decoder(3, 4321, ""), ops._any_decoder(Image(11, 13, max_pixels=4321))]
    assert [one.experimental_get_tracing_count() for one in decoders] == [1, 1]


def test_an_empty_batch(in_both):
    got = in_both(lambda contents: ops.decode_batch(contents, Image(4, 5, 1)), np.array([], object).astype("S"))
    assert got.shape == (0, 4, 5, 1)


def test_shapes_are_known_before_the_pixels_are():
    dataset = tf.data.Dataset.from_tensors(b"").map(lambda one: ops.decode_and_resize(one, Image(4, 5, 1)))
    assert dataset.element_spec.shape.as_list() == [4, 5, 1]


def shrunk(contents: bytes, spec: Image, ratio: int) -> np.ndarray:
    """By hand: libjpeg's scaled decoding, resized, rounded."""
    scaled = tf.io.decode_jpeg(contents, channels=spec.channels, ratio=ratio, dct_method="INTEGER_ACCURATE")
    return np.rint(tf.image.resize(scaled, spec.shape[:2], antialias=spec.antialias).numpy())


# 17 is 9, 5, 3 and 37 is 19, 10, 5 at 1/2, 1/4, 1/8, rounded up.
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(
    ("size", "ratio"),
    [((3, 5), 8), ((1, 1), 8), ((4, 5), 4), ((3, 6), 4), ((5, 10), 4), ((9, 19), 2), ((6, 1), 2), ((10, 19), 1)]
    + [((9, 20), 1), ((17, 37), 1), ((50, 50), 1)],
)
def test_shrunk_on_load_by_the_largest_ratio_that_leaves_enough(size, ratio, antialias, smooth, encode, in_both):
    contents = encode(smooth(30, 17, 37), "JPEG", quality=95)
    spec = Image(size[0], size[1], antialias=antialias, shrink_on_load=True)
    got = in_both(lambda one: ops.decode_and_resize(one, spec), contents)
    np.testing.assert_array_equal(got, shrunk(contents, spec, ratio))
    np.testing.assert_array_equal(in_both(lambda some: ops.decode_batch(some, spec), [contents] * 3)[2], got)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_shrunk_on_load_is_pils_draft(ratio, smooth, encode, in_both):
    contents = encode(smooth(31, 160, 240), "JPEG", quality=95, subsampling=0)
    size = (160 // ratio, 240 // ratio)
    draft = Pil.open(io.BytesIO(contents))
    draft.draft("RGB", size[::-1])
    assert draft.size == size[::-1]
    spec = Image(*size, shrink_on_load=True)
    got = in_both(lambda one: ops.decode_and_resize(one, spec), contents)
    np.testing.assert_array_equal(got, np.asarray(draft))
    assert (got != in_both(lambda one: ops.decode_and_resize(one, Image(*size)), contents)).any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_shrunk_on_load_grey_and_cmyk(mode, channels, smooth, encode, in_both):
    contents = encode(Pil.fromarray(smooth(32, 50, 66)).convert(mode), "JPEG")
    spec = Image(12, 16, channels, shrink_on_load=True)
    if mode == "CMYK" and channels == 1:
        with pytest.raises(tf.errors.InvalidArgumentError):
            ops.decode(tf.constant(contents), 1)
        return
    got = in_both(lambda one: ops.decode_and_resize(one, spec), contents)
    np.testing.assert_array_equal(got, shrunk(contents, spec, 4))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_shrink_on_load_leaves_other_kinds_alone(kind, smooth, encode, in_both):
    contents = encode(smooth(33, 80, 80), kind)
    got = in_both(lambda one: ops.decode_and_resize(one, Image(9, 9, shrink_on_load=True)), contents)
    np.testing.assert_array_equal(got, ops.decode_and_resize(tf.constant(contents), Image(9, 9)))


@pytest.mark.parametrize("shrink_on_load", [False, True])
def test_a_jpeg_cut_in_half_raises(shrink_on_load, smooth, encode):
    contents = encode(smooth(34, 80, 80), "JPEG")
    spec = Image(9, 9, shrink_on_load=shrink_on_load)
    for cut in (len(contents) // 2, 20):
        with pytest.raises(tf.errors.InvalidArgumentError):
            ops.decode_batch(tf.constant([contents[:cut]]), spec)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 35])
@pytest.mark.parametrize("odd_one", ["PNG", "GIF"])
def test_a_batch_of_any_length_is_its_single_pictures(odd_one, count, smooth, encode, in_both):
    """Groups whole and not; of the wanted size and not; with one that takes the batch out of the fast path."""
    sizes = [(11, 13)] * 20 + [(8, 30)] * 15
    files = [encode(smooth(40 + i, *sizes[i]), ("JPEG", "PNG")[i % 2]) for i in range(count)]
    files[-1] = encode(smooth(40, 11, 13), odd_one)
    batch = in_both(lambda contents: ops.decode_batch(contents, Image(11, 13)), files)
    expected = [np.rint(tf.image.resize(ops.decode(tf.constant(one), 3), (11, 13))) for one in files]
    np.testing.assert_array_equal(batch, np.stack(expected))


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("antialias", [False, True])
def test_what_has_the_wanted_size_is_not_resized_and_would_not_change(method, antialias, smooth, encode):
    spec, pixels = Image(23, 37, resize=method, antialias=antialias), smooth(35)
    got = ops.decode_and_resize(tf.constant(encode(pixels, "PNG")), spec)
    np.testing.assert_array_equal(got, pixels)
    unknown_size = tf.function(
        lambda image: ops.resize(image, spec), input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)]
    )
    np.testing.assert_array_equal(unknown_size(pixels), pixels)
