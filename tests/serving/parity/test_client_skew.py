"""Client recipes against direct calls of PIL, OpenCV and TensorFlow, and costs computed by hand."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pil
from PIL import ImageOps

from data.images import ops
from data.spec import Image
from serving.parity.client_skew import CLIENTS, ClientSkewCost, MeasuredClient, measure_clients

SPEC = Image(9, 14)
BY_NAME = {client.name: client for client in CLIENTS}


def served(contents: bytes, spec: Image = SPEC) -> np.ndarray:
    return ops.decode_and_resize(tf.constant(contents), spec).numpy()


def opened(contents: bytes) -> Pil.Image:
    return Pil.open(io.BytesIO(contents))


def sent(name: str, contents: bytes, spec: Image) -> np.ndarray:
    return BY_NAME[name].prepare(contents, spec, served(contents, spec))


def costs_of(contents: list[bytes], labels, spec: Image, score) -> list[ClientSkewCost]:
    return [one.cost for one in measured(contents, labels, spec, score)]


def measured(contents: list[bytes], labels, spec: Image, score, thresholds=()) -> list[MeasuredClient]:
    pixels = np.stack([served(one, spec) for one in contents])
    return measure_clients(contents, labels, spec, pixels, score, thresholds)


def of(costs: list[ClientSkewCost], name: str) -> ClientSkewCost:
    (found,) = [cost for cost in costs if cost.client == name]
    return found


@pytest.fixture(scope="module")
def turned(smooth, encode) -> bytes:
    exif = Pil.Exif()
    exif[0x0112] = 6
    return encode(smooth(2), "JPEG", quality=95, exif=exif)


@pytest.fixture(scope="module")
def upright(smooth, encode) -> bytes:
    return encode(smooth(1), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("name", "method"), [("PIL nearest", Pil.Resampling.NEAREST), ("PIL bilinear", Pil.Resampling.BILINEAR)]
)
def test_pil(name, method, upright):
    got = sent(name, upright, SPEC)
    np.testing.assert_array_equal(got, np.asarray(opened(upright).resize((14, 9), method)))
    assert (got != served(upright)).any()


def test_pils_bilinear_is_tensorflows_with_antialias(upright):
    """Equal except for rounding; otherwise the recipe would measure another difference."""
    with_antialias = served(upright, Image(9, 14, antialias=True))
    got = sent("PIL bilinear", upright, SPEC)
    assert np.abs(got.astype(int) - with_antialias).max() <= 1


def test_opencv(upright, turned):
    cv2 = pytest.importorskip("cv2")
    for contents in (upright, turned):
        bgr = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_COLOR)
        expected = cv2.resize(bgr, (14, 9), interpolation=cv2.INTER_AREA)[..., ::-1]
        np.testing.assert_array_equal(sent("OpenCV area", contents, SPEC), expected)
    with pytest.raises(ValueError, match="cannot read"):
        BY_NAME["OpenCV area"].prepare(b"no picture", SPEC, np.empty(0))


def test_a_block_of_four_is_averaged_by_area_and_met_by_nearest(encode):
    """2x2 to 1x1: area is the mean, (0 + 10 + 20 + 30) / 4; nearest is one of the four."""
    contents = encode(np.array([[0, 10], [20, 30]], np.uint8)[..., np.newaxis].repeat(3, axis=2), "PNG")
    if "OpenCV area" in BY_NAME:
        assert sent("OpenCV area", contents, Image(1, 1)).tolist() == [[[15, 15, 15]]]
    assert sent("PIL nearest", contents, Image(1, 1)).tolist() == [[[30, 30, 30]]]


def test_bgr_is_right_but_for_the_order(upright):
    np.testing.assert_array_equal(sent("BGR", upright, SPEC), served(upright)[..., [2, 1, 0]])


def test_exif_turns_only_what_says_so(upright, turned, encode):
    np.testing.assert_array_equal(sent("EXIF turned", upright, SPEC), served(upright))
    lossless = encode(ImageOps.exif_transpose(opened(turned)), "PNG")
    assert opened(lossless).size == opened(turned).size[::-1]
    np.testing.assert_array_equal(sent("EXIF turned", turned, SPEC), served(lossless))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_client_that_stretches(fit, upright, smooth, encode):
    spec = Image(9, 14, fit=fit)
    tall = encode(smooth(4, 30, 9), "PNG")
    for contents in (upright, tall):
        np.testing.assert_array_equal(sent("stretched", contents, spec), served(contents, SPEC))
    assert (served(tall, spec) != served(tall, SPEC)).mean() > 0.5


def test_a_client_that_drops_alpha(upright, smooth, encode):
    spec = Image(9, 14, background="white")
    rgba = np.dstack([smooth(4), np.full((23, 37), 100, np.uint8)])
    contents = encode(rgba, "PNG")
    np.testing.assert_array_equal(sent("alpha dropped", contents, spec), served(encode(rgba[..., :3], "PNG")))
    assert (served(contents, spec) != sent("alpha dropped", contents, spec)).mean() > 0.9
    np.testing.assert_array_equal(sent("alpha dropped", upright, spec), served(upright))


def test_clients_that_do_what_the_model_does_are_not_measured(upright):
    names = {}
    for spec in (SPEC, Image(9, 14, fit="crop"), Image(9, 14, background="#123456")):
        names[spec] = {one.client for one in costs_of([upright], None, spec, red_or_blue)}
    plain, cropped, blended = names.values()
    assert not plain & {"stretched", "alpha dropped"}
    assert cropped - plain == {"stretched"} and blended - plain == {"alpha dropped"}


def test_default_dct(smooth, encode, upright):
    whole = Image(23, 37)
    np.testing.assert_array_equal(sent("default DCT", upright, whole), tf.io.decode_jpeg(upright, channels=3))
    lossless = encode(smooth(1), "PNG")
    np.testing.assert_array_equal(sent("default DCT", lossless, SPEC), served(lossless))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_client_gives_what_the_model_takes(name, channels, smooth, encode, turned):
    spec = Image(9, 14, channels=channels)
    image = Pil.fromarray(smooth(3))
    for contents in (turned, encode(image.convert("L"), "JPEG"), encode(image.convert("RGBA"), "PNG")):
        got = sent(name, contents, spec)
        assert (got.shape, got.dtype) == (spec.shape, np.uint8)


def test_a_client_that_ignores_what_training_turns(upright, turned, encode):
    spec = dataclasses.replace(SPEC, orientation="exif")
    np.testing.assert_array_equal(sent("EXIF ignored", upright, spec), served(upright, spec))
    np.testing.assert_array_equal(sent("EXIF ignored", turned, spec), served(turned, SPEC))
    assert (served(turned, spec) != served(turned, SPEC)).any()
    stored = tf.io.decode_jpeg(turned, channels=3).numpy()
    lossless = encode(np.rot90(stored, -1), "PNG")
    np.testing.assert_array_equal(sent("default DCT", turned, spec), served(lossless, SPEC))


def test_each_orientation_has_its_client(turned):
    for spec, name in ((SPEC, "EXIF turned"), (dataclasses.replace(SPEC, orientation="exif"), "EXIF ignored")):
        assert [one.client for one in costs_of([turned], None, spec, red_or_blue) if "EXIF" in one.client] == [name]


def red_or_blue(pixels: np.ndarray) -> np.ndarray:
    """A linear model: the mean of red and the mean of blue, 0..1."""
    assert pixels.dtype == np.uint8
    return pixels.mean(axis=(1, 2))[:, [0, 2]] / 255


def flat(encode, red: int, blue: int, kind: str = "PNG") -> bytes:
    return encode(np.full((6, 8, 3), (red, 0, blue), np.uint8), kind)


def test_costs_by_hand(encode):
    """Images of one colour: resizing changes nothing, and the order of the channels changes every best class."""
    contents = [flat(encode, 200, 30), flat(encode, 10, 250), flat(encode, 90, 80)]
    costs = costs_of(contents, [0, 1, 1], SPEC, red_or_blue)  # served: 0, 1, 0, of which the last is wrong
    assert [cost.client for cost in costs] == [name for name, client in BY_NAME.items() if client.applies(SPEC)]
    for cost in costs:
        flipped, accuracy, largest = (3, 1 / 3, 240 / 255) if cost.client == "BGR" else (0, 2 / 3, 0.0)
        assert (cost.pictures, cost.flipped) == (3, flipped)
        assert cost.accuracy == pytest.approx(accuracy)
        assert cost.accuracy_served == pytest.approx(2 / 3)
        assert cost.largest == pytest.approx(largest)


def test_without_labels_there_is_no_accuracy(encode):
    cost = of(costs_of([flat(encode, 200, 30)], None, SPEC, red_or_blue), "BGR")
    assert cost == ClientSkewCost("BGR", 1, 1, None, None, cost.largest)
    assert cost.largest == pytest.approx(170 / 255)


def test_what_a_client_cannot_read_counts_as_flipped_and_wrong(smooth, encode):
    """A PNG with a broken checksum in an extra chunk: TensorFlow ignores it, PIL rejects it."""
    sound = encode(np.full((6, 8, 3), (9, 0, 1), np.uint8), "PNG")
    chunk = b"\x00\x00\x00\x01gAMAx\x00\x00\x00\x00"
    broken = sound[:33] + chunk + sound[33:]
    served(broken)
    with pytest.raises(Exception):  # noqa: B017
        opened(broken).load()
    for contents, others in (([broken], 0), ([sound, broken], 1)):
        costs = costs_of(contents, [0] * len(contents), SPEC, red_or_blue)
        cost = of(costs, "PIL nearest")
        assert (cost.flipped, cost.accuracy, cost.accuracy_served) == (1, others / len(contents), 1.0)
        assert cost.largest == 0.0
        assert of(costs, "default DCT").flipped == 0


def test_flips_are_those_of_a_direct_computation(smooth, encode):
    contents = [encode(smooth(seed), "JPEG") for seed in range(40)]
    weights = np.random.default_rng(0).normal(size=(9 * 14 * 3, 5))

    def score(pixels: np.ndarray) -> np.ndarray:
        return (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ weights

    by_pil = np.stack([np.asarray(opened(one).resize((14, 9), Pil.Resampling.NEAREST)) for one in contents])
    by_us = np.stack([served(one) for one in contents])
    theirs, ours = score(by_pil), score(by_us)
    cost = of(costs_of(contents, ours.argmax(axis=1).tolist(), SPEC, score), "PIL nearest")
    flips = int((theirs.argmax(axis=1) != ours.argmax(axis=1)).sum())
    assert 0 < cost.flipped == flips < 40
    assert (cost.accuracy, cost.accuracy_served) == (pytest.approx(1 - flips / 40), 1.0)
    assert cost.largest == pytest.approx(np.abs(theirs - ours).max())


def test_one_score_has_no_top(encode):
    with pytest.raises(ValueError, match="C at least 2, got \\[1, 1\\]"):
        costs_of([flat(encode, 1, 2)], None, SPEC, lambda pixels: red_or_blue(pixels)[:, :1])


def one_red(pixels: np.ndarray) -> np.ndarray:
    return red_or_blue(pixels)[:, :1]


def test_costs_of_several_labels_by_hand(encode):
    """The thresholds are 100 of 255 for red and 50 of 255 for blue, so that BGR changes the labels of some."""
    contents = [flat(encode, *colour) for colour in ((200, 30), (200, 200), (60, 60), (90, 20), (10, 110))]
    limits = [100 / 255, 50 / 255]
    truth = [[1, 0], [1, 1], [1, 1], [0, 0], [0, 1]]  # served: the third is without red, the others are right
    for cost in [one.cost for one in measured(contents, truth, SPEC, red_or_blue, limits)]:
        # BGR: (30, 200) is blue, both stay both, (60, 60) stays blue, (20, 90) becomes blue, (110, 10) becomes red.
        flipped, accuracy = (3, 1 / 5) if cost.client == "BGR" else (0, 4 / 5)
        assert (cost.flipped, cost.accuracy, cost.accuracy_served) == (flipped, pytest.approx(accuracy), 4 / 5)


def test_one_label_alone_flips_at_its_threshold(encode):
    contents = [flat(encode, 200, 30), flat(encode, 20, 200), flat(encode, 10, 20)]
    cost = of([one.cost for one in measured(contents, [[1], [0], [1]], SPEC, one_red, [0.5])], "BGR")
    assert (cost.flipped, cost.accuracy, cost.accuracy_served) == (2, 0.0, pytest.approx(2 / 3))


def test_exact_match_is_scikit_learns(smooth, encode):
    metrics = pytest.importorskip("sklearn.metrics")
    contents = [encode(smooth(seed), "JPEG") for seed in range(40)]
    draw = np.random.default_rng(0)
    weights, truth, limits = draw.normal(size=(9 * 14 * 3, 2)), draw.integers(0, 2, (40, 2)), [0.1, -0.2]

    def score(pixels: np.ndarray) -> np.ndarray:
        return (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ weights

    def labels(pixels: list[np.ndarray]) -> np.ndarray:
        return score(np.stack(pixels)) >= np.array(limits, np.float32)

    by_us = labels([served(one) for one in contents])
    by_pil = labels([np.asarray(opened(one).resize((14, 9), Pil.Resampling.NEAREST)) for one in contents])
    cost = of([one.cost for one in measured(contents, truth.tolist(), SPEC, score, limits)], "PIL nearest")
    assert cost.accuracy_served == pytest.approx(metrics.accuracy_score(truth, by_us))
    assert cost.accuracy == pytest.approx(metrics.accuracy_score(truth, by_pil))
    assert cost.flipped == (by_us != by_pil).any(axis=1).sum() > 0


def test_what_a_client_cannot_read_has_no_labels_and_is_wrong(encode):
    sound = encode(np.full((6, 8, 3), (9, 0, 1), np.uint8), "PNG")
    broken = sound[:33] + b"\x00\x00\x00\x01gAMAx\x00\x00\x00\x00" + sound[33:]
    cost = of([one.cost for one in measured([broken], [[0]], SPEC, one_red, [0.5])], "PIL nearest")
    assert (cost.flipped, cost.accuracy, cost.accuracy_served) == (1, 0.0, 1.0)


def flip_of(found: list[MeasuredClient], name: str):
    (one,) = [one for one in found if one.client.name == name]
    return one.flip


def test_the_picture_kept_of_a_client_is_served_right_and_changes_most(encode):
    """All four change with BGR; the last is served wrong, and of the others the third changes most."""
    contents = [flat(encode, *colour) for colour in ((120, 90), (90, 200), (230, 20), (0, 255))]
    found = measured(contents, [0, 1, 0, 0], SPEC, red_or_blue)
    flip = flip_of(found, "BGR")
    assert flip.row == 2
    np.testing.assert_array_equal(flip.served, np.full(SPEC.shape, (230, 0, 20), np.uint8))
    np.testing.assert_array_equal(flip.sent, np.full(SPEC.shape, (20, 0, 230), np.uint8))
    np.testing.assert_allclose(flip.scores_served, [230 / 255, 20 / 255])
    np.testing.assert_allclose(flip.scores, [20 / 255, 230 / 255])
    assert flip_of(measured(contents, None, SPEC, red_or_blue), "BGR").row == 3
    assert all(one.flip is None for one in found if one.client.name != "BGR")


def test_the_picture_kept_is_one_that_the_client_can_read_if_there_is_one(smooth, encode):
    wide = encode(smooth(1), "JPEG")
    sound = encode(np.full((6, 8, 3), (9, 0, 1), np.uint8), "PNG")
    broken = sound[:33] + b"\x00\x00\x00\x01gAMAx\x00\x00\x00\x00" + sound[33:]
    flip = flip_of(measured([sound, broken], [0, 0], SPEC, red_or_blue), "PIL nearest")
    assert (flip.row, flip.sent, flip.scores) == (1, None, None)

    def by_sum(pixels: np.ndarray) -> np.ndarray:
        """Answers otherwise for any other pixels than those of `wide`."""
        is_same = (pixels == served(wide)).all(axis=(1, 2, 3)) | (pixels == served(broken)).all(axis=(1, 2, 3))
        return np.stack([is_same, ~is_same], axis=1).astype(float)

    flip = flip_of(measured([broken, wide], [0, 1], SPEC, by_sum), "PIL nearest")
    assert flip.row == 1  # though only the other is served right
    np.testing.assert_array_equal(flip.sent, sent("PIL nearest", wide, SPEC))


def test_horses_and_humans(shared_data):
    """300x300 to 150x150. Not to 100x100: there, bilinear without antialias takes each third pixel, as nearest does."""
    files = sorted((shared_data / "horse-or-human").rglob("*.png"))[::100]
    assert len(files) >= 4
    contents = [file.read_bytes() for file in files]
    costs = costs_of(contents, None, Image(150, 150), red_or_blue)
    by_pil = np.stack(
        [np.asarray(opened(one).convert("RGB").resize((150, 150), Pil.Resampling.NEAREST)) for one in contents]
    )
    by_us = np.stack([served(one, Image(150, 150)) for one in contents])
    difference = np.abs(red_or_blue(by_pil) - red_or_blue(by_us)).max()
    assert of(costs, "PIL nearest").largest == pytest.approx(difference) and difference > 0
    assert of(costs, "EXIF turned") == ClientSkewCost("EXIF turned", len(files), 0, None, None, 0.0)
