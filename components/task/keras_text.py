"""Keras objects as texts, as on the command line: "adamw(weight_decay=0.01, clipnorm=1.0)".

A text is a name, or a name with settings in parentheses. The settings are Python literals; a text without quotes is
legal, too. Names are those of Keras' classes in any of its spellings: "AdamW", "adamw", "adam_w". Keras is only
imported when a name is looked up.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from data.errors import UsageError, first_line, unknown

_OPENING, _CLOSING = "([{", ")]}"
_CONSTANTS = {"true": True, "false": False, "none": None}
# Base classes, those of other objects than texts can describe, and a loss of sequences.
_LEFT_OUT = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "Loss", "CTC"}
_LEFT_OUT |= {"Metric", "Mean", "Sum", "MeanMetricWrapper"}


@dataclass(frozen=True)
class KerasText:
    """A parsed text.

    Attributes:
      name: Name of the class, in any spelling.
      settings: Arguments of the class by name.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """The classes that a text may name.

    Attributes:
      kind: What they are, for messages: "optimizer".
      classes: Classes by the name that messages show.
      aliases: Further names: "mse" for "mean_squared_error".
      refused: Arguments that a text must not have, with the hint what to use instead.
    """

    kind: str
    classes: Mapping[str, type]
    aliases: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def find_class(self, name: str) -> type | None:
        """Return the class of a name in any spelling; None if there is none."""
        name = self.aliases.get(name.lower(), name)
        found = [one for shown, one in self.classes.items() if _bare(name) in (_bare(shown), _bare(one.__name__))]
        return found[0] if found else None


def split_texts(text: str) -> list[str]:
    """Split several texts at their commas, except at those inside parentheses or quotes."""
    parts, depth, quote = [""], 0, ""
    for one in text:
        if quote:
            quote = "" if one == quote else quote
        elif one in "'\"" and depth:
            quote = one
        depth += 0 if quote else (one in _OPENING) - (one in _CLOSING)
        if one == "," and not depth:
            parts.append("")
        else:
            parts[-1] += one
    return [part.strip() for part in parts] if text.strip() else []


