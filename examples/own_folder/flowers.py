"""Pictures of your own: one folder for each class, a small network.

skewless run flowers --data DIR
"""

from __future__ import annotations

import keras

from skewless import Evaluate, Feature, Image, ImageFolder, Task, Train


def build_model(feature: Feature, classes: int) -> keras.Model:
    """Build a small network: uint8 [N, height, width, channels] to probabilities [N, classes]."""
    return keras.Sequential(
        [
            keras.Input(feature.shape, dtype="uint8"),  # decoded pixels, 0 to 255
            keras.layers.Rescaling(1 / 255),  # inside the model, so that clients cannot forget it
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


TASK = Task(
    name="flowers",
    source=ImageFolder(),
    feature=Image(height=128, width=128, antialias=True),
    model=build_model,
    train=Train(epochs=5),
    evaluate=Evaluate(min_accuracy=0.3),  # raise it to what you need
)
