"""Comparison of routes on SavedModels: a faithful model passes on every route, and skewed ones do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import ServingError, UsageError
from serving.parity import routes
from serving.parity.compare import compare_answers, score_tolerance
from serving.parity.live_server import start_live_server
from serving.parity.proof import Sample, compare_routes

CLASSES = [b"ant", b"bee", b"cow"]
SIZE = (4, 5)
COUNT = 6
LIMITS = (0.1, 0.6, 1 / 3)


@pytest.fixture(scope="module")
def records(encode: Callable[..., bytes], smooth: Callable[..., np.ndarray]) -> list[bytes]:
    """Examples with images larger than the model's input, alternately JPEG and PNG."""
    found = []
    for number in range(COUNT):
        example = tf.train.Example()
        content = encode(smooth(number, 9, 12), ("JPEG", "PNG")[number % 2])
        example.features.feature["image"].bytes_list.value.append(content)
        found.append(example.SerializeToString())
    return found


class _Model(tf.Module):
    """A dense model with its own signatures, without code of Skewless. `skew` plants a fault."""

    def __init__(self, skew: str) -> None:
        super().__init__()
        self.skew = skew
        self.weights = tf.Variable(np.random.default_rng(1).normal(0, 2, (60, 3)).astype(np.float32))

    def _scores(self, pixels: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(pixels, [-1, 60]) / 255.0
        if self.skew == "batch statistics":
            flat = flat - tf.reduce_mean(flat, axis=0)
        if self.skew == "noise":
            flat = flat + tf.random.normal(tf.shape(flat), stddev=0.1)
        return tf.nn.softmax(flat @ self.weights)

    def _named(self, scores: tf.Tensor, names: list[bytes], *limits: float) -> dict[str, tf.Tensor]:
        rows = [tf.shape(scores)[0], 1]
        further = {"thresholds": tf.tile([limits], rows)} if limits else {}
        return {"classes": tf.tile([names], rows), "scores": scores, **further}

    def _pixels(self, contents: tf.Tensor, **how: Any) -> tf.Tensor:
        def one(content: tf.Tensor) -> tf.Tensor:
            pixels = tf.io.decode_image(content, 3, expand_animations=False)
            return tf.cast(tf.image.resize(pixels, SIZE, **how), tf.float32)

        return tf.map_fn(one, contents, fn_output_signature=tf.TensorSpec([*SIZE, 3]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        contents = tf.io.parse_example(inputs, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]
        return self._named(self._scores(self._pixels(contents)), CLASSES)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "bytes")])
    def default(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = self._pixels(contents, **({"method": "nearest"} if self.skew == "resize" else {}))
        if self.skew == "BGR":
            pixels = pixels[..., ::-1]
        names = [b"bee", b"ant", b"cow"] if self.skew == "names" else CLASSES
        return self._named(self._scores(pixels), names)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "bytes")])
    def labels(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._named(self._scores(self._pixels(contents)), CLASSES, *LIMITS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    def save(skew: str) -> str:
        folder = str(tmp_path_factory.mktemp("skew"))
        model = _Model(skew)
        default = model.labels if skew == "several labels" else model.default
        signatures = {"serving_default": default, "serving_examples": model.examples}
        tf.saved_model.save(model, folder, signatures=signatures)
        return folder

    return save


def test_a_faithful_model_agrees_by_every_route(saved: Callable[[str], str], records: list[bytes]) -> None:
    with start_live_server(saved("")) as server:
        found, diagnosis = compare_routes(saved(""), server, Sample(records))
    assert [one.route for one in found] == [
        "serving_examples, one by one",
        "serving_default, one by one",
        "serving_default, batches of 6",
        "gRPC, one by one",
        "gRPC, batches of 6",
        "REST, one by one",
        "REST, batches of 6",
    ]
    assert not [one for one in found if one.fault] and diagnosis is None
    assert all(one.largest <= one.tolerance < 1e-3 and one.names_agree for one in found)


def test_thresholds_are_compared_on_every_route_that_returns_them(
    saved: Callable[[str], str], records: list[bytes]
) -> None:
    folder = saved("several labels")
    model = routes.LoadedModel(folder)
    answers = model.examples(records, COUNT), model.examples(records, 1)
    wanted = np.tile(np.array(LIMITS, np.float32), (COUNT, 1))
    others = np.tile(np.array([0.1, 0.5, 1 / 3], np.float32), (COUNT, 1))
    differ = "thresholds differ for 1 of 3 labels: bee 0.6, in serving_examples, batches of 6 0.5"
    with start_live_server(folder) as server:
        for trained, fault in ((None, ""), (wanted, ""), (others, differ), ("none", "thresholds, but ")):
            reference = [replace(one, thresholds=None if isinstance(trained, str) else trained) for one in answers]
            sample = Sample(records, trained=() if trained is None else reference)
            found, _ = compare_routes(folder, server, sample)
            faults = {one.route.partition(",")[0]: one.fault for one in found}
            assert faults.pop("serving_examples") == ""
            assert len(faults) == 3
            assert all(one.startswith(fault) and bool(one) == bool(fault) for one in faults.values()), faults
    found_in_process = model.default(routes.feature_values(records, "image", tf.string), 4).thresholds
    assert found_in_process is not None and np.array_equal(found_in_process, wanted)


def test_thresholds_that_are_missing_are_a_fault(saved: Callable[[str], str], records: list[bytes]) -> None:
    model = routes.LoadedModel(saved(""))
    answers = model.examples(records, COUNT), model.examples(records, 1)
    trained = [replace(one, thresholds=np.tile(np.array(LIMITS, np.float32), (COUNT, 1))) for one in answers]
    with start_live_server(saved("")) as server:
        found, _ = compare_routes(saved(""), server, Sample(records, trained=trained))
    assert {one.route.partition(",")[0]: one.fault for one in found} == {
        "serving_examples": "",
        **dict.fromkeys(("serving_default", "gRPC", "REST"), "the thresholds are missing"),
    }


def in_process(folder: str, records: list[bytes]) -> dict[str, str]:
    """Return the faults of the signatures by route, without a server."""
    model = routes.LoadedModel(folder)
    values = routes.feature_values(records, "image", tf.string)
    reference, again = model.examples(records, COUNT), model.examples(records, 1)
    allowed = score_tolerance(reference, [again])
    others = [again, model.default(values, 1), model.default(values, COUNT)]
    return {one.route: compare_answers(reference, one, allowed).fault for one in others}


@pytest.mark.parametrize("skew", ["resize", "BGR", "names"])
def test_a_skewed_signature_is_found_at_every_batch_size(
    saved: Callable[[str], str], records: list[bytes], skew: str
) -> None:
    faults = in_process(saved(skew), records)
    assert not faults["serving_examples, one by one"]
    assert faults["serving_default, one by one"]
    assert faults["serving_default, batches of 6"]


@pytest.mark.parametrize("skew", ["batch statistics", "noise"])
def test_a_layer_in_training_mode_cannot_excuse_itself_with_its_noise(
    saved: Callable[[str], str], records: list[bytes], skew: str
) -> None:
    assert in_process(saved(skew), records)["serving_examples, one by one"]


@pytest.mark.parametrize("command", [(), (sys.executable, "-m", "serving.server")], ids=["thread", "process"])
def test_the_live_server_answers_from_the_very_folder(
    saved: Callable[[str], str], records: list[bytes], command: tuple[str, ...]
) -> None:
    folder = saved("names")
    values = routes.feature_values(records, "image", tf.string)
    with start_live_server(folder, command) as server:
        over = routes.ask_client(server()["REST"], "REST", "bytes", values, 4)
    assert over.route == "REST, batches of 4"
    assert over.classes is not None
    assert over.classes.tolist() == [[b"bee", b"ant", b"cow"]] * COUNT


def test_numbers_go_down_every_route(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def default(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.reshape(model(features), [-1])}

    def examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return default(tf.io.parse_example(inputs, {"features": tf.io.FixedLenFeature([2], tf.float32)})["features"])

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", default, [tf.TensorSpec([None, 2], tf.float32, "features")])
    archive.add_endpoint("serving_examples", examples, [tf.TensorSpec([None], tf.string, "inputs")])
    archive.write_out(str(tmp_path / "m"), verbose=False)
    records = []
    for row in ([1.0, 2.0], [-3.5, 1e-3], [0.1, 700.0]):
        example = tf.train.Example()
        example.features.feature["features"].float_list.value.extend(row)
        records.append(example.SerializeToString())
    with start_live_server(str(tmp_path / "m")) as server:
        found, diagnosis = compare_routes(str(tmp_path / "m"), server, Sample(records))
    assert [one.fault for one in found] == [""] * 7 and diagnosis is None


def test_what_is_no_model_or_no_example_is_told(
    saved: Callable[[str], str], records: list[bytes], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no SavedModel at"):
        routes.LoadedModel(str(tmp_path))
    with pytest.raises(UsageError, match="record 0 has no bytes feature 'photo'"):
        routes.feature_values(records, "photo", tf.string)
    with pytest.raises(UsageError, match="record 1 is not a tf.Example"):
        routes.feature_values([records[0], b"\xff"], "image", tf.string)
    module = tf.Module()
    only = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures={"serving_default": only.get_concrete_function()})
    with pytest.raises(UsageError, match="has no signature 'serving_examples'"):
        routes.LoadedModel(str(tmp_path / "other"))


def test_a_server_that_cannot_serve_is_told_in_its_words(tmp_path: Path) -> None:
    raises = pytest.raises(ServingError, match="the live server cannot serve the model: sorry")
    with raises, start_live_server(str(tmp_path), ("sh", "-c", "echo sorry; exit 1", "--")) as server:
        server()
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    raises = pytest.raises(ServingError, match=r"the live server cannot serve the model: .*saved_model.pb")
    with raises, start_live_server(str(tmp_path)) as server:
        server()
