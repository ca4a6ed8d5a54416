"""The augmentation as a Keras layer: the first one of a model, active in training only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

from data.augmentation.config import Augmentation


@keras.saving.register_keras_serializable(package="skewless")
class Augment(keras.layers.Layer):
    """A layer that changes training pictures at random, and returns all others unchanged.

    Input and output are uint8 or float32 [N, h, w, c] with values 0 to 255. The changes depend on the seed and the
    number of training calls so far. This number is saved with the model (in a `tf.train.Checkpoint` and in a `.keras`
    file), so a resumed training draws the same changes as one that was not interrupted. It is a TensorFlow variable
    and not a weight: `count_params` does not count it, and `tf.train.Checkpoint` saves it, which it does not do for a
    `keras.random.SeedGenerator`. Under `tf.distribute` all replicas draw the same changes.
    """

    def __init__(self, augmentation: Augmentation, seed: int = 0, **kwargs: Any) -> None:
        """Create the layer.

        Args:
          augmentation: The random changes.
          seed: The same seed draws the same changes.
          **kwargs: Of `keras.layers.Layer`.
        """
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.augmentation = augmentation
        self.seed = seed
        with tf.init_scope():  # the layer may be created while Keras traces a model
            self._step = tf.Variable(
                0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name="step"
            )
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Return pictures of the type and shape of `images`."""
        if not training:
            return images
        step = self._step.assign_add(1, read_value=True) - 1
        return self.augmentation(images, (self.seed, step))

    def compute_output_spec(self, images: keras.KerasTensor, training: bool | None = False) -> keras.KerasTensor:
        """Return the type and shape of `images`, without tracing `call`."""
        return keras.KerasTensor(images.shape, images.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the fields of the augmentation, and the seed."""
        return {**super().get_config(), "augmentation": asdict(self.augmentation), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Augment:
        """Create a layer from the result of `get_config`."""
        # Keras saves `trainable`, which `__init__` sets.
        rest = {name: value for name, value in config.items() if name not in ("augmentation", "trainable")}
        return cls(Augmentation(**config["augmentation"]), **rest)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Save the number of calls in a `.keras` file, which saves only Keras' own variables by default."""
        store["step"] = self._step.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Load what `save_own_variables` saved."""
        self._step.assign(int(store["step"][()]))
