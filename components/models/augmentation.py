"""The Keras layers of `Task.augment`; an `Augmentation` is a layer of the model: `components.models.augment_layer`."""

from __future__ import annotations

from components.task.augment_field import layers_of
from components.task.task import Task
from data.augmentation.config import Augmentation
from data.augmentation.layers import LayerAugmentation, any_mixes_labels, flat_layers
from data.augmentation.seeded_layer import python_seed


def augmenter_of(task: Task, share: int = 0) -> LayerAugmentation | None:
    """Return the layers of a task as one function of a batch; None if it has none.

    Call it outside of the scope of a `tf.distribute.Strategy`.

    Args:
      task: With the feature and the seed.
      share: Number of this process among those that share each batch.

    Raises:
      UsageError: If the layers do not fit the pictures, or cannot be repeated.
    """
    if isinstance(task.augment, Augmentation):
        return None
    with python_seed(task.train.seed):  # layers draw seeds when they are made, which the model's weights would notice
        return LayerAugmentation(flat_layers(layers_of(task.augment)), task.feature.shape, task.train.seed, share)


def mixes_labels(task: Task) -> bool:
    """Return whether the task's augmentation mixes the labels of several examples.

    Raises:
      UsageError: If the augmentation has something that is not a layer.
    """
    if isinstance(task.augment, Augmentation):
        return False
    with python_seed(task.train.seed):
        return any_mixes_labels(flat_layers(layers_of(task.augment)))
