"""The setting `augment`: which values are legal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Union

from components.task import keras_text
from components.task.keras_config import has_config
from data.augmentation.config import Augmentation
from data.errors import UsageError

if TYPE_CHECKING:
    import keras

    Layer = Union[keras.layers.Layer, Augmentation]
    Augment = Union[Augmentation, str, Layer, Sequence[Layer], Callable[[], Union[Layer, Sequence[Layer]]]]
else:
    Augment = Union[Augmentation, str, object]  # `check_fields` resolves type hints, and must not load Keras


def checked_augment(value: Any) -> Any:
    """Return the setting, checked, and nothing to do as the default `Augmentation()`.

    Args:
      value: An `Augmentation`, a text, a Keras layer, a sequence of layers, or a function that returns one of these.

    Raises:
      UsageError: If it is something else, if Keras does not know the text, or if a layer is for pictures with values
        that are not 0 to 255.
    """
    if isinstance(value, Augmentation) or (callable(value) and not has_config(value)):
        return value
    if isinstance(value, str) and value.strip().lower() in ("", "none") or value in ((), []):
        return Augmentation()
    import tensorflow as tf

    from data.augmentation.layers import flat_layers

    with tf.Graph().as_default():  # as `keras_text.check_text`: nothing of the text's layers is left
        list(flat_layers(layers_of(value)))
    return tuple(value) if isinstance(value, list) else value


def layers_of(value: Any) -> Any:
    """Return the layers that the setting describes: one, or a sequence.

    Args:
      value: A text, a layer, a sequence of layers, or a function that returns layers.

    Raises:
      UsageError: If Keras does not know the text, or if the function takes arguments.
    """
    if isinstance(value, str):
        # Layers of a text take the pictures as they are, whatever the task's policy of types is.
        more = {"value_range": (0, 255), "dtype": "float32"}
        texts = keras_text.split_texts(value)
        return [keras_text.make_object(one, "augment", keras_text.augmentation_layers(), **more) for one in texts]
    if not callable(value) or has_config(value):
        return value
    try:
        return value()
    except TypeError as error:
        raise UsageError(
            f"augment: the function {getattr(value, '__name__', value)} must return Keras layers: {error}",
            hint="It is called without arguments. A function that changes pictures belongs into a keras.layers.Layer.",
        ) from error
