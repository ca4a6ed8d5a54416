"""The clients part of a review: measured once the model is pushed, where a client can change an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.review.client_review import review_clients
from components.review.inputs import ReviewInputs
from components.task.task import Gate
from components.training.trained_model import keep_weights
from data.spec import Feature, Image
from tests.components.review.answers import write_held_out
from tests.tasks.tiny import TASK


def _build(feature: Feature, classes: int) -> keras.Model:
    """The mean of red and of blue as the scores of the two classes."""
    inputs = keras.Input(feature.shape, dtype="uint8")
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(means))


@pytest.fixture
def pushed(tmp_path: Path, encode: Callable[..., bytes]) -> ReviewInputs:
    """Nine pictures, red and blue by turns, and a model that answers all of them right."""
    task = dataclasses.replace(TASK, feature=Image(6, 6), model=_build, gate=Gate(pictures=5))
    colours = {"blue": (0, 20, 200), "red": (220, 30, 10)}
    names = [("red", "blue")[number % 2] for number in range(9)]
    files = {
        f"{number}.png": (encode(np.full((7, 6 + number, 3), colours[name], np.uint8), "PNG"), name)
        for number, name in enumerate(names)
    }
    examples = write_held_out(tmp_path / "examples", files)
    model = _build(task.feature, 2)
    model.set_weights([np.array([[0, 5], [0, 0], [5, 0]], np.float32), np.zeros(2, np.float32)])
    keep_weights(model, str(tmp_path / "model_run"))
    schema = schema_pb2.Schema()
    schema.feature.add(name="label").string_domain.value.extend(["blue", "red"])
    (tmp_path / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    return ReviewInputs(
        task, examples, "", str(tmp_path), "", str(tmp_path / "model_run"), "", str(tmp_path), is_pushed=True
    )


def test_the_cost_of_each_client_and_a_picture_of_those_that_change_an_answer(pushed: ReviewInputs) -> None:
    costs, pictures = review_clients(pushed)
    assert {one.pictures for one in costs} == {5}  # every second of nine
    assert {one.client: (one.flipped, one.accuracy) for one in costs if one.flipped} == {"BGR": (5, 0.0)}
    (found,) = pictures
    assert (found.client, found.picture.label, found.picture.answer, found.answer) == ("BGR", "red", "red", "blue")


def test_nothing_is_measured_if_it_is_not_pushed_or_no_pictures_are_wanted(pushed: ReviewInputs) -> None:
    assert review_clients(dataclasses.replace(pushed, is_pushed=False)) == ([], [])
    without = dataclasses.replace(pushed.task, gate=Gate(pictures=0))
    assert review_clients(dataclasses.replace(pushed, task=without)) == ([], [])
