"""Transfer learning: a pretrained network of `keras.applications`, cut at a layer, frozen, with a new head."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import keras
import tensorflow as tf

from data.errors import UsageError, first_line, unknown
from data.fields import check_fields
from data.spec import Feature

MAX_DENSE, MAX_ALPHA = 2**20, 10  # larger weights fit into no machine's memory


@dataclass(frozen=True)
class Transfer:
    """A model for a task; its fields are settings: `--set model.weights=none`.

    Attributes:
      backbone: A class of `keras.applications`, "InceptionV3".
      weights: "imagenet" downloads Keras' weights, "none" initializes at random, anything else is a file of weights of
        the backbone without its top, for `keras.Model.load_weights`.
      cut: Name of the layer whose output is the input of the head; empty: the last one.
      alpha: Width multiplier of the MobileNets; 1 for all others.
      pooling: "flatten" the output of the cut, or "average" it over the picture.
      dense: Units of the head's hidden layer; 0: no hidden layer.
      dropout: Share of the hidden units that each step drops, 0 to 1.
      activation: Activation of the last layer: "softmax" for one of several classes, "sigmoid" for several labels,
        "linear" for logits of either; unused for a number.
    """

    backbone: str
    weights: str = "imagenet"
    cut: str = ""
    alpha: float = 1.0
    pooling: Literal["flatten", "average"] = "flatten"
    dense: int = 1024
    dropout: float = 0.2
    activation: Literal["softmax", "sigmoid", "linear"] = "softmax"

    def __post_init__(self) -> None:
        check_fields(self, "model")
        if self.backbone not in _modules():
            raise unknown("backbone", self.backbone, _modules())
        if not 0 <= self.dropout < 1:
            raise UsageError(f"model.dropout must be at least 0 and below 1, got {self.dropout}")
        if not 0 <= self.dense <= MAX_DENSE:
            raise UsageError(f"model.dense must be 0 to {MAX_DENSE} units, got {self.dense}")
        if not 0 < self.alpha <= MAX_ALPHA:
            raise UsageError(f"model.alpha must be above 0 and at most {MAX_ALPHA}, got {self.alpha}")
        if self.alpha != 1 and not has_alpha(self.backbone):
            raise UsageError(
                f"model.alpha: {self.backbone} has no width multiplier", hint="Only the MobileNets have one."
            )
        if not self.weights:
            raise UsageError("model.weights is empty", hint="model.weights is imagenet, none or a file.")

    def __call__(self, feature: Feature, classes: int) -> keras.Model:
        """Return the model: uint8 [N, h, w, 3] to probabilities [N, classes], or to a number [N, 1].

        The backbone's `preprocess_input` scales the pixels, in the graph. Its BatchNormalization layers are frozen, and
        stay so in fine-tuning (`unfreeze`): they keep the pretrained statistics. `training=False` alone does not do it,
        because Keras 3 passes the outer model's `training` on.

        Raises:
          UsageError: If the pictures are too small, or if the layer or the weights do not fit the backbone.
        """
        backbone = self._pretrained(feature)
        backbone.trainable = False
        inputs = keras.Input(feature.shape, dtype="uint8")
        scaled = _modules()[self.backbone].preprocess_input(keras.ops.cast(inputs, "float32"))
        hidden = backbone(scaled, training=False)
        flat = keras.layers.Flatten() if self.pooling == "flatten" else keras.layers.GlobalAveragePooling2D()
        hidden = flat(hidden)
        if self.dense:
            hidden = keras.layers.Dense(self.dense, activation="relu")(hidden)
        hidden = keras.layers.Dropout(self.dropout)(hidden)
        outputs = keras.layers.Dense(classes or 1, activation=self.activation if classes else None)(hidden)
        return keras.Model(inputs, outputs, name=f"{backbone.name}_transfer")

    def depends(self) -> dict[str, str]:
        """Return what the model depends on besides its fields: the contents of the file of weights.

        Raises:
          UsageError: If the file does not exist.
        """
        if self.weights in ("imagenet", "none"):
            return {}
        if not tf.io.gfile.exists(self.weights):
            raise UsageError(f"no weights at {self.weights}", hint="model.weights is imagenet, none or a file.")
        with tf.io.gfile.GFile(self.weights, "rb") as file:
            return {"weights_content": hashlib.sha256(file.read()).hexdigest()[:16]}

    def _pretrained(self, feature: Feature) -> keras.Model:
        """Return the backbone up to its cut, with its weights."""
        make = getattr(keras.applications, self.backbone)
        options: dict[str, Any] = {"include_top": False, "input_shape": feature.shape}
        if has_alpha(self.backbone):
            options["alpha"] = self.alpha
        try:
            model = make(weights=None, **options)
        except ValueError as error:
            raise UsageError(
                f"{self.backbone} on pictures of shape {feature.shape}: {first_line(error)}",
                hint="Change feature.height, feature.width or feature.channels, or take another model.backbone.",
            ) from None
        self._check_cut(model)
        if self.weights == "imagenet":
            model = self._downloaded(make, options)
        elif self.weights != "none":
            self._load(model)
        end = model.get_layer(self.cut).output if self.cut else model.output
        return keras.Model(model.input, end, name=model.name)

    def _downloaded(self, make: Any, options: dict[str, Any]) -> keras.Model:
        try:
            return make(weights="imagenet", **options)
        except Exception as error:  # many kinds: of the network, the file system, Keras
            raise UsageError(
                f"cannot download the ImageNet weights of {self.backbone}: {first_line(error)}",
                hint="Without a network, give a file that was downloaded elsewhere, --set model.weights=FILE, or train"
                " from random weights, --set model.weights=none",
            ) from None

    def _load(self, model: keras.Model) -> None:
        try:
            model.load_weights(self.weights)
        except (ValueError, OSError, KeyError) as error:
            raise UsageError(
                f"the weights in {self.weights} do not fit {self.backbone}: {_misfit(error)}",
                hint="They must belong to the same backbone without its top, with the same model.alpha.",
            ) from None

    def _check_cut(self, model: keras.Model) -> None:
        names = [layer.name for layer in model.layers]
        if self.cut and self.cut not in names:
            near = difflib.get_close_matches(self.cut, names, n=5, cutoff=0.4)
            raise UsageError(
                f"no layer '{self.cut}' in {self.backbone} for model.cut",
                hint=f"The closest of its {len(names)} names: {', '.join(near or names[-5:])}",
            )


def list_backbones() -> list[str]:
    """Return the names of the classes of `keras.applications` that `Transfer` knows."""
    return sorted(_modules())


def has_alpha(backbone: str) -> bool:
    """Return whether a backbone has a width multiplier."""
    return "alpha" in inspect.signature(getattr(keras.applications, backbone)).parameters


def _modules() -> dict[str, types.ModuleType]:
    """Return for each backbone the module of `keras.applications` that has its `preprocess_input`."""

    def named_modules() -> Iterator[tuple[str, types.ModuleType]]:
        for module in vars(keras.applications).values():
            if isinstance(module, types.ModuleType) and hasattr(module, "preprocess_input"):
                for name in vars(module):
                    if callable(getattr(keras.applications, name, None)):
                        yield name, module

    return dict(named_modules())


def _misfit(error: BaseException) -> str:
    """Return the name and the shapes of the first weight that does not fit, from Keras' long text."""
    count = re.search(r"total of (\d+) objects", str(error))
    shapes = re.search(r"variable\.shape=(\(.*?\)), Received: value\.shape=(\(.*?\)).*?path=([^,]+),", str(error))
    if not (count and shapes):
        return first_line(error)
    return f"{count[1]} layers differ, e.g. {shapes[3]} is {shapes[1]} in the model and {shapes[2]} in the file"
