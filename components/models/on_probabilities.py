"""Metrics of probabilities, measured on a model that gives logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class OnProbabilities(keras.metrics.Metric):
    """A metric of the probabilities of logits.

    It has the name and the result of the metric inside.
    """

    def __init__(self, metric: keras.metrics.Metric, activation: Callable[[Any], Any]) -> None:
        """Create the metric.

        Args:
          metric: Of labels and probabilities.
          activation: Logits to probabilities.
        """
        super().__init__(dtype=metric.dtype, name=metric.name)
        self._inner, self._activation = metric, activation
        if hasattr(metric, "_direction"):  # Keras' callbacks read it
            self._direction = metric._direction

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of labels and logits."""
        probabilities = self._activation(keras.ops.cast(y_pred, "float32"))
        self._inner.update_state(y_true, probabilities, sample_weight=sample_weight)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._inner.reset_state()

    def result(self) -> Any:
        """Return the result of the metric inside."""
        return self._inner.result()
