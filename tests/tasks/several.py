"""The smallest task with several labels: a linear model with sigmoids on pictures of 8x8 pixels."""

from __future__ import annotations

import dataclasses

import keras

from skewless import Feature, Gate, Image, ImageFolder, Labels, Task, TFRecords, Train


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a linear model: uint8 [N, 8, 8, 3] to probabilities [N, labels], each on its own."""
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="sigmoid"),
        ]
    )


TASK = Task(
    name="several",
    source=ImageFolder(),
    feature=Image(8, 8, 3),
    model=build_model,
    label=Labels(),
    train=Train(epochs=1, batch_size=8, learning_rate=0.05),
    gate=Gate(sample=4, pictures=0),
)

RECORDS = dataclasses.replace(TASK, source=TFRecords())
