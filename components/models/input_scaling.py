"""The scaling of pixels in a Keras model, measured on its outputs; and the same model with float inputs."""

from __future__ import annotations

import keras
import numpy as np

from serving.diagnosis.scaling import Scaling

_PROBES = (0.0, 255.0)
_ROUNDING = 1e-4  # share of the values' range: the error of a few float32 operations


def scaling_of(model: keras.Model) -> Scaling | None:
    """Return the scaling of the last tensor in a functional model that is `pixel * scale + offset` for each channel.

    It is found by values and not by names, so it covers `Rescaling`, `Normalization`, the arithmetic of
    `preprocess_input` and any other affine operation. Trainable layers do not count: they are no preprocessing.

    Args:
      model: Takes uint8 or float [N, h, w, c].

    Returns:
      None if no tensor is a scaling of the pixels, or if the model is not a functional one.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "operations", None) or len(model.inputs) != 1:
        return None
    shape = tuple(model.inputs[0].shape[1:])
    seen = [one for one in _outputs(model) if tuple(one.shape[1:]) == shape and "float" in str(one.dtype)]
    if not seen:
        return None
    random = np.random.default_rng(0).integers(0, 256, (1, *shape))
    probes = np.concatenate([np.full((1, *shape), value) for value in _PROBES] + [random]).astype("uint8")
    values = keras.Model(model.inputs, seen)([probes], training=False)
    for value in reversed(values if isinstance(values, list) else [values]):
        found = _affine(np.asarray(value, np.float64), random[0])
        if found is not None:
            return found
    return None


def _outputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the outputs of the operations before the first trainable one, in order."""
    found = []
    for operation in model.operations:
        if getattr(operation, "trainable_weights", None) or isinstance(operation, keras.layers.BatchNormalization):
            break
        if not isinstance(operation, keras.layers.InputLayer):
            found.append(operation.output)
    return [one for one in found if isinstance(one, keras.KerasTensor)]


def _affine(values: np.ndarray, pixels: np.ndarray) -> Scaling | None:
    """Return the scaling if the values are an affine function of the pixels, the same in each channel.

    Args:
      values: [3, h, w, c] for pixels of 0, pixels of 255, and `pixels`.
      pixels: [h, w, c], 0 to 255.
    """
    low, high, other = values
    offset, scale = low[0, 0], (high[0, 0] - low[0, 0]) / 255
    reach = _ROUNDING * max(1.0, float(np.abs(values).max()))
    expected = (0 * pixels + offset, 255 * scale + offset + 0 * pixels, pixels * scale + offset)
    if any(np.abs(one - wanted).max() > reach for one, wanted in zip((low, high, other), expected, strict=True)):
        return None
    return Scaling(scale.astype(np.float32), offset.astype(np.float32))


def with_float_input(model: keras.Model) -> keras.Model:
    """Return a model of the same layers, with the same weights, that takes float32 inputs.

    With the original model Keras would cast them to uint8, and truncate 0.5 to 0.

    Raises:
      ValueError: If it is not a functional model.
    """
    floats = keras.Input(model.inputs[0].shape[1:], dtype="float32")
    return keras.models.clone_model(model, input_tensors=floats, clone_function=lambda layer: layer)
