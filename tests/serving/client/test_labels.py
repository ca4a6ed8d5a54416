"""Several labels for a picture: thresholds in the answer, and the labels that reach them, from a mock and a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from data.errors import ServingError
from serving.client import Client, MockRequest, MockTransport, Prediction, ServerFailure

NAMES = ("rose", "tulip", "daisy")
LIMITS = (0.3, 0.71, 1 / 3)  # none of them is a float32


def client_of(**outputs: Any) -> Client:
    """Return a client of a model with these outputs."""

    def answer(request: MockRequest) -> Any:
        return [list(zip(NAMES, outputs["scores"][0], strict=True))] if request.method == "classify" else outputs

    return Client("test:8500", "m", transport=MockTransport(answer))


def answer_of(scores: Sequence[float], limits: Sequence[float] = LIMITS) -> Prediction:
    (answer,) = client_of(classes=[NAMES], scores=[scores], thresholds=[limits]).predict_images([b"x"])
    return answer


def test_labels_are_those_that_reach_their_thresholds_best_first() -> None:
    answer = answer_of([0.9, 0.95, 0.1])
    assert answer.labels == ["tulip", "rose"]
    assert list(answer.scores) == list(answer.thresholds) == list(NAMES)
    assert list(answer.thresholds.values()) == [float(np.float32(limit)) for limit in LIMITS]
    assert (answer.label, answer.score) == ("tulip", float(np.float32(0.95)))


def test_a_score_equal_to_its_threshold_counts_and_one_below_does_not() -> None:
    assert answer_of(LIMITS).labels == ["tulip", "daisy", "rose"]
    below = [float(np.nextafter(np.float32(limit), np.float32(0))) for limit in LIMITS]
    assert answer_of(below).labels == []
    assert answer_of(below).label == "tulip"
    assert answer_of([float("nan")] * 3).labels == []


def test_equal_scores_are_in_label_order_and_each_picture_has_its_own_thresholds() -> None:
    outputs = {"classes": [NAMES] * 2, "scores": [[0.5] * 3] * 2, "thresholds": [[0.5, 0.5, 0.5], [0.6, 0.5, 0.4]]}
    first, second = client_of(**outputs).predict_images([b"x", b"y"])
    assert (first.labels, second.labels) == (["rose", "tulip", "daisy"], ["tulip", "daisy"])


def test_one_label_alone_is_there_or_not() -> None:
    for score, labels in ((0.7, ["rose"]), (0.2, [])):
        outputs = {"classes": [["rose"]], "scores": [[score]], "thresholds": [[0.5]]}
        assert client_of(**outputs).predict_images([b"x"])[0].labels == labels


def test_without_thresholds_the_best_class_is_the_only_label() -> None:
    client = client_of(classes=[NAMES], scores=[[0.25, 0.5, 0.125]])
    (answer,) = client.predict_images([b"x"])
    assert answer == Prediction(dict(zip(NAMES, (0.25, 0.5, 0.125), strict=True)))
    assert (answer.thresholds, answer.labels) == ({}, ["tulip"])
    (classified,) = client.classify([b"x"])
    assert (classified.thresholds, classified.labels) == ({}, ["tulip"])


@pytest.mark.parametrize(
    ("thresholds", "found"),
    [([0.5, 0.5, 0.5], r"float32 \[3\]"), ([[0.5, 0.5]], r"float32 \[1, 2\]"), ([["a"] * 3], r"string \[1, 3\]")],
)
def test_thresholds_that_do_not_fit_the_scores_are_an_error(thresholds: Any, found: str) -> None:
    client = client_of(classes=[NAMES], scores=[[0.5] * 3], thresholds=thresholds)
    with pytest.raises(ServerFailure, match=f"model 'm' at test:8500 returns thresholds {found}") as caught:
        client.predict_images([b"x"])
    assert caught.value.hint == "They must be numbers in the shape of the scores, [1, 3]."


class _Labelled(tf.Module):
    """Scores a picture by the number of its bytes."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def answer(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        size = tf.strings.length(image_bytes)[:, None]
        scores = tf.cast(size, tf.float32) * tf.constant([[0.1, 0.07, 1 / 30]])
        rows = [tf.shape(size)[0], 1]
        return {
            "classes": tf.tile(tf.constant([NAMES]), rows),
            "scores": scores,
            "thresholds": tf.tile(tf.constant([LIMITS]), rows),
        }


@pytest.fixture(scope="module")
def addresses(serve_rest: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a server with such a model: gRPC and REST."""
    base = tmp_path_factory.mktemp("labelled")
    model = _Labelled()
    tf.saved_model.save(model, str(base / "1"), signatures={"serving_default": model.answer})
    rest = serve_rest(base, "m")
    return [rest.server.address(), f"http://127.0.0.1:{rest.port}"]


def test_a_server_s_thresholds_over_grpc_and_rest(addresses: list[str], tmp_path: Path) -> None:
    pictures = [b"x" * size for size in range(1, 11)]
    factors, limits = np.array([0.1, 0.07, 1 / 30], np.float32), np.array(LIMITS, np.float32)
    wanted = [(size * factors >= limits).tolist() for size in range(1, 11)]
    for address in addresses:
        with Client(address, "m") as client:
            answers = client.predict_images(pictures)
        for answer, reached in zip(answers, wanted, strict=True):
            np.testing.assert_array_equal(np.array(list(answer.thresholds.values()), np.float32), limits)
            assert set(answer.labels) == {name for name, is_there in zip(NAMES, reached, strict=True) if is_there}
    assert [len(answer.labels) for answer in answers][::9] == [0, 2]


def test_a_broken_answer_names_no_picture() -> None:
    with pytest.raises(ServingError) as caught:
        client_of(classes=[NAMES], scores=[[0.5] * 3], thresholds=[[[0.5] * 3]]).predict_images([b"x"])
    assert "images[0]" not in str(caught.value)
