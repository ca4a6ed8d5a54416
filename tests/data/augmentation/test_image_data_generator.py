"""The arguments of a notebook's `ImageDataGenerator(...)` are used unchanged, or rejected with an alternative."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from data.augmentation.config import Augmentation
from data.augmentation.image_data_generator import from_image_data_generator, notes_on
from data.errors import UsageError

NOTEBOOK: dict[str, Any] = {
    "rotation_range": 40,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "fill_mode": "nearest",
}


def test_the_notebooks_arguments_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert from_image_data_generator(rescale=1 / 255, **NOTEBOOK) == Augmentation(**NOTEBOOK)
    assert "rescale is ignored: the model's first layer scales" in caplog.text
    assert notes_on(**NOTEBOOK) == []


def test_an_unknown_argument_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'rotation_range'"):
        from_image_data_generator(rotation_rnge=40)


def test_what_cannot_be_honoured_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="zca_whitening, preprocessing_function") as caught:
        from_image_data_generator(zca_whitening=True, preprocessing_function=abs, featurewise_center=False)
    assert "featurewise" not in str(caught.value)
    assert "zca_whitening: whiten in the model" in caught.value.hint


def test_the_old_defaults_ask_for_nothing() -> None:
    import inspect

    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    parameters = inspect.signature(ImageDataGenerator).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    assert from_image_data_generator(**defaults) == Augmentation()
