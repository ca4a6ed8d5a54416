"""The last features of a trained model: what its last Dense layer gets."""

from __future__ import annotations

import posixpath

import keras

from components.task.task import Task
from components.training.trained_model import WEIGHTS, load_weights


def feature_model(task: Task, classes: int, model_run: str) -> keras.Model | None:
    """Return the trained model up to the input of its last Dense layer.

    Args:
      task: Builds the model.
      classes: Number of classes or labels; 0 for a number.
      model_run: Folder of the ModelRun artifact, which has the weights.

    Returns:
      A model of features [N, ...]; None if the model is no graph of layers or has no Dense layer after its input.

    Raises:
      DataError: If there are no weights, or they do not fit the task's model.
    """
    model = task.model(task.feature, classes)
    features = _last_features(model)
    if features is None:
        return None
    load_weights([model], posixpath.join(model_run, WEIGHTS))
    return keras.Model(model.inputs, features)


def _last_features(model: keras.Model) -> keras.KerasTensor | None:
    """Return the input of the last Dense layer, in a nested model, too; None without one, or if it is the input."""
    for step in reversed(getattr(model, "operations", None) or []):
        node = step._inbound_nodes[-1] if step._inbound_nodes else None
        if node is None or not node.input_tensors:
            continue
        if isinstance(step, keras.layers.Dense):
            given = node.input_tensors[0]
            return None if any(given is one for one in model.inputs) else given
        if isinstance(step, keras.Model) and getattr(step, "operations", None):
            inner = _last_features(step)
            if inner is not None:
                return keras.Model(step.inputs, inner)(node.input_tensors[0])
    return None
