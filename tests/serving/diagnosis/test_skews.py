"""Each step of the known skews against PIL, TensorFlow or a computation by hand."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
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
    _check_route(spec, [encode(smooth(1, 43, 51), "JPEG"), encode(smooth(2, 7, 9), "PNG")])


def _check_route(spec: Image, contents: Sequence[bytes]) -> None:
    route = skews.training_steps(spec)
    for content in contents:
        np.testing.assert_array_equal(_run(route, content), ops.decode_and_resize(tf.constant(content), spec))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_route_crops_pads_and_blends(
    encode: Callable[..., bytes], smooth: Callable[..., np.ndarray], fit: Any
) -> None:
    spec = dataclasses.replace(SPEC, fit=fit, background="#204080", shrink_on_load=True)
    _check_route(spec, [encode(smooth(1, 43, 21), "JPEG"), encode(_see_through(smooth(2, 17, 30)), "PNG")])


@pytest.mark.parametrize("orientation", [3, 6])
def test_the_route_turns_and_the_skew_ignores(
    encode: Callable[..., bytes], smooth: Callable[..., np.ndarray], orientation: int
) -> None:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    content = encode(smooth(1, 40, 19), "JPEG", exif=exif)
    spec = dataclasses.replace(SPEC, orientation="exif", shrink_on_load=True)
    _check_route(spec, [content])
    known = {one.what: one for one in skews.known_skews(spec, None)}
    assert "rotated by EXIF" not in known
    ignoring = ops.decode_and_resize(tf.constant(content), dataclasses.replace(spec, orientation="ignore"))
    found = _run(skews.training_steps(spec), content, known["EXIF orientation ignored"])
    np.testing.assert_array_equal(found, ignoring)
    dct = _run(skews.training_steps(spec), content, next(one for one in known.values() if "FAST" in one.what))
    assert np.abs(dct - _run(skews.training_steps(spec), content)).max() <= 8  # turned, too


def _see_through(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.tile(np.linspace(0, 255, pixels.shape[1]), (pixels.shape[0], 1))]).astype(np.uint8)


@pytest.mark.parametrize(
    ("what", "box"),
    [
        ("stretched", (0, 0, 22, 14)),
        ("cropped to the model's aspect ratio", (2, 0, 20, 14)),  # 14 of 7 to 9 are 18 wide, in the middle of 22
    ],
)
def test_the_other_fits_are_those_of_pillow(encode: Callable[..., bytes], what: str, box: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (14, 22, 3)).astype(np.uint8)
    spec = dataclasses.replace(SPEC, fit="pad", antialias=True)
    (skew,) = [one for one in skews.known_skews(spec, None) if one.what == what]
    found = _run(skews.training_steps(spec), encode(pixels, "PNG"), skew)
    expected = np.asarray(Pil.fromarray(pixels).crop(box).resize((9, 7), Pil.Resampling.BILINEAR))
    assert np.abs(found - expected).max() <= 1
    assert skew.instead_of == "letterboxed (padded to the model's aspect ratio)"


def test_alpha_is_blended_as_pillow_blends_it(encode: Callable[..., bytes], smooth: Callable[..., np.ndarray]) -> None:
    rgba = _see_through(smooth(4, 7, 9))
    route, spec = skews.training_steps(SPEC), dataclasses.replace(SPEC, background="#ff0000")
    known = {one.what: one for one in skews.known_skews(SPEC, None)}
    for colour in ("white", "black"):
        pasted = Pil.alpha_composite(Pil.new("RGBA", (9, 7), colour), Pil.fromarray(rgba)).convert("RGB")
        found = _run(route, encode(rgba, "PNG"), known[f"alpha blended on {colour}"])
        np.testing.assert_array_equal(found, np.asarray(pasted))
    others = {one.what: one.instead_of for one in skews.known_skews(spec, None) if "alpha" in one.what}
    assert others == dict.fromkeys(
        ("alpha dropped", "alpha blended on white", "alpha blended on black"), "blended on #ff0000"
    )


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
    pixels = (smooth(3, 37, 53) // 4 * 3 + noise).astype(np.uint8)
    jpeg, png = encode(pixels, "JPEG", exif=exif), encode(_see_through(pixels), "PNG")
    route = skews.training_steps(SPEC)
    trained = {content: _run(route, content) for content in (jpeg, png)}
    known = skews.known_skews(SPEC, TO_1)
    for skew in known:
        content = png if "alpha" in skew.what else jpeg
        found = _run(route, content, skew)
        assert found.shape == trained[content].shape and (found != trained[content]).any(), skew.what
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
