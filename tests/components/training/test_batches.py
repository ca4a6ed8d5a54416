"""What training makes of the reader's batches, compared with numpy, scikit-learn and Keras' own `fit`."""

from __future__ import annotations

from pathlib import Path

import keras

from tests.components.training.keras_fit import assert_same_training, fit_in_two_parts, fit_keras, fit_ours, task_with


def compiled() -> dict:
    return {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": "sparse_categorical_crossentropy",
        "metrics": [keras.metrics.SparseCategoricalAccuracy("accuracy")],
    }


def test_class_weights_are_those_of_keras(tmp_path: Path) -> None:
    weights = {"ash": 3.0, "cedar": 0.5}
    task = task_with(epochs=3, class_weight=weights)
    ours = fit_ours(task, tmp_path / "whole")
    assert_same_training(ours, fit_keras(task, compiled, class_weight={0: 3.0, 1: 1.0, 2: 0.5}))
    assert_same_training(fit_in_two_parts(task, 7, tmp_path / "killed"), ours)
