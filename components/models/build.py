"""The task's model, checked and compiled with the loss for its output; and how frozen layers are unfrozen."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from components.models.augment_layer import Augment
from components.models.augmentation import mixes_labels
from components.models.objective import Objective, check_results, objective_of
from components.models.optimizer import optimizer_of
from components.models.outputs import ends_in_logits, last_activation
from components.models.precision import build_as_trained, training_policy
from components.task.task import Task
from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown
from data.spec import Image

_ROUNDING = 1e-3  # of a sum of float16 probabilities, too
_ROUNDING_BFLOAT16 = 1e-2


def build_for_training(task: Task, classes: int) -> keras.Model:
    """Build the task's model, check its output, put the task's augmentation in front of it, and compile it.

    Args:
      task: With the model and the settings of training.
      classes: Number of classes, or of names of several labels; 0 if the label is a number.

    Raises:
      UsageError: If the model's output does not fit the label or the loss.
    """
    model = build_as_trained(task, classes)
    check_output(model, task, classes)
    with training_policy(task.train):  # of the model as a whole; with float16 Keras then scales the loss
        if isinstance(task.augment, Augmentation) and task.augment != Augmentation():  # layers: in the input
            inputs = keras.Input(task.feature.shape, dtype="uint8")
            model = keras.Model(inputs, model(Augment(task.augment, task.train.seed)(inputs)), name=model.name)
    compile_model(model, task, task.train.learning_rate)
    return model


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return the task's own model, without the augmentation; it shares its weights with the trained one."""
    kinds = keras.layers.InputLayer, Augment, keras.Model  # the layers that `build_for_training` combines
    if len(model.layers) == 3 and all(map(isinstance, model.layers, kinds)):
        return model.layers[-1]
    return model


def compile_model(model: keras.Model, task: Task, learning_rate: float | None) -> Objective:
    """Compile the model with a new optimizer, and with the loss and the metrics for its output.

    All variables of these exist afterwards, not only after the first step, so that a checkpoint can be restored.

    Args:
      model: Gives [N, width].
      task: With the settings of training.
      learning_rate: At the beginning of the phase; None: the optimizer's own.

    Returns:
      What the model is compiled for.

    Raises:
      UsageError: If the optimizer, the loss or a metric does not fit.
    """
    width = model.output_shape[-1]
    objective = objective_of(task, width, ends_in_logits(model, task), mixes_labels(task))
    model.compile(optimizer_of(task.train, learning_rate), objective.loss, metrics=list(objective.metrics))
    model.optimizer.build(model.trainable_variables)
    blank = np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype)
    rows = task.is_multi_label or objective.one_hot
    answer = np.zeros((1, width), "float32") if rows else np.zeros(1, "int64")
    with keras.StatelessScope():  # the metrics count nothing
        model.compute_metrics(blank, answer, model(blank, training=False))
    if task.train.metrics:
        check_results(model.get_metrics_result())
    return objective


def check_output(model: keras.Model, task: Task, classes: int) -> None:
    """Check the output of the untrained model on a few examples of noise.

    Blank examples would not do: all classes may be equally likely then. If the values are neither probabilities nor
    logits, the loss would be wrong, and the model would train badly without any error.

    Args:
      model: Of the task, not compiled.
      task: With the feature.
      classes: Number of classes, or of names of several labels; 0 if the label is a number.

    Raises:
      UsageError: If the width does not fit the number of classes, if the values are neither probabilities nor logits,
        or if the last layer and the loss contradict each other.
    """
    noise = 255 * np.random.default_rng(0).integers(0, 2, (8, *task.feature.shape))
    answer = model(noise.astype("uint8" if isinstance(task.feature, Image) else "float32"), training=False)
    output = np.asarray(keras.ops.cast(answer, "float32"))  # numpy computes poorly with float16, and has no bfloat16
    legal = {1} if not classes else {classes, 1} if classes == 2 and task.is_classification else {classes}
    rounding = _ROUNDING_BFLOAT16 if keras.backend.standardize_dtype(answer.dtype) == "bfloat16" else _ROUNDING
    where = f"the model of task '{task.name}'"
    if output.ndim != 2 or output.shape[1] not in legal:
        kind = "labels" if task.is_multi_label else "classes"
        expected = " or ".join(f"[N, {width}]" for width in sorted(legal))
        raise UsageError(f"{where} gives {('N', *output.shape[1:])} for {classes} {kind}, expected {expected}")
    if ends_in_logits(model, task):
        _check_logits(output, rounding, where)
    elif task.is_multi_label:
        _check_sigmoids(model, output, rounding, where)
    elif classes and not _are_probabilities(output, rounding):
        raise UsageError(
            f"{where} gives neither probabilities (0 to 1, with sum 1) nor logits",
            hint="End it in a softmax (for two classes in one sigmoid), or in a linear layer, which gives logits.",
        )


def _are_probabilities(output: np.ndarray, rounding: float) -> bool:
    """Return whether answers [N, C] for classes, or [N, 1] of one sigmoid, are between 0 and 1, with sum 1."""
    sums = output.sum(axis=1) if output.shape[1] > 1 else np.ones(1)
    return bool(output.min() >= 0 and output.max() <= 1 and abs(sums - 1).max() <= rounding)


def _check_logits(output: np.ndarray, rounding: float, where: str) -> None:
    """Check that answers [N, C] which the loss takes for logits are no probabilities of a softmax.

    Raises:
      UsageError: If they are.
    """
    if output.shape[1] > 1 and _are_probabilities(output, rounding):
        raise UsageError(
            f"{where} gives probabilities with sum 1, but train.loss has from_logits=True, which adds a softmax",
            hint="Remove from_logits=True, or the softmax of the model.",
        )


def _check_sigmoids(model: keras.Model, output: np.ndarray, rounding: float, where: str) -> None:
    """Check the answers [N, C] for several labels.

    Raises:
      UsageError: If they are the probabilities of a softmax, which exclude each other, or no probabilities.
    """
    last = last_activation(model)
    if last == "sigmoid":  # saturated ones may have the sum 1 by chance
        return
    sums_to_1 = output.shape[1] > 1 and abs(output.sum(axis=1) - 1).max() <= rounding
    hint = "Use one sigmoid for each label in the last layer; ConvNet and Transfer: --set model.activation=sigmoid"
    if last == "softmax" or sums_to_1:
        raise UsageError(f"{where} ends in a softmax; several labels need a sigmoid each", hint=hint)
    if output.min() < 0 or output.max() > 1:
        raise UsageError(f"{where} does not give a probability (0 to 1) for each label", hint=hint)


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
        hint = "Freeze layers in the model (layer.trainable = False), or leave train.fine_tune out."
        raise UsageError("train.fine_tune: the model has no frozen layer to fine-tune", hint=hint)
    if from_layer and from_layer not in names:
        raise unknown("frozen layer", from_layer, names)
    first = names.index(from_layer) if from_layer else 0
    model.trainable = True  # in a nested model that is frozen as a whole, no layer is trained
    for number, layer in enumerate(frozen):
        layer.trainable = number >= first and not isinstance(layer, keras.layers.BatchNormalization)
    return sum(layer.trainable and bool(layer.weights) for layer in frozen)
