"""The smallest task: a linear model on pictures of 8x8 pixels. It trains in a second; the gate compares few records."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from skewless import Feature, Gate, Image, ImageFolder, Task, TFRecords, Train


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a linear model: uint8 [N, 8, 8, 3] to probabilities [N, classes]."""
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


TASK = Task(
    name="tiny",
    source=ImageFolder(),
    feature=Image(8, 8, 3),
    model=build_model,
    train=Train(epochs=1, batch_size=8, learning_rate=0.05),
    gate=Gate(sample=4, pictures=0),
)


class _AlwaysDropout(keras.layers.Layer):
    """Dropout that is active in serving, too: it ignores `training`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.dropout(inputs, 0.5)


def build_dropping(feature: Feature, classes: int) -> keras.Model:
    """Build the linear model with a dropout that is active in serving."""
    inputs = keras.Input(feature.shape, dtype="uint8")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(_AlwaysDropout()(hidden)))


DROPPING = dataclasses.replace(TASK, model=build_dropping)

RECORDS = dataclasses.replace(TASK, source=TFRecords())
