"""The arguments of a notebook's `ImageDataGenerator(...)`, taken as they stand."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

from data.augmentation.ops import Augmentation
from data.errors import UsageError, unknown

# What the old class does that is no random change of a picture, and where it is done here.
_IGNORED = {
    "rescale": "the model's first layer scales the pixels, so that serving scales them, too",
    "zca_epsilon": "it only matters with zca_whitening",
    "dtype": "pictures keep their type, uint8, until the model's first layer",
}
_NORMALIZE = "put a keras.layers.Normalization, adapted to the training data, first in the model"
_REFUSED = {
    "featurewise_center": _NORMALIZE,
    "featurewise_std_normalization": _NORMALIZE,
    "samplewise_center": "put it first in the model",
    "samplewise_std_normalization": "put it first in the model",
    "zca_whitening": "whiten in the model",
    "preprocessing_function": "put it first in the model, where serving has it, too",
    "validation_split": "the task's ingest.train_buckets and ingest.eval_buckets, or folders, make the split",
    "data_format": "pictures are channels_last",
}
_DEFAULTS = {"zca_epsilon": 1e-6, "data_format": "channels_last"}


def from_image_data_generator(**arguments: Any) -> Augmentation:
    """The augmentation that `ImageDataGenerator(**arguments)` does.

    `rescale` and `dtype` are ignored with a line in the log (`notes_on` gives the lines): the model does that here.

    Raises:
      UsageError: an argument asks for what cannot be honoured (all of them are named, with what to do instead), does
        not exist, or has a value that is not legal.
    """
    known = {field.name for field in fields(Augmentation)}
    for name in arguments.keys() - known - _IGNORED.keys() - _REFUSED.keys():
        raise unknown("argument of ImageDataGenerator", name, known | _IGNORED.keys() | _REFUSED.keys())
    refused = [f"{name}: {_REFUSED[name]}" for name in _REFUSED if _asks(name, arguments)]
    if refused:
        names = ", ".join(line.partition(":")[0] for line in refused)
        raise UsageError(f"of ImageDataGenerator's arguments these cannot be honoured: {names}", "; ".join(refused))
    for note in notes_on(**arguments):
        logging.getLogger(__name__).warning(note)
    return Augmentation(**{name: value for name, value in arguments.items() if name in known})


def notes_on(**arguments: Any) -> list[str]:
    """What `from_image_data_generator` ignores of the arguments: a line each, which says why."""
    return [
        f"ImageDataGenerator's {name} is ignored: {why}" for name, why in _IGNORED.items() if _asks(name, arguments)
    ]


def _asks(name: str, arguments: dict[str, Any]) -> bool:
    """Whether the argument is given and other than what the old class does anyway."""
    value = arguments.get(name)
    return bool(value) and value != _DEFAULTS.get(name)
