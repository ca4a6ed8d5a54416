"""The task's model, checked and compiled with the loss for its output; and how frozen layers are unfrozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from components.models.augment_layer import Augment
from components.task.task import Task
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown
from data.spec import Image

_ROUNDING = 1e-3  # of a sum of float16 probabilities, too


def build_for_training(task: Task, classes: int) -> keras.Model:
    """Build the task's model, check its output, put the task's augmentation in front of it, and compile it.

    Args:
      task: With the model and the settings of training.
      classes: Number of classes, or of names of several labels; 0 if the label is a number.

    Raises:
      UsageError: If the model's output does not fit the label.
    """
    model = task.model(task.feature, classes)
    check_output(model, task, classes)
    if task.augment != Augmentation():
        inputs = keras.Input(task.feature.shape, dtype="uint8")
        model = keras.Model(inputs, model(Augment(task.augment, task.train.seed)(inputs)), name=model.name)
    compile_model(model, task, task.train.learning_rate or 1e-3)
    return model


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return the task's own model, without the augmentation; it shares its weights with the trained one."""
    kinds = keras.layers.InputLayer, Augment, keras.Model  # the layers that `build_for_training` combines
    if len(model.layers) == 3 and all(map(isinstance, model.layers, kinds)):
        return model.layers[-1]
    return model


def compile_model(model: keras.Model, task: Task, learning_rate: float) -> None:
    """Compile the model with a new optimizer, and with the loss and the metrics for its output.

    All variables of these exist afterwards, not only after the first step, so that a checkpoint can be restored.
    """
    optimizer = keras.optimizers.get({"class_name": task.train.optimizer, "config": {"learning_rate": learning_rate}})
    width = model.output_shape[-1]
    if task.is_multi_label:
        model.compile(optimizer, keras.losses.BinaryCrossentropy(), metrics=_multi_label_metrics(width))
    elif not task.is_classification:
        model.compile(optimizer, keras.losses.MeanSquaredError(), metrics=[keras.metrics.MeanAbsoluteError("mae")])
    elif width == 1:
        model.compile(optimizer, keras.losses.BinaryCrossentropy(), metrics=[keras.metrics.BinaryAccuracy("accuracy")])
    else:
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), metrics=[accuracy])
    optimizer.build(model.trainable_variables)
    blank = np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype)
    answer = np.zeros((1, width), "float32") if task.is_multi_label else np.zeros(1, "int64")
    with keras.StatelessScope():  # the metrics count nothing
        model.compute_metrics(blank, answer, model(blank, training=False))


def _multi_label_metrics(labels: int) -> list[keras.metrics.Metric]:
    """Return the metrics of several labels; the areas are means over the labels.

    Keras approximates the areas with 200 thresholds, and counts a label without a positive example as 0. The
    Evaluator's are exact, and leave such a label out.
    """
    return [
        keras.metrics.BinaryAccuracy("binary_accuracy"),
        keras.metrics.AUC(multi_label=True, num_labels=labels, name="auc"),
        keras.metrics.AUC(curve="PR", multi_label=True, num_labels=labels, name="pr_auc"),
    ]


def check_output(model: keras.Model, task: Task, classes: int) -> None:
    """Check the output of the untrained model on a few examples of noise.

    Blank examples would not do: their logits are 0, which is a valid probability, too. With logits instead of
    probabilities the loss would be wrong, and the model would train badly without any error.

    Args:
      model: Of the task, not compiled.
      task: With the feature.
      classes: Number of classes, or of names of several labels; 0 if the label is a number.

    Raises:
      UsageError: If the width does not fit the number of classes, or if the values are not probabilities.
    """
    noise = 255 * np.random.default_rng(0).integers(0, 2, (8, *task.feature.shape))
    output = np.asarray(model(noise.astype("uint8" if isinstance(task.feature, Image) else "float32"), training=False))
    legal = {1} if not classes else {classes, 1} if classes == 2 and task.is_classification else {classes}
    where = f"the model of task '{task.name}'"
    if output.ndim != 2 or output.shape[1] not in legal:
        kind = "labels" if task.is_multi_label else "classes"
        expected = " or ".join(f"[N, {width}]" for width in sorted(legal))
        raise UsageError(f"{where} gives {('N', *output.shape[1:])} for {classes} {kind}, expected {expected}")
    if task.is_multi_label:
        _check_sigmoids(model, output, where)
    elif classes:
        _check_probabilities(model, output, where)


def _check_probabilities(model: keras.Model, output: np.ndarray, where: str) -> None:
    """Check the answers [N, C], or [N, 1] of one sigmoid, for classes.

    Raises:
      UsageError: If they are not probabilities.
    """
    sums = output.sum(axis=1) if output.shape[1] > 1 else np.ones(1)
    one_logit = _ends_in(model, keras.activations.linear) and output.shape[1] == 1  # may be in 0..1 by chance
    if one_logit or output.min() < 0 or output.max() > 1 or abs(sums - 1).max() > _ROUNDING:
        raise UsageError(
            f"{where} does not give probabilities (0 to 1, with sum 1)",
            hint="Use softmax in the last layer, or one sigmoid for two classes.",
        )


def _check_sigmoids(model: keras.Model, output: np.ndarray, where: str) -> None:
    """Check the answers [N, C] for several labels.

    Raises:
      UsageError: If they are the probabilities of a softmax, which exclude each other, or no probabilities.
    """
    if _ends_in(model, keras.activations.sigmoid):  # saturated ones may have the sum 1 by chance
        return
    sums_to_1 = output.shape[1] > 1 and abs(output.sum(axis=1) - 1).max() <= _ROUNDING
    hint = "Use one sigmoid for each label in the last layer; ConvNet and Transfer: --set model.activation=sigmoid"
    if _ends_in(model, keras.activations.softmax) or sums_to_1 or isinstance(model.layers[-1], keras.layers.Softmax):
        raise UsageError(f"{where} ends in a softmax; several labels need a sigmoid each", hint=hint)
    if _ends_in(model, keras.activations.linear) or output.min() < 0 or output.max() > 1:
        raise UsageError(f"{where} does not give a probability (0 to 1) for each label", hint=hint)


def _ends_in(model: keras.Model, activation: Callable[..., Any]) -> bool:
    return any(getattr(last, "activation", None) is activation for last in model.layers[-1:])


def flat_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model, and in the place of a nested model its layers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def unfreeze(model: keras.Model, from_layer: str) -> int:
    """Make frozen layers trainable, except BatchNormalization.

    Args:
      model: With frozen layers.
      from_layer: Name of the first layer to unfreeze; empty: all.

    Returns:
      Number of layers with weights that were frozen and are trainable now.

    Raises:
      UsageError: If no layer is frozen, or if no frozen layer has the name.
    """
    frozen = [layer for layer in flat_layers(model) if not layer.trainable]
    names = [layer.name for layer in frozen]
    if not frozen:
        raise UsageError("train.fine_tune: the model has no frozen layer to fine-tune")
    if from_layer and from_layer not in names:
        raise unknown("frozen layer", from_layer, names)
    first = names.index(from_layer) if from_layer else 0
    model.trainable = True  # in a nested model that is frozen as a whole, no layer is trained
    for number, layer in enumerate(frozen):
        layer.trainable = number >= first and not isinstance(layer, keras.layers.BatchNormalization)
    return sum(layer.trainable and bool(layer.weights) for layer in frozen)
