"""Batching in the graph: equal answers for any callers and numbers of images, and a bad image fails only its call.

The model is exported for real and runs in the embedded server's session; callers are threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf

from data.errors import UsageError
from data.images import ops as image_ops
from data.spec import Classes, Image
from serving.export import saved_model
from serving.export.batching import Batching, batch_calls
from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle

SPEC = Image(6, 5)
CLASSES = ("ant", "bee")
BATCHING = Batching(max_batch_size=4, num_batch_threads=2, batch_timeout_micros=20_000, max_enqueued_batches=50)


class Transform(tf.Module):
    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**raw, "image": image_ops.decode_batch(raw["image"], SPEC)}


@pytest.fixture(scope="module")
def exported() -> saved_model.ModelExport:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input(SPEC.shape, dtype="uint8"), *layers])
    return saved_model.ModelExport(model, Transform(), SPEC, Classes(), CLASSES)


@pytest.fixture(scope="module")
def served(exported: saved_model.ModelExport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SavedModelBundle]:
    folder = tmp_path_factory.mktemp("batched") / "1"
    saved_model.write(replace(exported, batching=BATCHING), str(folder))
    servable = SavedModelBundle(str(folder))
    yield servable
    servable.close()


@pytest.fixture(scope="module")
def files(smooth: Callable[..., np.ndarray], encode: Callable[..., bytes]) -> list[bytes]:
    return [encode(smooth(seed, 9, 12), ("JPEG", "PNG", "GIF", "BMP")[seed % 4]) for seed in range(60)]


@pytest.fixture(scope="module")
def expected(exported: saved_model.ModelExport, files: list[bytes]) -> np.ndarray:
    return exported.model(image_ops.decode_batch(tf.constant(files), SPEC), training=False).numpy()


def ask(servable: SavedModelBundle, pictures: list[bytes], timeout: float | None = None) -> dict[str, np.ndarray]:
    signature = servable.signatures["serving_default"]
    feeds = {signature.inputs["image_bytes"].name: np.array(pictures, object)}
    names = sorted(signature.outputs)
    values = servable.run(feeds, [signature.outputs[name].name for name in names], timeout)
    return dict(zip(names, values, strict=True))


def ops(servable: SavedModelBundle) -> list[str]:
    graph = servable._graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [node.op for node in nodes]


def test_concurrent_callers_of_any_size_get_their_own_answers(
    served: SavedModelBundle, files: list[bytes], expected: np.ndarray
) -> None:
    """One image, a few, more than a batch holds: padded and split, and each row belongs to its image."""
    sizes = [1, 2, 3, 5, 1, 9, 4, 1, 30, 4] * 4
    starts = np.random.default_rng(0).integers(0, len(files) - 30, len(sizes)).tolist()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda start, size: ask(served, files[start : start + size]), starts, sizes))
    for answer, start, size in zip(found, starts, sizes, strict=True):
        np.testing.assert_allclose(answer["scores"], expected[start : start + size], rtol=1e-5)
        assert answer["classes"].tolist() == [[b"ant", b"bee"]] * size


def test_rows_of_several_callers_run_as_one(files: list[bytes]) -> None:
    """The function counts its runs: forty callers, up to eight at a time."""
    seen: list[int] = []

    def count(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        return rows

    function = batch_calls(
        lambda rows: tf.numpy_function(count, [rows], tf.float32), replace(BATCHING, max_batch_size=8)
    )
    run = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    run(tf.constant([0.0]))
    seen.clear()
    barrier = threading.Barrier(40)

    def call(number: int) -> float:
        barrier.wait()
        return float(run(tf.constant([float(number)]))[0])

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(call, range(40))) == list(range(40))
    assert len(seen) < 30 and max(seen) > 1 and set(seen) <= {1, 2, 4, 8}  # padded to the allowed sizes


@pytest.mark.parametrize("bad", ["no picture", "cut off", "too large"])
def test_a_bad_picture_fails_alone(
    served: SavedModelBundle, files: list[bytes], expected: np.ndarray, encode: Callable[..., bytes], bad: str
) -> None:
    """Four callers at once, fifty times: the three good ones always get the right answer, the bad one never."""
    whole = encode(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8), "JPEG")
    wide = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (2**15).to_bytes(4, "big") * 2 + bytes(20)
    content = {"no picture": b"no picture", "cut off": whole[: len(whole) // 2], "too large": wide}[bad]
    barrier = threading.Barrier(4)

    def call(number: int) -> int:
        answered = 0
        for turn in range(50):
            barrier.wait(timeout=60)
            start = (3 * turn + number) % 56
            pictures = files[start : start + 1 + number]
            if number == 3:
                with pytest.raises(Fault) as caught:
                    ask(served, [*pictures, content])
                assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
            else:
                np.testing.assert_allclose(
                    ask(served, pictures)["scores"], expected[start : start + 1 + number], rtol=1e-5
                )
                answered += 1
        return answered

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == [50, 50, 50, 0]


def test_calls_up_to_the_queues_length_and_no_longer(
    served: SavedModelBundle, files: list[bytes], expected: np.ndarray
) -> None:
    most = 4 * 50
    many = (files * 4)[: most + 1]
    np.testing.assert_allclose(ask(served, many[:most])["scores"], np.tile(expected, (4, 1))[:most], rtol=1e-5)
    with pytest.raises(Fault) as caught:
        ask(served, many)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_no_picture_is_no_answer(served: SavedModelBundle) -> None:
    found = ask(served, [])
    assert found["scores"].shape == (0, 2) and found["classes"].shape == (0, 2)


def test_the_other_signatures_and_the_default_have_none(
    exported: saved_model.ModelExport, served: SavedModelBundle, tmp_path: Path
) -> None:
    assert ops(served).count("BatchFunction") == 1
    saved_model.write(exported, str(tmp_path / "1"))
    assert "BatchFunction" not in ops(SavedModelBundle(str(tmp_path / "1")))
    assert Batching().max_batch_size == 0


def test_two_versions_in_one_process_keep_their_own_answers(tmp_path: Path) -> None:
    """Queues are shared by the name of the op, equal in both: in sessions (server) and eagerly (Evaluator)."""

    def save(factor: float) -> str:
        function = batch_calls(lambda rows: rows * factor, BATCHING)
        module = tf.Module()
        module.run = tf.function(function, input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
        signature = tf.function(lambda x: {"y": module.run(x)}, module.run.input_signature, autograph=False)
        tf.saved_model.save(module, str(tmp_path / str(factor)), signatures={"serving_default": signature})
        return str(tmp_path / str(factor))

    folders = [save(2.0), save(3.0)]
    loaded = [tf.saved_model.load(folder) for folder in folders]
    servables = [SavedModelBundle(folder) for folder in folders]
    for _ in range(3):
        assert [one.run(tf.constant([1.0])).numpy().tolist() for one in loaded] == [[2], [3]]
        for servable, expected in zip(servables, (2, 3), strict=True):
            signature = servable.signatures["serving_default"]
            feeds = {signature.inputs["x"].name: np.array([1.0], np.float32)}
            assert servable.run(feeds, [signature.outputs["y"].name])[0].tolist() == [expected]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"max_batch_size": -1}, "max_batch_size must be at least 0, got -1"),
        ({"num_batch_threads": 0}, "num_batch_threads must be at least 1, got 0"),
        ({"max_batch_size": 8, "allowed_batch_sizes": (4, 2, 8)}, r"must rise to max_batch_size, 8, got \(4, 2, 8\)"),
        ({"max_batch_size": 8, "allowed_batch_sizes": (2, 4)}, r"must rise to max_batch_size, 8, got \(2, 4\)"),
    ],
)
def test_values_out_of_range_are_rejected(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Batching(**wrong)


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_sizes(most: int, sizes: list[int]) -> None:
    assert Batching(max_batch_size=most).sizes == sizes
