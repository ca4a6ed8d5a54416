"""The arguments of a notebook's `ImageDataGenerator(...)`, used unchanged."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

from data.augmentation.config import Augmentation
from data.errors import UsageError, unknown

# What the old class does besides random changes, and where it is done here.
_IGNORED = {
    "rescale": "the model's first layer scales the pixels, so that serving scales them, too",
    "zca_epsilon": "it has an effect only with zca_whitening",
    "dtype": "pictures keep their type, uint8, until the model's first layer",
}
_NORMALIZE = "put a keras.layers.Normalization, adapted to the training data, first in the model"
_REFUSED = {
    "featurewise_center": _NORMALIZE,
    "featurewise_std_normalization": _NORMALIZE,
    "samplewise_center": "put it first in the model",
    "samplewise_std_normalization": "put it first in the model",
    "zca_whitening": "whiten in the model",
    "preprocessing_function": "put it first in the model, so that serving uses it, too",
    "validation_split": "the task's ingest.train_buckets and ingest.eval_buckets, or folders, make the split",
    "data_format": "pictures are channels_last",
}
_DEFAULTS = {"zca_epsilon": 1e-6, "data_format": "channels_last"}


def from_image_data_generator(**arguments: Any) -> Augmentation:
    """Return the augmentation that `ImageDataGenerator(**arguments)` does.

    `rescale` and `dtype` are ignored with a line in the log (see `notes_on`): the model does that here.

    Args:
      **arguments: those of `ImageDataGenerator`.

    Raises:
      UsageError: If an argument is not supported (the error lists all of them, with what to do instead), does not
        exist, or has an illegal value.
    """
    known = {field.name for field in fields(Augmentation)}
    for name in arguments.keys() - known - _IGNORED.keys() - _REFUSED.keys():
        raise unknown("argument of ImageDataGenerator", name, known | _IGNORED.keys() | _REFUSED.keys())
    refused = [f"{name}: {_REFUSED[name]}" for name in _REFUSED if _is_set(name, arguments)]
    if refused:
        names = ", ".join(line.partition(":")[0] for line in refused)
        raise UsageError(f"unsupported arguments of ImageDataGenerator: {names}", "; ".join(refused))
    for note in notes_on(**arguments):
        logging.getLogger(__name__).warning(note)
    return Augmentation(**{name: value for name, value in arguments.items() if name in known})


def notes_on(**arguments: Any) -> list[str]:
    """Return a line for each argument that `from_image_data_generator` ignores, with the reason."""
    return [
        f"ImageDataGenerator's {name} is ignored: {why}" for name, why in _IGNORED.items() if _is_set(name, arguments)
    ]


def _is_set(name: str, arguments: dict[str, Any]) -> bool:
    """Return whether the argument is given and differs from the old class's default."""
    value = arguments.get(name)
    return bool(value) and value != _DEFAULTS.get(name)
