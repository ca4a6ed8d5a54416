"""The setting `augment`: what it takes, what the cache compares, and what is refused before anything runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import pytest

from components.task.augment_field import layers_of
from components.task.fingerprint import describe_dependencies
from components.task.overrides import apply_settings, setting_names
from data.augmentation.config import Augmentation
from data.errors import UsageError
from tests.tasks.line import TASK as LINE
from tests.tasks.tiny import TASK

L = keras.layers


def described(augment: Any) -> dict[str, str]:
    """What the cache compares, of a task with this augmentation."""
    return describe_dependencies(dataclasses.replace(TASK, augment=augment).augment, "augment")


def test_a_text_names_layers_of_keras_with_their_settings() -> None:
    task = apply_settings(
        TASK, {"augment": "rand_augment(num_ops=1, factor=(0.1, 0.2)), RandomFlip, random_hue(factor=.1)"}
    )
    augment, flip, hue = layers_of(task.augment)
    assert (type(augment), augment.num_ops, augment.factor) == (L.RandAugment, 1, (0.1, 0.2))
    assert isinstance(flip, L.RandomFlip)
    assert tuple(hue.value_range) == (0, 255)  # no text needs it


@pytest.mark.parametrize("text", ["", "none", " None "])
def test_a_text_switches_the_augmentation_off(text: str) -> None:
    augmented = dataclasses.replace(TASK, augment=Augmentation(rotation_range=3.0))
    assert apply_settings(augmented, {"augment": text}).augment == TASK.augment == Augmentation()
    assert dataclasses.replace(TASK, augment=[]).augment == Augmentation()


def test_the_fields_of_the_old_augmentation_are_settings_as_before() -> None:
    assert {"augment", "augment.rotation_range"} <= set(setting_names(TASK))
    assert apply_settings(TASK, {"augment.rotation_range": "3"}).augment == Augmentation(rotation_range=3.0)
    with pytest.raises(UsageError, match="augment and augment.rotation_range cannot both be set"):
        apply_settings(TASK, {"augment.rotation_range": "3", "augment": "random_flip"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random_flp", "no layer for augment 'random_flp'. Did you mean 'random_flip'?"),
        ("dense(units=3)", "no layer for augment 'dense'"),
        ("random_flip(mod=1)", "no argument of random_flip for augment 'mod'. Did you mean 'mode'?"),
        ("random_flip(seed=1)", "augment: random_flip must not have seed"),
        ("random_rotation", "augment: random_rotation is not legal: "),
        ("random_flip, ", "augment must be a name"),
        ("random_brightness(factor=0.1, value_range=(0, 1))", r"RandomBrightness is for values of \(0, 1\)"),
    ],
)
def test_an_illegal_text_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        apply_settings(TASK, {"augment": text})


@pytest.mark.parametrize("value", [3, ["random_flip"], [L.RandomFlip(), 3], L.RandomContrast(0.1, (0, 1))])
def test_what_is_no_layer_for_pictures_is_refused_at_once(value: Any) -> None:
    with pytest.raises(UsageError, match="augment"):
        dataclasses.replace(TASK, augment=value)


def test_a_function_of_pictures_is_refused_with_what_to_do() -> None:
    def brighten(images: Any) -> Any:
        return images + 1

    with pytest.raises(UsageError, match="the function brighten must return Keras layers") as refused:
        layers_of(brighten)
    assert "keras.layers.Layer" in refused.value.hint


def test_only_pictures_are_augmented() -> None:
    with pytest.raises(UsageError, match="only pictures can be augmented"):
        dataclasses.replace(LINE, augment="random_flip")


def turned_by(factor: float) -> list[Any]:
    return [L.RandomRotation(factor), L.RandomFlip()]


def turned() -> list[Any]:
    return turned_by(0.1)


def turned_more() -> list[Any]:
    return turned_by(0.2)


def test_the_cache_compares_settings_and_code_and_neither_names_nor_seeds() -> None:
    assert described(turned_by(0.1)) == described(tuple(turned_by(0.1))) != described(turned_by(0.2))
    assert described(L.RandomCrop(8, 8)) == described(L.RandomCrop(8, 8, seed=3)) != described(L.RandomCrop(8, 7))
    assert described(turned) != described(turned_more)
    assert described(turned_by(0.1)) != described(turned_by(0.1)[::-1])
    assert described("random_flip") != described("random_flip(mode=vertical)")


def test_the_cache_takes_a_layer_that_was_called_for_the_same() -> None:
    pipeline = L.Pipeline(turned())
    before = described(pipeline)
    for layer in pipeline.layers:
        layer.build((None, 8, 8, 3))
    assert described(pipeline) == before
