"""A regression task: a line, y = 2x + 1.2, from a CSV."""

from __future__ import annotations

import keras

from skewless import Csv, Evaluate, Feature, Number, Task, Train, Vector


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a linear model: float32 [N, 1] to a number [N, 1]."""
    return keras.Sequential([keras.Input(feature.shape), keras.layers.Dense(1)])


TASK = Task(
    name="line",
    source=Csv(label="y"),
    feature=Vector(1),
    label=Number(),
    model=build_model,
    train=Train(epochs=40, batch_size=8, learning_rate=0.05),
    evaluate=Evaluate(max_error=0.05, slices=()),
)
