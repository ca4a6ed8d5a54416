"""Layers of Keras as a task's augmentation: in the input of training, in no model."""

from __future__ import annotations

import dataclasses
import random

import keras
import numpy as np
import tensorflow as tf

from components.models.augment_layer import Augment
from components.models.augmentation import augmenter_of, mixes_labels
from components.models.build import build_for_training, without_augmentation
from components.task.overrides import apply_settings
from data.augmentation.config import Augmentation
from tests.tasks.tiny import TASK

FLIPPED = apply_settings(TASK, {"augment": "random_flip(mode=horizontal)"})
PICTURES = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8))


def test_an_augmentation_is_in_the_model_and_layers_are_not() -> None:
    old = dataclasses.replace(TASK, augment=Augmentation(horizontal_flip=True))
    assert augmenter_of(TASK) is None and augmenter_of(old) is None
    assert any(isinstance(layer, Augment) for layer in build_for_training(old, 3).layers)
    model = build_for_training(FLIPPED, 3)
    assert without_augmentation(model) is model
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in build_for_training(TASK, 3).layers]


def test_the_task_s_seed_and_the_share_decide_what_is_drawn() -> None:
    def mirrored(*arguments: int, seed: int = 0) -> list[bool]:
        task = apply_settings(FLIPPED, {"train.seed": str(seed)})
        augmenter = augmenter_of(task, *arguments)
        assert augmenter is not None
        found = [augmenter(tf.constant(step, tf.int64), PICTURES, tf.zeros(5, tf.int64))[0] for step in range(6)]
        assert all(np.array_equal(np.sort(one, axis=2), np.sort(PICTURES, axis=2)) for one in found)
        return [np.array_equal(one[0], PICTURES[0]) for one in found]

    assert mirrored() == mirrored() != mirrored(1)
    assert mirrored() != mirrored(seed=1)


def test_labels_that_are_not_mixed_are_returned_as_they_are() -> None:
    augmenter, labels = augmenter_of(FLIPPED), tf.constant([0, 1, 2, 0, 1], tf.int64)
    assert augmenter is not None and not augmenter.mixes_labels
    found = augmenter(tf.constant(0, tf.int64), PICTURES, labels)[1]
    assert found.dtype == tf.int64 and found.numpy().tolist() == labels.numpy().tolist()


def test_mixed_labels_make_the_model_s_loss_that_of_rows() -> None:
    task = apply_settings(TASK, {"augment": "random_flip, mix_up"})
    assert mixes_labels(task) and not mixes_labels(FLIPPED) and not mixes_labels(TASK)
    assert isinstance(build_for_training(task, 3).loss, keras.losses.CategoricalCrossentropy)
    assert isinstance(build_for_training(FLIPPED, 3).loss, keras.losses.SparseCategoricalCrossentropy)


def test_the_weights_of_the_model_do_not_depend_on_the_augmentation() -> None:
    def weights(task: object) -> np.ndarray:
        random.seed(0)
        augmenter_of(task)  # type: ignore[arg-type]
        keras.backend.clear_session()
        return np.concatenate([one.ravel() for one in build_for_training(task, 3).get_weights()])  # type: ignore[arg-type]

    np.testing.assert_array_equal(weights(FLIPPED), weights(TASK))
