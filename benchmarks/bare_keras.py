"""The digits without a pipeline: `python -m benchmarks.bare_keras DATA FOLDER`.

A Keras script with the model, the training, the evaluation and the export of `skewless run digits`: pictures are read
once and kept in memory, the accuracy is that of the held-out pictures, overall and for each class, and the exported
model takes the bytes of files. `benchmarks.run` starts it as a process and reads the last line that it prints.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

SIDE, BATCH, EPOCHS, RATE = 16, 32, 12, 2e-3


def main(data: str, folder: str) -> None:
    """Train, evaluate, export, and print the accuracy on the held-out pictures as JSON."""
    keras.utils.set_random_seed(0)
    train, held_out = keras.utils.image_dataset_from_directory(
        data,
        image_size=(SIDE, SIDE),
        color_mode="grayscale",
        batch_size=BATCH,
        validation_split=0.2,
        subset="both",
        seed=0,
        verbose=False,
    )
    names = train.class_names
    model = _build(len(names))
    model.compile(keras.optimizers.Adam(RATE), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    cached = train.cache().shuffle(1000).prefetch(2)
    model.fit(cached, validation_data=held_out.cache(), epochs=EPOCHS, verbose=0)
    _export(model, folder, names)
    print(json.dumps(_evaluate(folder, held_out, names)))


def _build(classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def _export(model: keras.Model, folder: str, names: list[str]) -> None:
    """Write a SavedModel whose signature takes the bytes of PNGs, string [N]."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def serve(contents: tf.Tensor) -> dict[str, tf.Tensor]:
        def picture(one: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(one, channels=1, expand_animations=False)
            image.set_shape([None, None, 1])
            return tf.image.resize(image, (SIDE, SIDE))

        scores = model(tf.map_fn(picture, contents, fn_output_signature=tf.float32), training=False)
        return {"scores": scores, "label": tf.gather(names, tf.argmax(scores, axis=1))}

    tf.saved_model.save(model, folder, signatures={"serving_default": serve})


def _evaluate(folder: str, held_out: Any, names: list[str]) -> dict[str, Any]:
    """Return the accuracy of the exported model on the files of the held-out pictures, overall and of each class."""
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    files = held_out.file_paths
    labels = np.array([os.path.basename(os.path.dirname(file)) for file in files])
    answers = []
    for start in range(0, len(files), BATCH):
        contents = [tf.io.read_file(file) for file in files[start : start + BATCH]]
        answers.extend(serve(image=tf.stack(contents))["label"].numpy().astype(str))
    right = np.array(answers) == labels
    return {"accuracy": float(right.mean()), "classes": {name: float(right[labels == name].mean()) for name in names}}


if __name__ == "__main__":
    main(*sys.argv[1:])
