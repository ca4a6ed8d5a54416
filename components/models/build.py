"""The task's model, checked against its contract, with the loss that fits its output; and how frozen layers thaw."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from components.models.augment_layer import Augment
from components.task.task import Task
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown
from data.spec import Image


def build_for_training(task: Task, classes: int) -> keras.Model:
    """The task's model, checked, with the task's augmentation in front of it, and compiled.

    Args:
      task: tells the model and how to train it.
      classes: number of classes; 0 for a number.

    Raises:
      UsageError: the model's output does not fit the label.
    """
    model = task.model(task.feature, classes)
    check_output(model, task, classes)
    if task.augment != Augmentation():
        inputs = keras.Input(task.feature.shape, dtype="uint8")
        model = keras.Model(inputs, model(Augment(task.augment, task.train.seed)(inputs)), name=model.name)
    compile_model(model, task, task.train.learning_rate)
    return model


def without_augmentation(model: keras.Model) -> keras.Model:
    """The task's own model, which shares its weights with the one that is trained, without the augmentation."""
    kinds = keras.layers.InputLayer, Augment, keras.Model  # as `build_for_training` puts them together
    if len(model.layers) == 3 and all(map(isinstance, model.layers, kinds)):
        return model.layers[-1]
    return model


def compile_model(model: keras.Model, task: Task, learning_rate: float) -> None:
    """Gives the model a new optimizer with this rate, and the loss and the metric of its output.

    All their variables exist afterwards, not only after the first step: a checkpoint can be restored.
    """
    optimizer = keras.optimizers.get({"class_name": task.train.optimizer, "config": {"learning_rate": learning_rate}})
    if not task.is_classification:
        model.compile(optimizer, keras.losses.MeanSquaredError(), metrics=[keras.metrics.MeanAbsoluteError("mae")])
    elif model.output_shape[-1] == 1:
        model.compile(optimizer, keras.losses.BinaryCrossentropy(), metrics=[keras.metrics.BinaryAccuracy("accuracy")])
    else:
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), metrics=[accuracy])
    optimizer.build(model.trainable_variables)
    blank = np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype)
    with keras.StatelessScope():  # nothing is counted
        model.compute_metrics(blank, np.zeros(1, "int64"), model(blank, training=False))


def check_output(model: keras.Model, task: Task, classes: int) -> None:
    """Asks the untrained model about a few examples of noise: logits of blank ones are 0, as a probability may be.

    Raises:
      UsageError: the width is not that of the classes, or the values are not probabilities: a loss that is told
        the wrong one of logits and probabilities trains all the same, only badly.
    """
    noise = 255 * np.random.default_rng(0).integers(0, 2, (8, *task.feature.shape))
    output = np.asarray(model(noise.astype("uint8" if isinstance(task.feature, Image) else "float32"), training=False))
    legal = {1} if not classes else {classes, 1} if classes == 2 else {classes}
    where = f"the model of task '{task.name}'"
    if output.ndim != 2 or output.shape[1] not in legal:
        want = " or ".join(f"[N, {width}]" for width in sorted(legal))
        raise UsageError(f"{where} gives {('N', *output.shape[1:])} for {classes} classes, expected {want}")
    sums = output.sum(axis=1) if output.shape[1] > 1 else np.ones(1)
    linear = any(getattr(last, "activation", None) is keras.activations.linear for last in model.layers[-1:])
    one_logit = linear and output.shape[1] == 1  # which may lie in 0..1 by chance
    if classes and (one_logit or output.min() < 0 or output.max() > 1 or abs(sums - 1).max() > 1e-3):
        raise UsageError(
            f"{where} does not give probabilities (0..1, of sum 1)",
            hint="End it with softmax, or for two classes with one sigmoid.",
        )


def flat_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def unfreeze(model: keras.Model, from_layer: str) -> int:
    """Makes the frozen layers trainable, from a named one on (empty: all), but for BatchNormalization.

    Returns:
      How many layers with weights now learn that did not.

    Raises:
      UsageError: no layer is frozen, or none of those that are has this name.
    """
    frozen = [layer for layer in flat_layers(model) if not layer.trainable]
    names = [layer.name for layer in frozen]
    if not frozen:
        raise UsageError("train.fine_tune: the model has no frozen layer to fine-tune")
    if from_layer and from_layer not in names:
        raise unknown("frozen layer", from_layer, names)
    first = names.index(from_layer) if from_layer else 0
    model.trainable = True  # of a nested model that is frozen as a whole, no layer can learn
    for number, layer in enumerate(frozen):
        layer.trainable = number >= first and not isinstance(layer, keras.layers.BatchNormalization)
    return sum(layer.trainable and bool(layer.weights) for layer in frozen)
