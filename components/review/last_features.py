"""The last features of a trained model: what its last layer with weights gets, in most models a Dense layer."""

from __future__ import annotations

from typing import Any

import keras


def feature_model(model: keras.Model) -> keras.Model | None:
    """Return a model up to the input of its last layer with weights.

    Returns:
      A model whose output is the features, [N, ...]; None if the model is no graph of layers, or has no features but
      its input.
    """
    features = _last_features(model)
    return None if features is None else keras.Model(model.inputs[0], features)


def _last_features(model: keras.Model) -> Any:
    """Return the input of the last layer with weights, in a nested model, too; None if it is the model's input."""
    ahead = list(getattr(model, "outputs", None) or [])
    while ahead:
        step, node, _ = ahead.pop(0)._keras_history
        given = step._inbound_nodes[node].input_tensors if step._inbound_nodes else []
        if not getattr(step, "weights", None):
            ahead += given
            continue
        inner = _last_features(step) if isinstance(step, keras.Model) else None
        if inner is not None:
            return keras.Model(step.inputs[0], inner)(given[0])
        return None if any(given[0] is one for one in model.inputs) else given[0]
    return None
