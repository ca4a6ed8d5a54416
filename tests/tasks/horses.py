"""Horses or humans at 64 pixels, small enough for a test."""

from __future__ import annotations

import keras

from skewless import Evaluate, Feature, Image, ImageFolder, Task, Train


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a network: uint8 [N, 64, 64, 3] to one sigmoid [N, 1], the probability of the second class."""
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


TASK = Task(
    name="horses",
    source=ImageFolder(),
    feature=Image(64, 64, 3, antialias=True),
    model=build_model,
    train=Train(epochs=2),
    evaluate=Evaluate(min_accuracy=0.55),
)
