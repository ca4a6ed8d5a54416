"""A user's module with layers of Keras as augmentation: trained, pushed without them, drawn, and cached by settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

from tests.pipeline.conftest import PROJECT, Skewless

pytestmark = pytest.mark.slow


def test_layers_are_in_the_training_and_in_no_signature(
    skewless: Skewless, tmp_path: Path, picture_folder: Callable[..., Path]
) -> None:
    data = picture_folder(tmp_path / "data", {"cats": 40, "dogs": 40})
    source = (PROJECT / "tests" / "tasks" / "tiny.py").read_text()
    layers = "augment=[keras.layers.ZeroPadding2D(1), keras.layers.RandomCrop(8, 8), keras.layers.MixUp()]"
    text = source.replace("model=build_model,", f"model=build_model,\n    {layers},")
    (tmp_path / "mine.py").write_text(text)

    def run() -> dict:
        outcome = skewless("run", "mine", "--data", str(data), root=tmp_path, task="tiny", cwd=tmp_path)
        assert outcome.status == 0, outcome.err
        return outcome.record

    record = run()
    assert record["status"] == "pushed"
    assert width_of_the_picture(record) > 6 * 128
    model = tf.saved_model.load(record["pushed"]["path"])
    for name, signature in model.signatures.items():
        graph = signature.graph.as_graph_def()
        nodes = [*graph.node, *(node for one in graph.library.function for node in one.node_def)]
        assert [node.op for node in nodes if "Random" in node.op] == [], name
    again = run()
    assert again["status"] == "unchanged", again["components"]
    assert width_of_the_picture(again) > 6 * 128


def width_of_the_picture(record: dict) -> int:
    (drawn,) = [plot for plot in record["plots"] if Path(plot).name == "augmentation.png"]
    with Image.open(drawn) as picture:
        return picture.width
