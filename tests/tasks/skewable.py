"""A small task for planted skews of every kind: it has normalisation, batch norm, augmentation and one sigmoid."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from skewless import Augmentation, Feature, Gate, Image, ImageFolder, Task, Train

MEAN, STD = [0.4, 0.5, 0.6], [0.25, 0.3, 0.2]


def build_model(feature: Feature, classes: int, unit: float = 1 / 255, is_swapped: bool = False) -> keras.Model:
    """Build a network: uint8 [N, 20, 24, 3] to one sigmoid [N, 1].

    Args:
      feature: Feature of the task.
      classes: Number of classes.
      unit: Factor of the pixels; another one than 1/255 is a skew.
      is_swapped: Whether mean and standard deviation are swapped, which is a skew.
    """
    inputs, hidden = _network(feature, unit, is_swapped)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))


def build_logits(feature: Feature, classes: int, is_swapped: bool = False) -> keras.Model:
    """Build the network with logits [N, classes], in the precision of the global policy."""
    inputs, hidden = _network(feature, 1 / 255, is_swapped)
    return keras.Model(inputs, keras.layers.Dense(classes)(hidden))


def _network(feature: Feature, unit: float, is_swapped: bool) -> tuple[Any, Any]:
    """Return the input, and what the last layer gets."""
    mean, std = (STD, MEAN) if is_swapped else (MEAN, STD)
    inputs = keras.Input(feature.shape, dtype="uint8")
    hidden = keras.layers.Rescaling(unit)(inputs)
    hidden = keras.layers.Normalization(mean=mean, variance=[value**2 for value in std])(hidden)
    hidden = keras.layers.Conv2D(8, 3, activation="relu")(hidden)
    return inputs, keras.layers.Flatten()(keras.layers.BatchNormalization()(hidden))


TASK = Task(
    name="skewable",
    source=ImageFolder(),
    feature=Image(20, 24, 3),
    model=build_model,
    augment=Augmentation(rotation_range=20, horizontal_flip=True),
    train=Train(epochs=2, batch_size=16, learning_rate=3e-4),
    gate=Gate(sample=12, pictures=0),
)

LOGITS = dataclasses.replace(
    TASK,
    model=build_logits,
    augment=Augmentation(),
    train=Train(epochs=6, batch_size=16, learning_rate=1e-3, mixed_precision="bfloat16"),
)
