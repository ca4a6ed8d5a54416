"""Mixed precision: the model as training computes it, in float16 or bfloat16; and as all others do, in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from components.models.outputs import last_steps
from components.task.task import Task
from components.task.train_config import Train


@contextlib.contextmanager
def training_policy(train: Train) -> Iterator[None]:
    """Build layers within the context as `train.mixed_precision` demands: float32 weights, computing in fewer bits."""
    before = keras.config.dtype_policy()
    if train.mixed_precision:
        keras.config.set_dtype_policy(f"mixed_{train.mixed_precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_as_trained(task: Task, classes: int) -> keras.Model:
    """Build the task's model as training computes it; without mixed precision as the task builds it.

    With mixed precision the last layer computes in float32, as Keras' guide demands: a softmax in float16 would
    overflow, and a small loss would be 0.

    Args:
      task: With the model and the settings of training.
      classes: Number of classes, or of names of several labels; 0 if the label is a number.
    """
    with training_policy(task.train):
        model = task.model(task.feature, classes)
    if task.train.mixed_precision:
        for step in last_steps(model):
            if isinstance(step, keras.layers.Layer):
                step.dtype_policy = "float32"
    return model


def in_float32(trained: keras.Model, task: Task, classes: int) -> keras.Model:
    """Return the model with its trained weights, all of whose layers compute in float32.

    Args:
      trained: From `build_as_trained`.
      task: The same task.
      classes: The same number.

    Returns:
      A new model; without mixed precision `trained` itself.
    """
    if not task.train.mixed_precision:
        return trained
    model = task.model(task.feature, classes)
    model.set_weights(trained.get_weights())
    for old, new in zip(trained._flatten_layers(), model._flatten_layers(), strict=True):
        new.trainable = old.trainable  # as the second phase unfroze it, for the summary
    return model
