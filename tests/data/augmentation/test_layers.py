"""Keras layers in the input: what Keras' layers do themselves, by seed and step, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from data import families
from data.augmentation.config import Augmentation
from data.augmentation.layers import LayerAugmentation, any_mixes_labels, flat_layers
from data.augmentation.seeded_layer import COMPOSITIONS, python_seed
from data.errors import UsageError

SEED, SHAPE = 7, (12, 16, 3)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)
NAMES = np.eye(6, dtype=np.float32)
L = keras.layers

Make = Callable[[], Any]

LAYERS: dict[str, Make] = {
    "auto contrast": lambda: L.AutoContrast(value_range=(0, 255)),
    "brightness": lambda: L.RandomBrightness(0.5),
    "colour degeneration": lambda: L.RandomColorDegeneration(0.5, value_range=(0, 255)),
    "colour jitter": lambda: L.RandomColorJitter((0, 255), 0.4, 0.4, 0.4, 0.4),
    "contrast": lambda: L.RandomContrast(0.5),
    "erasing": lambda: L.RandomErasing(1.0),
    "flip": lambda: L.RandomFlip(),
    "gaussian blur": lambda: L.RandomGaussianBlur(1.0, 3, 1.0, value_range=(0, 255)),
    "grayscale": lambda: L.RandomGrayscale(0.5),
    "hue": lambda: L.RandomHue(0.5, value_range=(0, 255)),
    "invert": lambda: L.RandomInvert(0.5, value_range=(0, 255)),
    "perspective": lambda: L.RandomPerspective(1.0, 0.8),
    "posterization": lambda: L.RandomPosterization(4),
    "rand augment": lambda: L.RandAugment(num_ops=2),
    "rotation": lambda: L.RandomRotation(0.3),
    "saturation": lambda: L.RandomSaturation(0.5, value_range=(0, 255)),
    "sharpness": lambda: L.RandomSharpness(0.5, value_range=(0, 255)),
    "shear": lambda: L.RandomShear(0.4, 0.4),
    "solarization": lambda: L.Solarization(0.5, 0.5, value_range=(0, 255)),
    "spatial dropout": lambda: L.SpatialDropout2D(0.3),
    "translation": lambda: L.RandomTranslation(0.3, 0.3),
    "zoom": lambda: L.RandomZoom(0.4),
}


def augmentation(*layers: Any, seed: int = SEED, share: int = 0, shape: tuple[int, ...] = SHAPE) -> LayerAugmentation:
    return LayerAugmentation(flat_layers(list(layers)), shape, seed, share)


def changed(augmenter: LayerAugmentation, step: int, pictures: np.ndarray = PICTURES) -> np.ndarray:
    return augmenter(tf.constant(step, tf.int64), tf.constant(pictures), tf.constant(NAMES[: len(pictures)]))[0].numpy()


def states(seed: int, step: int, count: int) -> tf.Tensor:
    """The states of seed generators of the first layer: the definition that a restart relies on."""
    key = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, step], tf.int64), tf.constant(0, tf.int64), "philox"
    )
    drawn = tf.random.stateless_uniform([count + 1], key, 0, 2**31 - 2, tf.int64, alg="philox")[1:]
    return tf.stack([drawn, tf.zeros_like(drawn)], axis=1)


def called(layer: Any, step: int) -> np.ndarray:
    """What the layer itself does, called eagerly with these states."""
    for variable, state in zip(layer.variables, states(SEED, step, len(layer.variables)), strict=True):
        variable.assign(state)
    result = np.asarray(layer(tf.constant(PICTURES, tf.float32), training=True))
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_does_what_it_does_by_itself_and_the_same_when_it_is_made_again(name: str) -> None:
    ours = augmentation(LAYERS[name]())
    assert not ours.mixes_labels
    keras.utils.set_random_seed(1)  # neither the process' seeds nor the layer's own count
    again = augmentation(LAYERS[name]())
    for step in (3, 0):
        found, expected = changed(ours, step), called(LAYERS[name](), step)
        # Sums in another order differ in the last bit, and then a half may be rounded to the other side.
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.mean(found == expected) > 0.99
        np.testing.assert_array_equal(changed(again, step), found)


@pytest.mark.skipif(not families.HAS_ELASTIC_TRANSFORM, reason="this TensorFlow ends the process")
def test_elastic_transform_is_repeated() -> None:
    ours, again = (augmentation(L.RandomElasticTransform(value_range=(0, 255))) for _ in range(2))
    np.testing.assert_array_equal(changed(ours, 3), changed(again, 3))


def test_a_share_of_a_batch_may_have_one_picture_or_none() -> None:
    ours = augmentation(L.RandAugment(num_ops=1), L.CutMix())
    for count in (0, 1):
        images, labels = tf.constant(PICTURES[:count]), tf.constant(NAMES[:count])
        for step in range(3):
            found, mixed = ours(tf.constant(step, tf.int64), images, labels)
            assert found.shape == images.shape and np.array_equal(mixed, labels)


def test_aug_mix_chooses_one_of_several_compositions_at_each_step() -> None:
    ours = augmentation(L.AugMix(num_chains=1, chain_depth=1))
    layer, compositions = L.AugMix(num_chains=1, chain_depth=1), set()
    for step in range(4):
        found = changed(ours, step).astype(int)
        for number in range(COMPOSITIONS):
            with python_seed(SEED + number):
                if np.abs(found - called(layer, step)).max() <= 1:
                    compositions.add(number)
                    break
        else:
            pytest.fail(f"step {step} has none of the compositions")
    assert len(compositions) > 1


@pytest.mark.parametrize("other", [{"seed": 8}, {"share": 1}])
def test_another_seed_or_share_draws_other_changes(other: dict[str, int]) -> None:
    ours, others = augmentation(L.RandomRotation(0.4)), augmentation(L.RandomRotation(0.4), **other)  # type: ignore[arg-type]
    assert not np.array_equal(changed(ours, 0), changed(others, 0))


def test_two_equal_layers_draw_differently_and_so_do_two_steps() -> None:
    """Two mirrors that draw the same would always give the picture back."""
    once, twice = (
        augmentation(L.RandomFlip("horizontal")),
        augmentation(*(L.RandomFlip("horizontal") for _ in range(2))),
    )
    assert not all(np.array_equal(changed(twice, step), PICTURES) for step in range(3))
    assert not np.array_equal(changed(once, 0), changed(once, 1))


def test_a_dataset_gives_the_same_batches_in_parallel_and_from_any_step() -> None:
    ours = augmentation(L.RandomRotation(0.2), L.RandomErasing(1.0))

    def batches(first: int) -> list[np.ndarray]:
        steps = tf.data.Dataset.range(first, 8)
        images = tf.constant(PICTURES)
        found = steps.map(lambda step: ours(step, images, tf.constant(NAMES))[0], num_parallel_calls=4)
        return list(found.as_numpy_iterator())

    np.testing.assert_array_equal(batches(5), batches(0)[5:])


def test_pipelines_models_of_layers_and_the_old_augmentation_are_taken_apart() -> None:
    old = Augmentation(rotation_range=30.0, fill_mode="constant")
    nested = [old, L.Pipeline([L.RandomFlip(), keras.Sequential([L.RandomInvert(0.5)])]), (L.CutMix(),)]
    found = list(flat_layers(nested))
    assert [type(one).__name__ for one in found] == ["Augmentation", "RandomFlip", "RandomInvert", "CutMix"]
    assert any_mixes_labels(found)
    assert not any_mixes_labels(found[:-1])


def test_the_old_augmentation_among_layers_changes_by_step() -> None:
    ours = augmentation(Augmentation(horizontal_flip=True), L.AutoContrast())
    alone = augmentation(L.AutoContrast())
    contrasted = changed(alone, 0)
    for step in range(3):
        found = changed(ours, step)
        mirrored = [np.array_equal(one, other[:, ::-1]) for one, other in zip(found, contrasted, strict=True)]
        same = [np.array_equal(one, other) for one, other in zip(found, contrasted, strict=True)]
        assert all(np.logical_xor(mirrored, same))


def grey(*values: int) -> np.ndarray:
    """Pictures of one value each, so that a mixture's pixels name the pictures in it."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), *SHAPE)).copy()


