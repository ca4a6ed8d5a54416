"""Each step of the known skews against PIL, TensorFlow or a computation by hand."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import ops
from data.spec import Image
from serving.diagnosis import skews
from serving.diagnosis.scaling import TO_1, TO_PLUS_MINUS_1, Scaling, wrong_scalings

SPEC = Image(7, 9)


def _run(route: Mapping[skews.PixelStep, skews.PixelSkew], content: bytes, *changed: skews.PixelSkew) -> np.ndarray:
    pixels: Any = content
    for step in sorted(route):
        pixels = {**route, **{one.step: one for one in changed}}[step].run(pixels)
    return pixels


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize(("method", "antialias"), [("bilinear", False), ("bicubic", True), ("nearest", False)])
def test_the_route_is_trainings(
    encode: Callable[..., bytes], smooth: Callable[..., np.ndarray], method: Any, antialias: bool, shrink: bool
) -> None:
    spec = dataclasses.replace(SPEC, resize=method, antialias=antialias, shrink_on_load=shrink)
    route = skews.training_steps(spec)
    for content in (encode(smooth(1, 43, 51), "JPEG"), encode(smooth(2, 7, 9), "PNG")):
        np.testing.assert_array_equal(_run(route, content), ops.decode_and_resize(tf.constant(content), spec))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pil_turns(encode: Callable[..., bytes], smooth: Callable[..., np.ndarray], orientation: int) -> None:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    pixels = smooth(orientation, 5, 8)
    with Pil.open(io.BytesIO(encode(pixels, "JPEG", exif=exif))) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(skews.rotate_by_exif(np.asarray(image), orientation), wanted)


def test_every_skew_changes_a_picture_and_gives_the_models_shape(
    encode: Callable[..., bytes], smooth: Callable[..., np.ndarray]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3)) // 4
    exif = Pil.Exif()
    exif[0x0112] = 6
    content = encode((smooth(3, 37, 53) // 4 * 3 + noise).astype(np.uint8), "JPEG", exif=exif)
    route = skews.training_steps(SPEC)
    trained = _run(route, content)
    known = skews.known_skews(SPEC, TO_1)
    for skew in known:
        found = _run(route, content, skew)
        assert found.shape == trained.shape and (found != trained).any(), skew.what
    assert set(skews.METHODS) - {SPEC.resize} <= {skew.what for skew in known}


def test_grey_pictures_have_no_order_of_channels(encode: Callable[..., bytes]) -> None:
    spec = Image(7, 9, 1)
    known = skews.known_skews(spec, None)
    assert not [one for one in known if one.step == skews.CHANNELS]
    content = encode(np.arange(143, dtype=np.uint8).reshape(11, 13), "PNG")
    route = skews.training_steps(spec)
    assert {_run(route, content, one).shape for one in known} == {(7, 9, 1)}


def test_phrases_join_what_explains_equally_well() -> None:
    known = {one.what: one for one in skews.known_skews(SPEC, TO_1)}
    assert skews.describe_skews([known["nearest"], known["area"]]) == "nearest or area instead of bilinear"
    assert skews.describe_skews([known["rotated by EXIF"], known["BGR"]]) == "rotated by EXIF or BGR instead of RGB"


@pytest.mark.parametrize(
    ("own", "what", "served"),
    [
        (TO_1, "/255 missing", lambda x: x),
        (TO_1, "/255 twice", lambda x: x / 255 / 255),
        (TO_1, "pixels scaled to -1..1", lambda x: x / 127.5 - 1),
        (TO_PLUS_MINUS_1, "pixels scaled to 0..1", lambda x: x / 255),
        (Scaling(1 / 50.0, -120 / 50.0), "mean and standard deviation swapped", lambda x: (x - 50) / 120),
        (Scaling(1 / 50.0, -120 / 50.0), "mean not subtracted", lambda x: x / 50),
        (Scaling(1 / 50.0, -120 / 50.0), "not divided by the standard deviation", lambda x: x - 120),
        (Scaling(np.array([0.1, 0.2, 0.4]), np.array([-1.0, -2.0, -4.0])), "pixels scaled to 0..1", lambda x: x / 255),
    ],
)
def test_a_wrong_scaling_is_what_the_model_then_computes(
    own: Scaling, what: str, served: Callable[[np.ndarray], np.ndarray]
) -> None:
    pixels = np.array([[0.0, 100.0, 255.0]], np.float32)
    (found,) = [scaling for name, _, scaling in wrong_scalings(own, 3) if name == what]
    np.testing.assert_allclose(own(found(pixels)), served(pixels), rtol=1e-4, atol=1e-4)


def test_scalings_that_change_nothing_or_nothing_finite_are_left_out() -> None:
    for own in (None, TO_1, TO_PLUS_MINUS_1, Scaling(1.0, 0.0), Scaling(0.0, 1.0), Scaling(0.5, np.zeros(3))):
        found = [scaling for _, _, scaling in wrong_scalings(own, 3)]
        assert found and not [one for one in found if one.equals(Scaling(1.0, 0.0))]
        assert all(np.isfinite(one(np.full((1, 3), 255.0))).all() for one in found)
