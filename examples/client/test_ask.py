"""Test `ask.py` without a server: a transport that answers from a function."""

from __future__ import annotations

import io

from ask import best_labels
from PIL import Image

from skewless import Client, MockTransport


def test_the_best_label_is_the_one_with_the_highest_score() -> None:
    def answer(request):  # the model: all pictures are roses
        count = request.inputs["image_bytes"].shape[0]
        return {"classes": [["rose", "tulip"]] * count, "scores": [[0.93, 0.07]] * count}

    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with Client("anywhere:8500", "flowers", transport=MockTransport(answer)) as client:
        assert best_labels(client, [picture.getvalue()] * 2) == ["rose (0.93)"] * 2