def test_mix_up_mixes_the_labels_as_the_pixels() -> None:
    values, labels = (20, 90, 250), np.eye(3, dtype=np.float32)
    ours = augmentation(L.RandomFlip(), L.MixUp(alpha=1.0))
    assert ours.mixes_labels
    seen = set()
    for step in range(4):
        images, mixed = ours(tf.constant(step, tf.int64), tf.constant(grey(*values)), tf.constant(labels))
        assert mixed.dtype == tf.float32
        np.testing.assert_allclose(mixed.numpy().sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(images.numpy().mean(axis=(1, 2, 3)), mixed.numpy() @ values, atol=0.51)
        seen |= {tuple(np.flatnonzero(row > 0.01)) for row in mixed.numpy()}
    assert any(len(one) == 2 for one in seen)


def test_cut_mix_gives_each_label_the_share_of_its_pixels() -> None:
    values, largest = (20, 90, 250), []
    ours = augmentation(L.CutMix((0.9, 1.0)))
    for step in range(4):
        images, mixed = ours(tf.constant(step, tf.int64), tf.constant(grey(*values)), tf.eye(3))
        shares = np.stack([np.mean(images.numpy() == value, axis=(1, 2, 3)) for value in values], axis=1)
        np.testing.assert_allclose(shares, mixed.numpy(), atol=0.12)  # the edges of the box are between pixels
        largest += mixed.numpy().max(axis=1).tolist()
    assert min(largest) < 0.8


def test_numbers_and_rows_of_labels_are_mixed_too() -> None:
    ours = augmentation(L.MixUp(alpha=1.0))
    step, images = tf.constant(0, tf.int64), tf.constant(grey(20, 90, 250))
    pictures, numbers = ours(step, images, tf.constant([20.0, 90.0, 250.0]))
    assert numbers.shape == (3,)
    np.testing.assert_allclose(pictures.numpy().mean(axis=(1, 2, 3)), numbers.numpy(), atol=0.51)
    rows = np.array([[1, 1], [0, 1], [0, 0]], np.float32)
    mixed = ours(step, images, tf.constant(rows))[1].numpy()
    np.testing.assert_allclose(mixed, ours(step, images, tf.eye(3))[1].numpy() @ rows, rtol=1e-5)


class Tinted(keras.layers.Layer):
    """A user's layer that draws as Keras' guide says, without a `training` argument."""

    def __init__(self) -> None:
        super().__init__()
        self.draws = {"tint": keras.random.SeedGenerator(3)}

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * keras.random.uniform((1, 1, 1, 3), seed=self.draws["tint"])


def test_a_user_s_layer_is_repeated() -> None:
    ours, again = augmentation(Tinted()), augmentation(Tinted())
    np.testing.assert_array_equal(changed(ours, 4), changed(again, 4))
    assert not np.array_equal(changed(ours, 4), changed(ours, 5))


def layer_of(change: Callable[[tf.Tensor], tf.Tensor]) -> keras.layers.Layer:
    class Own(keras.layers.Layer):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return change(inputs)

    return Own()


REFUSED: dict[str, tuple[Make, str]] = {
    "tf.random": (lambda: layer_of(lambda x: x + tf.random.normal((1,))), "Own has draws that cannot be repeated"),
    "a generator": (
        lambda: layer_of(lambda x: x + tf.random.get_global_generator().normal((1,))),
        "Own has draws that cannot be repeated",
    ),
    "numpy": (lambda: layer_of(lambda x: tf.numpy_function(np.copy, [x], tf.float32)), "cannot be repeated: PyFunc"),
    "inside a map": (
        lambda: layer_of(lambda x: tf.map_fn(lambda one: one * tf.random.uniform(()), x)),
        "Own has draws that cannot be repeated: RandomUniform",
    ),
    "Keras' own generator": (
        lambda: layer_of(lambda x: x + keras.random.normal((1,))),
        "Own draws with a keras.random",
    ),
    "weights": (lambda: L.Conv2D(3, 3, padding="same"), "Conv2D has weights"),
    "a crop": (lambda: L.RandomCrop(8, 8), "the pictures are 8 x 8 x 3 afterwards, but the model takes 12 x 16 x 3"),
    "scaled": (lambda: L.Rescaling(1 / 255), "the pictures are black afterwards"),
    "scaled before": (
        lambda: L.RandomBrightness(0.1, value_range=(0, 1)),
        r"RandomBrightness is for values of \(0, 1\)",
    ),
    "not pictures": (lambda: L.Flatten(), r"Flatten gives \(None, 576\), expected pictures"),
    "no layer": (lambda: "random_flip", "augment must be Keras layers, got 'random_flip'"),
    "an error of Keras": (lambda: L.Cropping2D(20), r"Cropping2D cannot change pictures of \(12, 16, 3\): "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as refused:
        augmentation(make())
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(families.HAS_ELASTIC_TRANSFORM, reason="it works with this TensorFlow")
def test_a_layer_that_ends_the_process_is_refused() -> None:
    with pytest.raises(UsageError, match="RandomElasticTransform ends the process"):
        augmentation(L.RandomElasticTransform(value_range=(0, 255)))


def test_grey_pictures_are_refused_by_layers_for_colours() -> None:
    with pytest.raises(UsageError, match=r"RandomHue cannot change pictures of \(12, 16, 1\)"):
        augmentation(L.RandomHue(0.5, value_range=(0, 255)), shape=(12, 16, 1))


def test_a_crop_of_pictures_that_were_made_larger_keeps_their_size() -> None:
    found = changed(augmentation(L.ZeroPadding2D(2), L.RandomCrop(12, 16)), 0)
    places = [
        (down, along)
        for down in range(5)
        for along in range(5)
        if np.array_equal(
            found, np.pad(PICTURES, ((0, 0), (2, 2), (2, 2), (0, 0)))[:, down : down + 12, along : along + 16]
        )
    ]
    assert len(places) == 1


def test_the_process_generators_are_as_before() -> None:
    layer, drawn = L.AugMix(num_chains=1, chain_depth=1), []
    for use in (False, True):
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        if use:
            augmentation(layer)
        drawn.append((random.random(), np.random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
