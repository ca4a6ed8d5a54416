"""The augmentation as a layer: first in a model, active in training only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

from data.augmentation.config import Augmentation


@keras.saving.register_keras_serializable(package="skewless")
class Augment(keras.layers.Layer):
    """Changes training pictures at random, uint8 or float32 [N, h, w, c] with values 0..255; else gives them back.

    The changes follow from the seed and the number of training calls so far. That number is saved with the model (in a
    `tf.train.Checkpoint` and in a `.keras` file), so a restarted training goes on with the draws it would have had. It
    is a TensorFlow variable and no weight: `count_params` stays as it was, and `tf.train.Checkpoint` reaches it, which
    it does not reach in a `keras.random.SeedGenerator`. Under `tf.distribute` all replicas draw the same.
    """

    def __init__(self, augmentation: Augmentation, seed: int = 0, **kwargs: Any) -> None:
        """
        Args:
          augmentation: what is drawn.
          seed: same seed, same draws.
          **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.augmentation = augmentation
        self.seed = seed
        with tf.init_scope():  # layers may be made while Keras traces a model
            self._step = tf.Variable(
                0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name="step"
            )
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Type and shape of `images`."""
        if not training:
            return images
        step = self._step.assign_add(1, read_value=True) - 1
        return self.augmentation(images, (self.seed, step))

    def compute_output_spec(self, images: keras.KerasTensor, training: bool | None = False) -> keras.KerasTensor:
        """That of `images`; nothing is traced for it."""
        return keras.KerasTensor(images.shape, images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Augmentation by its fields, and the seed."""
        return {**super().get_config(), "augmentation": asdict(self.augmentation), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Augment:
        """The layer of `get_config`."""
        # Keras writes the flag that __init__ sets itself.
        rest = {name: value for name, value in config.items() if name not in ("augmentation", "trainable")}
        return cls(Augmentation(**config["augmentation"]), **rest)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """For `.keras` files, which hold Keras' variables only by themselves."""
        store["step"] = self._step.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """What `save_own_variables` left."""
        self._step.assign(int(store["step"][()]))
