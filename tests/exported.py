"""SavedModels like the Trainer's, with untrained weights."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from data.images.ops import decode_batch
from data.spec import Classes, Image
from serving.export import saved_model


class _Decode(tf.Module):
    """Stand-in for the TransformGraph."""

    def __init__(self, feature: Image) -> None:
        super().__init__()
        self._feature = feature

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**raw, "image": decode_batch(raw["image"], self._feature)}


def export_pictures(folder: Path, feature: Image, names: tuple[str, ...]) -> str:
    """Write a linear model of pictures with these classes; return the folder."""
    dense = keras.layers.Dense(len(names), "softmax")
    model = keras.Sequential([keras.Input(feature.shape), keras.layers.Flatten(), dense])
    saved_model.write(saved_model.ModelExport(model, _Decode(feature), feature, Classes(), names), str(folder))
    return str(folder)
