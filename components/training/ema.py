"""Averages of the weights over the steps (EMA), as the optimizer keeps them with `use_ema=True`.

Keras' `fit` evaluates the weights of the last step after each epoch, and sets the weights to their averages at the end.
That does not go together with the choice of the best epoch: the weights that are kept must be those that were
evaluated. There, the averages are evaluated and kept, as with Keras' `SwapEMAWeights` and `ModelCheckpoint`.
`SwapEMAWeights` itself leaves the averages in the model at the end of an epoch, where the checkpoint is saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


def has_averages(model: keras.Model) -> bool:
    """Return whether the optimizer averages the weights."""
    return any(True for _ in _pairs(model.optimizer))


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Replace the weights by their averages within the context; without averages, change nothing."""
    pairs = list(_pairs(model.optimizer))
    trained = [tf.identity(variable) for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(tf.identity(average))
    yield
    for (variable, _), value in zip(pairs, trained, strict=True):
        variable.assign(value)


def end_phase(model: keras.Model) -> None:
    """Set the weights to their averages for good, as Keras' `fit` does at its end; without averages, change nothing."""
    model.optimizer.finalize_variable_values(model.trainable_weights)


class EvaluateAverages(keras.callbacks.Callback):
    """Evaluate the averages after each epoch instead of the weights of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self._swapped = contextlib.ExitStack()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Replace the weights."""
        self._swapped.enter_context(averaged(self.model))

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Train on with the weights of the last step."""
        self._swapped.close()


def _pairs(optimizer: Any) -> Iterator[tuple[tf.Variable, tf.Variable]]:
    """Yield each weight that is averaged, and its average; `SwapEMAWeights` finds them in the same attributes."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    for one in getattr(inner, "optimizers", [inner]):  # of a MultiOptimizer, which Keras 3.15 has
        if getattr(one, "use_ema", False):
            for weight, average in zip(one._trainable_variables, one._model_variables_moving_average, strict=True):
                if average is not None:
                    yield weight.value, average.value
