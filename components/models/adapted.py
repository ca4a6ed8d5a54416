"""Losses and metrics that see other labels or outputs than the model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Convert = Callable[[Any], Any]


def same(values: Any) -> Any:
    """Return the values as they are."""
    return values


def columns(labels: Any) -> Any:
    """Return labels [B] as [B, 1], the shape of one output.

    Between [B] and [B, 1] most functions would compare each label with each output.
    """
    return keras.ops.reshape(labels, (-1, 1))


class AdaptedMetric(keras.metrics.Metric):
    """A metric of converted labels and outputs; it has the name and the result of the metric inside."""

    def __init__(self, metric: keras.metrics.Metric, labels: Convert = same, outputs: Convert = same) -> None:
        """Create the metric.

        Args:
          metric: The metric inside.
          labels: Converts the labels.
          outputs: Converts the outputs, for example logits to probabilities.
        """
        super().__init__(dtype=metric.dtype, name=metric.name)
        self._inside, self._labels, self._outputs = metric, labels, outputs
        if hasattr(metric, "_direction"):  # Keras' callbacks read it
            self._direction = metric._direction

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of labels and outputs."""
        self._inside.update_state(self._labels(y_true), self._outputs(y_pred), sample_weight=sample_weight)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._inside.reset_state()

    def result(self) -> Any:
        """Return the result of the metric inside."""
        return self._inside.result()


class AdaptedLoss(keras.losses.Loss):
    """A user's loss of labels [B, 1]; it has the name of the loss inside, which also weights and averages."""

    def __init__(self, loss: keras.losses.Loss) -> None:
        """Create the loss.

        Args:
          loss: The loss inside.
        """
        super().__init__(name=loss.name, reduction=loss.reduction)
        self._inside = loss

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss of labels [B] and outputs [B, 1]."""
        return self._inside(columns(y_true), y_pred, sample_weight)
