"""Keras layers as the augmentation of a training: in the input, for each batch, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data.augmentation.config import Augmentation
from data.augmentation.seeded_layer import SeededLayer, mixes_labels, name_of, seed_layer
from data.errors import UsageError

PIXELS = (0, 255)
_PROBED = 4  # steps


class LayerAugmentation:
    """Layers that change the batches of a training, one after the other.

    The changes depend on the seed, the share, the number of the step, and the position of a layer, and on nothing else:
    not on the machine, the order of the calls, or on what was called before. Seeds that the layers have of their own do
    not count.

    Attributes:
      mixes_labels: Whether a layer mixes pictures and their labels (MixUp, CutMix).
    """

    def __init__(self, layers: Iterable[Any], shape: Sequence[int], seed: int, share: int = 0) -> None:
        """Trace the layers, and check what they do with noise.

        Args:
          layers: As `flat_layers` returns them.
          shape: Of a picture: height, width, channels.
          seed: 0 to 2^32 - 1.
          share: Number of the process; those that share a batch draw differently.

        Raises:
          UsageError: If the pictures have another size afterwards, or lose their values, or if a layer is not fit.
        """
        self._layers: list[SeededLayer] = []
        self._key = seed + (share << 32)
        for layer in layers:
            before = self._layers[-1].shape if self._layers else shape
            self._layers.append(seed_layer(layer, before, seed))
        self.mixes_labels = any(one.mixes for one in self._layers)
        _check_shape(self._layers[-1].shape if self._layers else shape, shape)
        self._check_values(shape)

    def __call__(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Change a batch; for a `tf.data` pipeline.

        Args:
          step: Number of the batch since the start of the training, int64 [].
          images: uint8 [B, h, w, c].
          labels: [B, C], or numbers [B]; mixed ones are float32, others are returned as they are.

        Returns:
          Images, uint8 [B, h, w, c], rounded to nearest, halves to even; and labels.
        """
        shape, labels = images.shape, tf.cast(labels, tf.float32) if self.mixes_labels else labels
        # A share may be empty, and layers such as RandomPosterization look at the first picture.
        images, labels = tf.cond(
            tf.shape(images)[0] > 0, lambda: self._change(step, images, labels), lambda: (images, labels)
        )
        return tf.ensure_shape(images, shape), labels

    def _change(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Change a batch that is not empty."""
        images = tf.cast(images, tf.float32)
        key = tf.stack([tf.constant(self._key, tf.int64), tf.cast(step, tf.int64)])
        for number, layer in enumerate(self._layers):
            of_layer = tf.random.experimental.stateless_fold_in(key, tf.constant(number, tf.int64), alg="philox")
            if layer.mixes:
                images, labels = _mix(layer, of_layer, images, labels)
            else:
                images = layer.function(of_layer, images)
        return tf.cast(tf.round(tf.clip_by_value(images, *PIXELS)), tf.uint8), labels

    def _check_values(self, shape: Sequence[int]) -> None:
        """Check that the pictures have values from 0 to 255 afterwards.

        Raises:
          UsageError: If all values are 0 or 1 after a few steps.
        """
        noise = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
        labels = tf.eye(4)
        with tf.device("CPU"):
            found = [self(tf.constant(step, tf.int64), tf.constant(noise), labels)[0] for step in range(_PROBED)]
        if max(int(tf.reduce_max(one)) for one in found) <= 1:
            raise UsageError(
                "augment: the pictures are black afterwards, with values up to 1",
                hint="Scale them in the model's first layer, so that serving does it, too, and not in augment.",
            )


def flat_layers(given: Any) -> Iterator[Any]:
    """Yield the layers one by one, in the place of a `Pipeline` or `Sequential` its layers.

    Raises:
      UsageError: If something is not a layer, or a layer is for pictures with values that are not 0 to 255.
    """
    if isinstance(given, (list, tuple, keras.layers.Pipeline, keras.Sequential)):
        for one in given if isinstance(given, (list, tuple)) else given.layers:
            yield from flat_layers(one)
        return
    if not isinstance(given, (keras.layers.Layer, Augmentation)):
        raise UsageError(
            f"augment must be Keras layers, got {given!r}",
            hint="Give layers, a text such as 'rand_augment, random_flip', or a function that returns layers.",
        )
    limits = getattr(given, "value_range", PIXELS)
    if tuple(limits) != PIXELS:
        raise UsageError(
            f"augment: {name_of(given)} is for values of {tuple(limits)}, but pictures have 0 to 255 until the model",
            hint=f"Use value_range={PIXELS}.",
        )
    yield given


def any_mixes_labels(layers: Iterable[Any]) -> bool:
    """Return whether one of the layers mixes labels, without tracing them."""
    return any(map(mixes_labels, layers))


def _mix(layer: SeededLayer, key: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix pictures, and labels [B, C] or [B]."""
    is_number = labels.shape.rank == 1
    labels = labels[:, None] if is_number else labels
    found = layer.function(key, images, labels)
    mixed = tf.ensure_shape(found["labels"], labels.shape)
    return found["images"], mixed[:, 0] if is_number else mixed


def _check_shape(found: Sequence[int | None], shape: Sequence[int]) -> None:
    """Check that the pictures have the model's size.

    Raises:
      UsageError: If not.
    """
    if tuple(found) == tuple(shape):
        return
    height, width, _ = shape
    size = " x ".join("?" if one is None else str(one) for one in found)
    raise UsageError(
        f"augment: the pictures are {size} afterwards, but the model takes {' x '.join(map(str, shape))}",
        hint=f"Crop pictures that were made larger before: zero_padding2d(padding=4), random_crop(height={height},"
        f" width={width}); or end with resizing(height={height}, width={width}).",
    )
