"""Pictures of the held-out split, found by their source."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pil

from components.review import held_out
from components.review.held_out import fill_pictures
from components.review.inputs import ReviewInputs
from components.review.record import Picture
from tests.components.review.answers import write_held_out
from tests.tasks import rows, tiny

NAMES = ("a.png", "b/ü.png", "caf\udce9.png", "<b>.jpg")


@pytest.mark.parametrize("limit", [1, 2**26])
def test_pictures_are_filled_in_by_their_source(smooth, encode, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(held_out, "_BATCH_BYTES", limit)
    pixels = {name: smooth(place, 20 + place, 30) for place, name in enumerate(NAMES)}
    files = {name: (encode(one, "PNG"), "cat") for name, one in pixels.items()}
    examples = write_held_out(tmp_path, files)
    wanted = [Picture(name) for name in (*NAMES[1:], NAMES[1], "absent.png")]
    fill_pictures(ReviewInputs(tiny.TASK, examples, "", "", "", "", ""), wanted)
    for one in wanted[:-1]:
        height, width = pixels[one.source].shape[:2]
        assert (one.height, one.width) == (height, width)
        shown = Pil.open(io.BytesIO(base64.b64decode(one.thumbnail.partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(shown), pixels[one.source])
    assert wanted[-1] == Picture("absent.png")


def test_rows_of_numbers_and_nothing_stay_as_they_are(tmp_path):
    row = Picture("d.csv:3")
    fill_pictures(ReviewInputs(rows.NUMBER, str(tmp_path), "", "", "", "", ""), [row])
    fill_pictures(ReviewInputs(tiny.TASK, str(tmp_path), "", "", "", "", ""), [])
    assert row == Picture("d.csv:3")
