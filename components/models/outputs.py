"""What a model's output is: probabilities or logits; and the model whose output is always probabilities."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from components.task import keras_text
from components.task.task import Task
from data.errors import UsageError
from data.spec import Number

_PASSING_ON = keras.layers.Flatten, keras.layers.Identity, keras.layers.Reshape  # they change no value


def ends_in_logits(model: keras.Model, task: Task) -> bool:
    """Return whether the model's outputs are logits, which a softmax or sigmoid makes probabilities.

    They are if the last layer is linear, or if the task's loss has `from_logits=True`. For a number they never are.

    Args:
      model: Of the task; trained or not, with or without the augmentation in front of it.
      task: With the label and the loss.

    Raises:
      UsageError: If the last layer and the loss contradict each other.
    """
    if isinstance(task.label, Number):
        return False
    stated, last = _stated_by(task.train.loss), last_activation(model)
    where = f"the model of task '{task.name}'"
    if stated and last in ("softmax", "sigmoid"):
        raise UsageError(
            f"{where} ends in a {last}, but train.loss has from_logits=True, which adds another one",
            hint="Remove the activation of the last layer, or from_logits=True.",
        )
    if stated is False and last == "linear":
        raise UsageError(
            f"{where} ends in logits (its last layer is linear), but train.loss has from_logits=False",
            hint="Give the loss from_logits=True, or end the model in probabilities.",
        )
    return bool(stated) or last == "linear"


def with_probabilities(model: keras.Model, task: Task) -> keras.Model:
    """Return a model of the same layers whose outputs are probabilities, or for a number the model itself.

    Training uses the model as it is; the export, the thresholds and the skew gate use this one.

    Args:
      model: The task's own, trained or not, without augmentation.
      task: With the label and the loss.

    Returns:
      If the outputs are logits, a new model with a softmax or, for one output or several labels, a sigmoid after them,
      in float32; otherwise `model`.
    """
    if not ends_in_logits(model, task):
        return model
    activation = "softmax" if task.is_classification and model.output_shape[-1] > 1 else "sigmoid"
    last = keras.layers.Activation(activation, dtype="float32")
    return keras.Model(model.inputs[0], last(model.outputs[0]), name=model.name)


def last_activation(model: keras.Model) -> str:
    """Return the activation of a model's last layer: "linear", "softmax", "sigmoid" ...

    Layers that change no value, such as `Activation("linear", dtype="float32")`, do not count.

    Returns:
      The name; "" if it cannot be seen, as in a subclass of `keras.Model` with its own `call`.
    """
    *_, last = last_steps(model)
    if type(last).__name__ in ("Softmax", "Sigmoid"):  # a layer, or an operation of `keras.ops`
        return type(last).__name__.lower()
    activation = getattr(last, "activation", None)
    return getattr(activation, "__name__", "")


def last_steps(model: keras.Model) -> Iterator[Any]:
    """Yield the layers and operations at a model's end, from the last one to the first that changes a value.

    In the place of a nested model its own last steps are yielded, if it is a graph of layers.
    """
    while True:
        step, node, _ = model.outputs[0]._keras_history
        while _passes_on(step):
            yield step
            step, node, _ = step._inbound_nodes[node].input_tensors[0]._keras_history
        if not isinstance(step, keras.Model) or not hasattr(step, "outputs"):  # a subclass with its own `call`
            yield step
            return
        model = step


def _passes_on(step: Any) -> bool:
    is_linear = isinstance(step, keras.layers.Activation) and step.activation is keras.activations.linear
    return is_linear or isinstance(step, _PASSING_ON)


def _stated_by(loss: Any) -> bool | None:
    """Return `from_logits` of a loss (a text, a Keras loss or a function); None if it does not state it."""
    if isinstance(loss, str):
        found = keras_text.parse_text(loss, "train.loss").settings.get("from_logits") if loss else None
    elif isinstance(loss, keras.losses.Loss):
        found = getattr(loss, "from_logits", None)
    else:
        found = getattr(_parameters(loss).get("from_logits"), "default", None)
    return None if found is None else bool(found)


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # not a function of Python
        return {}
