"""Tasks on rows of numbers from a CSV, with different labels and features, to run one after another in one root."""

from __future__ import annotations

import dataclasses

import keras

from skewless import Csv, Evaluate, Feature, Number, Task, Train, Vector


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a linear model: float32 [N, size] to probabilities [N, classes], or to a number [N, 1]."""
    dense = keras.layers.Dense(classes or 1, activation="softmax" if classes else None)
    return keras.Sequential([keras.Input(feature.shape), dense])


CLASSES = Task(
    name="tiny",
    source=Csv(label="y", columns=("a", "b")),
    feature=Vector(2),
    model=build_model,
    train=Train(epochs=1, batch_size=8),
    evaluate=Evaluate(max_drop=1.0),
)
NUMBER = dataclasses.replace(CLASSES, label=Number())
WIDER = dataclasses.replace(CLASSES, source=Csv(label="y"), feature=Vector(3))
