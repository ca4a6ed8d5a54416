"""The pictures whose answer a client changes: a linear model of mean colours, whose answers are known by hand."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from components.review.client_pictures import ChangedAnswer, compare_clients
from components.task.task import Gate
from data.images.formats import read_header
from data.records import image_record
from data.spec import Image
from tests.tasks import several, skewable

SPEC = Image(6, 8)
GATE = Gate(pictures=100)


def mean_colours(pixels: np.ndarray) -> np.ndarray:
    """Return the mean of blue, green and red, 0..1: [N, 3]."""
    return (pixels.mean(axis=(1, 2))[:, ::-1] / 255).astype(np.float32)


def model_of(task: Any, thresholds: Sequence[float] = ()) -> Any:
    """Return what the measurement needs of a trained model; pictures that have the model's size stay as they are."""
    names = ("blue", "green", "red")
    return SimpleNamespace(task=task, classes=names, thresholds=tuple(thresholds), score=mean_colours)


def records_of(encode: Callable[..., bytes], pictures: Sequence[tuple[tuple[int, int, int], Any]]) -> list[bytes]:
    """Return pictures of one colour each, with their labels."""
    files = [encode(np.full((6, 8, 3), colour, np.uint8), "PNG") for colour, _ in pictures]
    return [
        image_record(contents, (6, 8), read_header(contents), label, f"{number}.png").example
        for number, (contents, (_, label)) in enumerate(zip(files, pictures, strict=True))
    ]


def decoded(png: str) -> list[int]:
    """Return the colour of a picture of one colour."""
    with Pil.open(io.BytesIO(base64.b64decode(png))) as picture:
        (found,) = {tuple(one) for one in np.asarray(picture).reshape(-1, 3).tolist()}
    return list(found)


def test_of_classes(encode: Callable[..., bytes]) -> None:
    task = dataclasses.replace(skewable.TASK, feature=SPEC, gate=GATE)
    records = records_of(encode, [((250, 9, 0), "blue"), ((200, 20, 100), "red"), ((10, 240, 20), "green")])
    costs, changed = compare_clients(model_of(task), records)
    assert {one.client: one.flipped for one in costs if one.flipped} == {"BGR": 2}
    (found,) = changed  # the first picture changes more, but is served wrong
    assert (found.client, found.source, found.width, found.height) == ("BGR", "1.png", 8, 6)
    assert (found.label, found.answer_served, found.answer, found.score_name) == ("red", "red", "blue", "")
    assert (found.score_served, found.score) == (pytest.approx(200 / 255), pytest.approx(200 / 255))
    assert (decoded(found.served), decoded(found.sent)) == ([200, 20, 100], [100, 20, 200])


def test_of_several_labels(encode: Callable[..., bytes]) -> None:
    task = dataclasses.replace(several.TASK, feature=SPEC, gate=GATE)
    records = records_of(encode, [((204, 200, 51), ("green", "red")), ((60, 60, 60), ())])
    _, changed = compare_clients(model_of(task, [0.7, 0.5, 0.3]), records)
    (found,) = changed  # blue reaches its threshold, and red is lost: both change by 0.6, and blue comes first
    assert (found.label, found.answer_served, found.answer) == ("green, red", "green, red", "blue, green")
    assert (found.score_name, found.score_served, found.score) == ("blue", pytest.approx(0.2), pytest.approx(0.8))


def test_what_no_label_reaches(encode: Callable[..., bytes]) -> None:
    task = dataclasses.replace(several.TASK, feature=SPEC, gate=GATE)
    records = records_of(encode, [((0, 0, 204), ())])
    _, (found,) = compare_clients(model_of(task, [0.9, 0.9, 0.5]), records)
    assert (found.label, found.answer_served, found.answer, found.score_name) == ("none", "none", "red", "red")


def test_a_file_that_the_client_cannot_read(encode: Callable[..., bytes]) -> None:
    """A PNG with a broken checksum in an extra chunk: TensorFlow ignores it, PIL rejects it."""
    sound = encode(np.full((6, 8, 3), (250, 1, 9), np.uint8), "PNG")
    broken = sound[:33] + b"\x00\x00\x00\x01gAMAx\x00\x00\x00\x00" + sound[33:]
    record = image_record(broken, (6, 8), read_header(broken), "red", "0.png").example
    task = dataclasses.replace(skewable.TASK, feature=SPEC, gate=GATE)
    _, changed = compare_clients(model_of(task), [record])
    (found,) = [one for one in changed if one.client == "PIL nearest"]
    assert (found.sent, found.answer, found.score) == ("", "", None)
    assert isinstance(found, ChangedAnswer) and decoded(found.served) == [250, 1, 9]
