"""The augmentation equals that of `ImageDataGenerator` itself, with the same parameters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from data.augmentation.config import Augmentation
from data.augmentation.draws import Draws
from data.errors import UsageError
from tests import PROJECT

N = 12
WILD: dict[str, Any] = {
    "rotation_range": 180.0,
    "width_shift_range": 0.6,
    "height_shift_range": 1.3,
    "shear_range": 40.0,
    "zoom_range": (0.3, 3.0),
    "horizontal_flip": True,
    "vertical_flip": True,
}
SIZES = [(24, 24), (31, 18)]


def pictures(height: int, width: int, channels: int, dtype: str, smooth: Callable[..., np.ndarray]) -> np.ndarray:
    return np.stack([smooth(seed, height, width)[..., :channels] for seed in range(N)]).astype(dtype)


def old(arguments: dict[str, Any], images: np.ndarray, draws: Draws) -> np.ndarray:
    """The old class, picture by picture."""
    generator = ImageDataGenerator(**arguments)
    rows = [
        {name: None if values is None else np.asarray(values)[i].item() for name, values in draws._asdict().items()}
        for i in range(len(images))
    ]
    return np.stack([generator.apply_transform(image, row) for image, row in zip(images, rows, strict=True)])


def farthest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).max())


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_geometry_is_the_old_class(
    fill_mode: str, channels: int, dtype: str, in_both: Callable[..., np.ndarray], smooth: Callable[..., np.ndarray]
) -> None:
    for number, size in enumerate(SIZES):
        images = pictures(*size, channels, dtype, smooth)
        for order in (0, 1):
            arguments = {**WILD, "fill_mode": fill_mode, "cval": 77.3, "interpolation_order": order}
            augmentation = Augmentation(**arguments)
            draws = augmentation.draw((number, order), N, *size)
            ours = in_both(lambda batch, a=augmentation, d=draws: a.apply(batch, d), images)
            want = old(arguments, images, draws)
            assert ours.dtype == want.dtype == dtype
            assert farthest(ours, want) <= (0 if not order else 1 if dtype == "uint8" else 1e-3)
            assert np.mean(ours != want) < 1e-4 or dtype == "float32"


def test_four_channels_are_the_old_class(smooth: Callable[..., np.ndarray]) -> None:
    images = np.concatenate([pictures(20, 20, 3, "uint8", smooth), pictures(20, 20, 1, "uint8", smooth)], axis=-1)
    augmentation = Augmentation(**WILD)
    draws = augmentation.draw((0, 0), N, 20, 20)
    assert farthest(augmentation.apply(images, draws).numpy(), old(WILD, images, draws)) <= 1


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("size", SIZES)
def test_intensity_is_the_old_class(
    dtype: str, size: tuple[int, int], in_both: Callable[..., np.ndarray], smooth: Callable[..., np.ndarray]
) -> None:
    images = pictures(*size, 3, dtype, smooth)
    for changes in (
        {"channel_shift_range": 90.0},
        {"brightness_range": (0.3, 1.9)},
        {"channel_shift_range": 90.0, "brightness_range": (0.3, 1.9), **WILD, "interpolation_order": 0},
    ):
        augmentation = Augmentation(**changes)
        draws = augmentation.draw((3, 1), N, *size)
        ours = in_both(lambda batch, a=augmentation, d=draws: a.apply(batch, d), images)
        assert farthest(ours, old(changes, images, draws)) <= (1 if dtype == "uint8" else 1e-2)


def fixed(**given: Any) -> Draws:
    """Parameters of as many pictures as `tx` has; those not given change nothing."""
    count = len(given["tx"])
    still = {"theta": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}
    values = {**still, "flip_horizontal": False, "flip_vertical": False, **given}
    tensors = {name: tf.constant(np.broadcast_to(value, count)) for name, value in values.items()}
    return Draws(**tensors, channel_shift_intensity=None, brightness=None)


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("order", [0, 1])
def test_borders_and_halves_fall_on_the_side_of_scipy(fill_mode: str, order: int) -> None:
    shifts = np.array([0.0, 0.5, -0.5, 3.0, -2.5, 7.0, -7.0, 6.5, -8.0, 14.0, -14.0, 23.5])
    images = np.random.default_rng(1).integers(0, 256, (len(shifts), 8, 8, 1), np.uint8)
    arguments: dict[str, Any] = {"fill_mode": fill_mode, "cval": 9.0, "interpolation_order": order}
    for draws in (fixed(tx=shifts), fixed(tx=-shifts, ty=shifts, zy=0.5), fixed(tx=shifts, zx=2.0, flip_vertical=True)):
        want = old(arguments, images, draws)
        np.testing.assert_array_equal(Augmentation(**arguments).apply(images, draws), want)


def test_drawn_distributions_are_those_of_the_old_class() -> None:
    """Two-sample Kolmogorov-Smirnov, and shares for what takes few values."""
    from scipy import stats

    count, size = 4000, (50, 80)
    ranges: list[dict[str, Any]] = [
        {**WILD, "channel_shift_range": 20.0, "brightness_range": (0.4, 1.2)},
        {"width_shift_range": 4, "height_shift_range": [0.1, -0.3, 0.25]},
        {"width_shift_range": [3, 9, 20], "height_shift_range": 1, "zoom_range": 0.4},
        {"width_shift_range": 2.5, "height_shift_range": 0.2},
    ]
    for number, arguments in enumerate(ranges):
        generator = ImageDataGenerator(**arguments)
        np.random.seed(number)
        olds = [generator.get_random_transform((*size, 3)) for _ in range(count)]
        ours = Augmentation(**arguments).draw((11, number), count, *size)
        for name, values in ours._asdict().items():
            if values is None:
                assert olds[0][name] is None
                continue
            one, other = np.asarray(values, float), np.array([float(old[name]) for old in olds])
            if len(np.unique(other)) < 20:
                assert np.allclose(np.unique(np.round(one, 9)), np.unique(np.round(other, 9))), name
                for value in np.unique(other):
                    assert abs(np.isclose(one, value).mean() - np.isclose(other, value).mean()) < 0.05, name
            else:
                assert stats.ks_2samp(one, other).pvalue > 1e-3, name
        shared = np.corrcoef(np.asarray(ours.zx), np.asarray(ours.zy))[0, 1] if "zoom_range" in arguments else 0.0
        assert abs(shared) < 0.08  # drawn independently


def test_seed_and_step_tell_the_batch_in_any_graph_and_process(smooth: Callable[..., np.ndarray]) -> None:
    augmentation = Augmentation(**WILD, channel_shift_range=20.0)
    images = pictures(20, 30, 3, "uint8", smooth)
    eager = [augmentation(images, (5, step)).numpy() for step in range(3)]
    assert not np.array_equal(eager[0], eager[1])
    assert not np.array_equal(eager[0], augmentation(images, (6, 0)))
    mapped = tf.data.Dataset.from_tensors(images).repeat(3).enumerate().map(lambda i, x: augmentation(x, (5, i)))
    np.testing.assert_array_equal(eager, list(mapped.as_numpy_iterator()))
    np.testing.assert_array_equal(eager[1], tf.function(lambda x: augmentation(x, (5, 1)), jit_compile=True)(images))
    np.testing.assert_array_equal(eager[0][:4], augmentation(images[:4], (5, 0)))  # whatever pictures follow
    program = (
        "import sys, zlib, numpy as np; from data.augmentation.config import Augmentation;"
        "x = np.arange(2 * 9 * 8 * 3).reshape(2, 9, 8, 3).astype('uint8');"
        "print(zlib.crc32(Augmentation(rotation_range=30.0, zoom_range=0.3)(x, (5, 4)).numpy().tobytes()))"
    )
    root = PROJECT
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    import zlib

    x = np.arange(2 * 9 * 8 * 3).reshape(2, 9, 8, 3).astype("uint8")
    here = zlib.crc32(Augmentation(rotation_range=30.0, zoom_range=0.3)(x, (5, 4)).numpy().tobytes())
    assert int(done.stdout.split()[-1]) == here


def test_the_default_changes_nothing(smooth: Callable[..., np.ndarray]) -> None:
    images = pictures(9, 7, 3, "uint8", smooth)
    np.testing.assert_array_equal(Augmentation()(images, (0, 0)), images)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rotation_range": -1}, "rotation_range must be a number of at least 0"),
        ({"rotation_range": float("nan")}, "rotation_range must be a number"),
        ({"zoom_range": (1.2, 0.8)}, r"zoom_range must be \(lowest, highest\)"),
        ({"zoom_range": (1.0, 1.1, 1.2)}, "zoom_range must be two numbers"),
        ({"brightness_range": 0.5}, "brightness_range must be two numbers"),
        ({"width_shift_range": []}, "width_shift_range is an empty list"),
        ({"height_shift_range": "0.2"}, "height_shift_range must be a number"),
        ({"fill_mode": "reflekt"}, "Did you mean 'reflect'"),
        ({"interpolation_order": 3}, "interpolation_order must be 0"),
        ({"horizontal_flip": 1}, "horizontal_flip must be True or False"),
    ],
)
def test_wrong_ranges_are_named(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Augmentation(**arguments)


def test_pictures_that_cannot_be_augmented_are_refused() -> None:
    augmentation = Augmentation(rotation_range=10.0)
    with pytest.raises(UsageError, match="known size"):
        tf.function(lambda images: augmentation(images, (0, 0)), autograph=False).get_concrete_function(
            tf.TensorSpec([None, None, 4, 3], tf.uint8)
        )
    with pytest.raises(UsageError, match="at most 4 channels, got 5"):
        augmentation(np.zeros((1, 4, 4, 5), np.uint8), (0, 0))
    with pytest.raises(UsageError, match="uint8 or float32, got float64"):
        augmentation(np.zeros((1, 4, 4, 3)), (0, 0))
    with pytest.raises(UsageError, match="needs 1 or 3 channels, got 4"):
        Augmentation(brightness_range=(0.5, 1.0))(np.zeros((1, 4, 4, 4), np.uint8), (0, 0))
