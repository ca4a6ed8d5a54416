"""Layers of Keras as augmentation in a training: by step, on restart too, and with labels that are mixed."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models.augmentation import augmenter_of
from components.task.task import Task
from components.training.batches import Splits, prepare_batches
from data.input.reader import Batches
from data.spec import Feature, Image, Labels
from tests.components.training.keras_fit import (
    CLASSES,
    SEED,
    STEPS,
    Training,
    assert_same_training,
    fit_in_two_parts,
    fit_ours,
    read_batches,
    task_with,
)

PICTURES = Image(6, 6, 3)
MIXED = "random_translation(height_factor=0.3, width_factor=0.3), mix_up(alpha=1.0)"


def fit_by_hand(task: Task, loss: keras.losses.Loss, metric: keras.metrics.Metric) -> Training:
    """Train with Keras' `fit` on batches that are augmented by the number of the step."""
    augmenter = augmenter_of(task)
    assert augmenter is not None

    def rows(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images, tf.one_hot(labels, len(CLASSES)) if augmenter.mixes_labels else labels

    read = read_batches(task)
    train = read.passes().map(rows).enumerate().map(lambda step, batch: augmenter(step, *batch))
    keras.utils.set_random_seed(SEED)
    model = task.model(task.feature, len(CLASSES))
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=[metric])
    settings = {"steps_per_epoch": STEPS, "epochs": task.train.epochs, "shuffle": False, "verbose": 0}
    fitted = model.fit(train, validation_data=read.one_pass().map(rows), **settings)
    return Training(model, {"history": fitted.history})


@pytest.mark.parametrize("augment", ["random_flip, random_erasing(factor=1.0)", MIXED])
def test_keras_fit_on_augmented_batches_gives_the_same_losses_and_a_killed_training_too(
    augment: str, tmp_path: Path
) -> None:
    task = task_with(feature=PICTURES, augment=augment, epochs=2)
    ours = fit_ours(task, tmp_path / "whole")
    if augment == MIXED:
        pair = keras.losses.CategoricalCrossentropy(), keras.metrics.CategoricalAccuracy("accuracy")
    else:
        pair = keras.losses.SparseCategoricalCrossentropy(), keras.metrics.SparseCategoricalAccuracy("accuracy")
    assert_same_training(ours, fit_by_hand(task, *pair))
    assert_same_training(fit_in_two_parts(task, 7, tmp_path / "killed"), ours)


def test_mixed_labels_go_with_class_weights_and_smoothing(tmp_path: Path) -> None:
    task = task_with(feature=PICTURES, augment=MIXED, epochs=1, class_weight="balanced", label_smoothing=0.1)
    history = fit_ours(task, tmp_path).history
    assert all(value[0] == value[0] for value in history.values())  # not NaN


def network(feature: Feature, classes: int) -> keras.Model:
    inputs = keras.Input(feature.shape, dtype="uint8")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, "sigmoid")(hidden))


def test_rows_of_labels_are_mixed(tmp_path: Path) -> None:
    task = task_with(network, Labels(CLASSES), PICTURES, MIXED, epochs=1)
    assert 0 < fit_ours(task, tmp_path).history["loss"][0] < 5


def test_two_classes_are_mixed_for_one_sigmoid_and_weighed_by_their_shares() -> None:
    task = task_with(feature=PICTURES, augment=MIXED, class_weight={"ash": 3.0, "oak": 0.5})
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8))
    read = Batches(lambda *_: tf.data.Dataset.from_tensors((images, tf.constant([0, 1], tf.int64))), 1, True)
    train, evaluation = prepare_batches(Splits(read, read, ("ash", "oak"), {}), task, 1, augmenter_of(task))
    ((_, labels, weights),) = list(train.passes())
    assert labels.shape == (2,) and labels.numpy().min() > 0 and labels.numpy().max() < 1
    np.testing.assert_allclose(weights, 3 - 2.5 * labels.numpy(), rtol=1e-5)
    assert next(iter(evaluation.one_pass()))[1].dtype == tf.int64
