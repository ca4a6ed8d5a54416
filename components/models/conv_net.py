"""A convolutional network, as in the notebooks: blocks of convolution and pooling, then a dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras

from data.errors import UsageError
from data.fields import check_fields
from data.spec import Feature

MAX_UNITS = 2**20  # the weights of more units fit into no machine's memory
MOMENTUM = 0.9  # of batch normalization; with Keras' 0.99, the averages of a short training lag behind the weights


@dataclass(frozen=True)
class ConvNet:
    """A model for a task; its fields are settings: `--set model.dense=256`.

    Attributes:
      filters: Numbers of filters of the 3x3 convolutions, one for each block; each block halves height and width.
      batch_norm: Whether a BatchNormalization follows each convolution, before its ReLU; the convolutions then have
        no bias and keep height and width ("same" padding).
      pooling: "flatten" the output of the blocks, or "average" it over the picture.
      dense: Units of the dense layer after the blocks; 0: no such layer.
      dropout: Share of the values after `pooling` that each step drops, 0 to 1.
      activation: Activation of the last layer: "softmax" for one of several classes, "sigmoid" for several labels,
        "linear" for logits of either.
    """

    filters: tuple[int, ...] = (16, 32, 64, 64, 64)
    dense: int = 512
    dropout: float = 0.0
    activation: Literal["softmax", "sigmoid", "linear"] = "softmax"
    batch_norm: bool = False
    pooling: Literal["flatten", "average"] = "flatten"

    def __post_init__(self) -> None:
        check_fields(self, "model")
        if not self.filters or not all(1 <= one <= MAX_UNITS for one in self.filters):
            raise UsageError(f"model.filters must be 1 to {MAX_UNITS}, at least one, got {self.filters}")
        if not 0 <= self.dense <= MAX_UNITS:
            raise UsageError(f"model.dense must be 0 to {MAX_UNITS} units, got {self.dense}")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"model.dropout must be at least 0 and below 1, got {self.dropout}")

    def __call__(self, feature: Feature, classes: int) -> keras.Model:
        """Return the model: uint8 [N, h, w, c] to probabilities [N, classes], or for two classes one sigmoid [N, 1].

        With `activation="sigmoid"` or "linear" there are always as many outputs as classes.

        Raises:
          UsageError: If the pictures are too small for the number of blocks.
        """
        inputs = keras.Input(feature.shape, dtype="uint8")
        hidden = keras.layers.Rescaling(1 / 255)(inputs)
        for filters in self.filters:
            if min(hidden.shape[1:3]) < (2 if self.batch_norm else 4):
                raise UsageError(
                    f"pictures of {feature.shape[0]}x{feature.shape[1]} are too small for {len(self.filters)} blocks",
                    hint="Use larger pictures, or fewer blocks: --set model.filters=16,32",
                )
            hidden = self._block(hidden, filters)
        flat = keras.layers.Flatten() if self.pooling == "flatten" else keras.layers.GlobalAveragePooling2D()
        hidden = flat(hidden)
        if self.dropout:
            hidden = keras.layers.Dropout(self.dropout)(hidden)
        if self.dense:
            hidden = keras.layers.Dense(self.dense, activation="relu")(hidden)
        one = classes == 2 and self.activation == "softmax"
        last = keras.layers.Dense(1, "sigmoid") if one else keras.layers.Dense(classes, self.activation)
        return keras.Model(inputs, last(hidden))

    def _block(self, hidden: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        """Add a convolution and the pooling after it."""
        if self.batch_norm:
            hidden = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
            hidden = keras.layers.BatchNormalization(momentum=MOMENTUM)(hidden)
            hidden = keras.layers.ReLU()(hidden)
        else:
            hidden = keras.layers.Conv2D(filters, 3, activation="relu")(hidden)
        return keras.layers.MaxPooling2D()(hidden)
