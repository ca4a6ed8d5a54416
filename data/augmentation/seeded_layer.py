"""A Keras layer as a function of a key: the same key, the same changes.

Keras' layers draw with `keras.random.SeedGenerator`s, which count their calls in variables. Here a
`keras.StatelessScope` gives these variables their values for each call, derived from the key, as `stateless_call` does.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from data import families
from data.augmentation.config import Augmentation
from data.errors import UsageError, first_line

COMPOSITIONS = 8  # of AugMix
_LARGEST_SEED = 2**31 - 2  # Keras uses the remainder of the division by this number
_STATE = re.compile(
    r"(Random|Parameterized|Truncated|Multinomial|StatefulU|StatefulS|StatefulT|StatefulR|Rng|.*PyFunc)"
)
_EMPHASIS = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)  # of the reason, in Keras' messages

Draw = Callable[..., Any]


class SeededLayer(NamedTuple):
    """A traced layer.

    Attributes:
      function: (key int64 [2], images float32 [B, h, w, c]) to images; of a layer that mixes labels (key, images,
        labels float32 [B, C]) to {"images", "labels"}.
      mixes: Whether the layer mixes labels.
      shape: Of an image of the result: height, width, channels.
    """

    function: Any
    mixes: bool
    shape: tuple[int, ...]


def mixes_labels(layer: keras.layers.Layer | Augmentation) -> bool:
    """Return whether a layer mixes the pictures of a batch, and their labels with them."""
    if isinstance(layer, (keras.layers.MixUp, keras.layers.CutMix)):
        return True
    owner = next((one for one in type(layer).__mro__ if "transform_labels" in vars(one)), None)
    return owner is not None and not owner.__module__.startswith("keras.")


def seed_layer(layer: keras.layers.Layer | Augmentation, shape: Sequence[int], seed: int) -> SeededLayer:
    """Trace a layer for pictures of one size.

    Args:
      layer: Of Keras, or a user's.
      shape: Of a picture: height, width, channels.
      seed: Of the choices that a layer makes while it is traced.

    Raises:
      UsageError: If the layer cannot change such pictures, has weights, or draws in a way that cannot be repeated.
    """
    mixes = mixes_labels(layer)
    specs = [tf.TensorSpec([2], tf.int64), tf.TensorSpec([None, *shape], tf.float32)]
    specs += [tf.TensorSpec([None, None], tf.float32)] * mixes
    draw = _augmentation_of if isinstance(layer, Augmentation) else _layer_of
    function = tf.function(draw(layer, seed), specs, autograph=False)
    with _refused_by(layer, shape):
        traced = function.get_concrete_function()
    _check_repeatable(layer, traced)
    images = traced.structured_outputs["images"] if mixes else traced.structured_outputs
    if images.shape.rank != 4:
        raise UsageError(
            f"augment: {name_of(layer)} gives {images.shape}, expected pictures [N, height, width, channels]"
        )
    return SeededLayer(traced, mixes, tuple(images.shape[1:]))


def name_of(layer: Any) -> str:
    """Return a layer's class, for errors."""
    return type(layer).__name__


def _augmentation_of(augmentation: Augmentation, _: int) -> Draw:
    return lambda key, images: augmentation(images, key)


def _layer_of(layer: keras.layers.Layer, seed: int) -> Draw:
    """Return the function of a layer, which gives its seeds their values."""
    if not families.HAS_ELASTIC_TRANSFORM and isinstance(layer, keras.layers.RandomElasticTransform):
        raise UsageError(
            "augment: RandomElasticTransform ends the process with this version of TensorFlow",
            hint="It needs Python 3.11 or later, with the versions of requirements.lock.",
        )
    call = {keras.layers.RandAugment: _rand_augment, keras.layers.AugMix: _aug_mix}.get(type(layer), _call)

    def draw(key: tf.Tensor, images: tf.Tensor, *labels: tf.Tensor) -> Any:
        data = {"images": images, "labels": labels[0]} if labels else images
        _build(layer, images.shape)
        seeds = _seeds(key, 1 + len(layer.variables))
        states = list(zip(layer.variables, seeds[1:], strict=True))
        return call(layer, data, functools.partial(keras.StatelessScope, states), _Choice(seed, seeds[0]))

    return draw


