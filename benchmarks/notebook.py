"""A good Keras notebook for pictures: `python -m benchmarks.notebook DATA WEIGHTS ALPHA EPOCHS TUNED_EPOCHS`.

It is Keras' tutorial of transfer learning and fine-tuning, with the backbone, the batches, the learning rates and the
number of epochs of the task that `skewless new` writes: better than the tutorial's own. `benchmarks.new_task` starts it
as a process and reads the last line that it prints.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import keras

SIDE, BATCH = 224, 16
FROZEN_LAYERS = 100  # as in the tutorial: those before stay frozen during fine-tuning


def main(data: str, weights: str, alpha: str, epochs: str, tuned_epochs: str) -> None:
    """Train, and print the accuracy on the test pictures as JSON."""
    keras.utils.set_random_seed(0)
    train, validation, test = (_read(f"{data}/{split}", split == "train") for split in ("train", "validation", "test"))
    classes = len(train.class_names)
    train, validation = train.cache().shuffle(1000).prefetch(2), validation.cache().prefetch(2)
    base = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=float(alpha), include_top=False, weights=weights
    )
    base.trainable = False
    model = _build(base, classes)
    best = keras.callbacks.ModelCheckpoint("best.weights.h5", save_best_only=True, save_weights_only=True)
    _compile(model, 2e-3)
    model.fit(train, validation_data=validation, epochs=int(epochs), callbacks=[best], verbose=2)

    base.trainable = True
    for number, layer in enumerate(base.layers):
        layer.trainable = number >= FROZEN_LAYERS and not isinstance(layer, keras.layers.BatchNormalization)
    _compile(model, 1e-5)
    model.fit(train, validation_data=validation, epochs=int(tuned_epochs), callbacks=[best], verbose=2)

    model.load_weights("best.weights.h5")
    model.save("notebook.keras")
    print(json.dumps({"accuracy": float(model.evaluate(test, verbose=0)[1])}))


def _read(folder: str, shuffle: bool) -> Any:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIDE, SIDE), batch_size=BATCH, shuffle=shuffle, seed=0, verbose=False
    )


def _build(base: keras.Model, classes: int) -> keras.Model:
    """Put the augmentation and the scaling before the backbone, and a new layer after it."""
    inputs = keras.Input((SIDE, SIDE, 3))
    hidden = keras.layers.RandomFlip("horizontal")(inputs)
    hidden = keras.layers.RandomRotation(0.1)(hidden)
    hidden = keras.layers.RandomZoom(0.1)(hidden)
    hidden = keras.applications.mobilenet_v2.preprocess_input(hidden)
    hidden = base(hidden, training=False)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    hidden = keras.layers.Dropout(0.2)(hidden)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(hidden))


def _compile(model: keras.Model, rate: float) -> None:
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