def parse_text(text: str, setting: str) -> KerasText:
    """Parse a text.

    Args:
      text: For example "adamw(weight_decay=0.01)"; `keras.optimizers.` in front of the name is legal.
      setting: Name of the setting, for errors: "train.optimizer".

    Raises:
      UsageError: If it is not a name, or a name with arguments by name.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if call.args or any(one.arg is None for one in call.keywords):
            raise ValueError(text)
        return KerasText(_name(call.func), {str(one.arg): _literal(one.value) for one in call.keywords})
    except (SyntaxError, ValueError):  # ValueError: a null character, too
        raise UsageError(
            f"{setting} must be a name, or a name with settings in parentheses, got {text!r}",
            hint="For example NAME, NAME(size=2) or NAME(mode='text', rates=(0.1, 0.2)).",
        ) from None


def make_object(text: str, setting: str, catalog: Catalog, **more: Any) -> Any:
    """Create the object that a text describes.

    Args:
      text: For example "adamw(weight_decay=0.01)".
      setting: Name of the setting, for errors.
      catalog: The classes that the text may name.
      **more: Further arguments, where the class has them and the text does not.

    Raises:
      UsageError: If the text is malformed, the name or an argument is unknown, or Keras rejects a value.
    """
    parsed = parse_text(text, setting)
    cls = class_of(parsed, setting, catalog)
    settings = {name: value for name, value in more.items() if name in _arguments(cls)} | dict(parsed.settings)
    try:
        return cls(**settings)
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        hint = "Names and arguments are those of Keras."
        raise UsageError(f"{setting}: {text} is not legal: {first_line(error)}", hint=hint) from error


def class_of(parsed: KerasText, setting: str, catalog: Catalog) -> type:
    """Return the class that a parsed text names, after a check of the names of its arguments.

    Raises:
      UsageError: If the name or an argument is unknown.
    """
    cls = catalog.find_class(parsed.name)
    if cls is None:
        kind = catalog.kind if setting.endswith(catalog.kind) else f"{catalog.kind} for {setting}"
        raise unknown(kind, parsed.name, [*catalog.classes, *catalog.aliases])
    legal = _arguments(cls)
    for name in parsed.settings:
        if name in catalog.refused:
            raise UsageError(f"{setting}: {parsed.name} must not have {name}", hint=catalog.refused[name])
        if name not in legal:
            raise unknown(f"argument of {parsed.name} for {setting}", name, [*legal.keys() - catalog.refused.keys()])
    return cls


def check_text(text: str, setting: str, catalog: Catalog) -> None:
    """Check a text by creating its object, without a trace of it.

    The object's variables are made in a graph of its own: others would start TensorFlow, which reserves a GPU's memory
    in a process that does not train.

    Raises:
      UsageError: If `make_object` would raise it.
    """
    import tensorflow as tf

    with tf.Graph().as_default():
        make_object(text, setting, catalog)


def catalog_of(module: ModuleType, base: type, kind: str, **more: Any) -> Catalog:
    """Return the public classes of a Keras module that derive from a base class.

    Args:
      module: For example `keras.optimizers`.
      base: For example `keras.optimizers.Optimizer`; the base itself and other abstract classes are left out.
      kind: What they are, for messages.
      **more: Further fields of the catalog.
    """
    found = {name: one for name, one in vars(module).items() if inspect.isclass(one) and issubclass(one, base)}
    classes = {snake_case(name): one for name, one in found.items() if name not in _LEFT_OUT and one is not base}
    return Catalog(kind, classes, **more)


@functools.cache
def optimizers() -> Catalog:
    """Return Keras' optimizers; their names have no underscores: "rmsprop"."""
    import keras

    hint = "Set train.learning_rate instead, which --set, the schedule and fine-tuning can change."
    found = catalog_of(keras.optimizers, keras.optimizers.Optimizer, "optimizer")
    classes = {one.__name__.lower(): one for one in found.classes.values()}
    return Catalog(found.kind, classes, refused={"learning_rate": hint})


_ERRORS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}


@functools.cache
def losses() -> Catalog:
    """Return Keras' losses, and its short names."""
    import keras

    return catalog_of(keras.losses, keras.losses.Loss, "loss", aliases=_ERRORS)


@functools.cache
def metrics() -> Catalog:
    """Return Keras' metrics of labels and outputs, and its short names."""
    import keras

    return catalog_of(keras.metrics, keras.metrics.Metric, "metric", aliases=_ERRORS)


@functools.cache
def augmentation_layers() -> Catalog:
    """Return Keras' layers that change pictures, and those that are used with them."""
    import keras

    found = catalog_of(keras.layers, keras.layers.Layer, "layer")
    more = ("zero_padding2d", "cropping2d", "spatial_dropout2d")
    classes = {name: one for name, one in found.classes.items() if hasattr(one, "transform_images") or name in more}
    classes.pop("max_num_bounding_boxes", None)
    return Catalog(found.kind, classes, refused={"seed": "Set train.seed, from which all layers draw."})


def snake_case(name: str) -> str:
    """Return the name that Keras gives an object of a class: "F1Score" becomes "f1_score"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _bare(name: str) -> str:
    return name.replace("_", "").lower()


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError(node)


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _CONSTANTS.get(node.id.lower(), node.id)
    return ast.literal_eval(node)


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name, those that it passes on to its base classes included."""
    found: dict[str, inspect.Parameter] = {}
    for one in cls.__mro__:
        if "__init__" not in vars(one) or one is object:
            continue
        parameters = [*inspect.signature(vars(one)["__init__"]).parameters.values()][1:]
        found = {name.name: name for name in _named(parameters)} | found
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _named(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    return [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