class _Choice(NamedTuple):
    """Seeds of a layer's choices: of those while it is traced, and int64 [2] of those of a call."""

    traced: int
    called: tf.Tensor


def _call(layer: Any, data: Any, scope: Callable[[], Any], choice: _Choice) -> Any:
    with scope(), python_seed(choice.traced):
        return layer(data, training=True) if _takes_training(layer) else layer(data)


def _rand_augment(layer: Any, images: tf.Tensor, scope: Callable[[], Any], choice: _Choice) -> tf.Tensor:
    """Return what `RandAugment` does, in a tenth of the time: it computes all operations, and then selects."""
    with scope(), python_seed(choice.traced):
        changes = layer.get_random_transformation(images, training=True)
        for number in tf.unstack(changes["layer_idxes"], num=layer.num_ops):
            operations = [
                functools.partial(getattr(layer, name).transform_images, images, change)
                for name, change in changes["transforms"].items()
            ]
            images = tf.switch_case(number, operations)
        return images


def _aug_mix(layer: Any, images: tf.Tensor, scope: Callable[[], Any], choice: _Choice) -> tf.Tensor:
    """Choose one of several compositions; Keras chooses its operations once, when it is traced."""

    def composition(number: int) -> tf.Tensor:
        return _call(layer, images, scope, choice._replace(traced=choice.traced + number))

    number = tf.random.stateless_uniform([], choice.called, 0, COMPOSITIONS, tf.int32, alg="philox")
    return tf.switch_case(number, [functools.partial(composition, one) for one in range(COMPOSITIONS)])


def _takes_training(layer: keras.layers.Layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _build(layer: keras.layers.Layer, shape: tf.TensorShape) -> None:
    """Create the layer's variables outside of the graph.

    Raises:
      UsageError: If the layer has weights.
    """
    if not layer.built:
        with tf.init_scope():
            layer.build(tuple(shape))
    if layer.weights:
        raise UsageError(
            f"augment: {name_of(layer)} has weights, which nothing would train or export",
            hint="Put the layer into the model.",
        )


def _seeds(key: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Return states of `count` seed generators, int64 [2] each."""
    drawn = tf.random.stateless_uniform([count], key, 0, _LARGEST_SEED, tf.int64, alg="philox")
    return list(tf.unstack(tf.stack([drawn, tf.zeros_like(drawn)], axis=1), num=count))


@contextlib.contextmanager
def python_seed(seed: int) -> Iterator[None]:
    """Seed the generators of Python and numpy, which a layer may use while it is traced; set them back at the end."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


@contextlib.contextmanager
def _refused_by(layer: Any, shape: Sequence[int]) -> Iterator[None]:
    """Turn the errors of a layer into one line.

    Raises:
      UsageError: If the block raised one.
    """
    try:
        yield
    except (ValueError, TypeError, tf.errors.OpError) as error:
        found = _EMPHASIS.search(str(error))
        reason = found.group(1).strip().splitlines()[0] if found else first_line(error)
        raise UsageError(
            f"augment: {name_of(layer)} cannot change pictures of {tuple(shape)}: {reason}", hint="Leave it out."
        ) from error


def _check_repeatable(layer: Any, traced: Any) -> None:
    """Check that the same key gives the same changes.

    Raises:
      UsageError: If the layer draws with a generator that it does not own, or runs Python code.
    """
    hint = "Draw with keras.random and a keras.random.SeedGenerator, which the layer keeps as an attribute."
    definition = traced.graph.as_graph_def()
    nodes = [*definition.node, *(node for one in definition.library.function for node in one.node_def)]
    state = sorted({node.op for node in nodes if _STATE.match(node.op)})
    if state:
        raise UsageError(f"augment: {name_of(layer)} has draws that cannot be repeated: {', '.join(state)}", hint=hint)
    if any(inside.dtype == tf.resource for _, inside in traced.graph.captures):
        raise UsageError(f"augment: {name_of(layer)} draws with a keras.random function without a seed", hint=hint)
