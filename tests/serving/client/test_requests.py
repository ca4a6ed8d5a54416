"""What the client does with requests and answers, whatever carries them: batches, retries, errors. No server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from data.errors import ServingError
from serving import client as clients
from serving.client import (
    Client,
    DeadlineExceeded,
    InvalidPicture,
    InvalidRequest,
    MockRequest,
    MockTransport,
    ModelSpec,
    NotFound,
    Overloaded,
    Prediction,
    ServerFailure,
    Tensor,
    TransportError,
    Unavailable,
    VersionStatus,
    retry,
)

QUEUE = (
    "The batch scheduling queue to which this task was submitted is full; currently 10 batches enqueued and "
    "max_enqueued_batches is 10"
)
REJECTED = TransportError("INVALID_ARGUMENT", "Unknown image file format.\n\t [[node]]")
CLASSES = ("ant", "bee", "cow")


class Model:
    """Scores a picture by its first byte; fails as TensorFlow Serving does.

    Attributes:
      largest: More rows than this are refused.
      failures: What the next requests fail with.
      together: Waited for by each request, if there is one.
    """

    def __init__(self, largest: int = 1000) -> None:
        self.largest = largest
        self.failures: list[TransportError] = []
        self.together: threading.Barrier | None = None
        self.transport = MockTransport(self.answer)

    def client(self, **options: Any) -> Client:
        return Client("test:8500", "m", transport=self.transport, **options)

    @property
    def sizes(self) -> list[int]:
        """Rows in each request."""
        return [len(request.inputs["image_bytes"].values()) for request in self.transport.requests]

    def answer(self, request: MockRequest) -> dict[str, Any]:
        failure = self.failures.pop(0) if self.failures else None
        if self.together:
            self.together.wait(timeout=30)
        if failure:
            raise failure
        pictures = request.inputs["image_bytes"].values()
        if len(pictures) > self.largest:
            text = f"Task size {len(pictures)} is larger than maximum input batch size {self.largest}"
            raise TransportError("INVALID_ARGUMENT", text)
        if b"bad" in pictures:
            raise REJECTED
        return {
            "scores": [[one[0] / 256, 0.5, 0.25] for one in pictures],
            "classes": [CLASSES] * len(pictures),
        }


@pytest.fixture
def model() -> Model:
    return Model()


def of(first: int) -> Prediction:
    return Prediction({"ant": first / 256, "bee": 0.5, "cow": 0.25})


def test_batches_within_the_client_s_own_limit(model: Model) -> None:
    client = model.client(max_batch=3)
    assert client.predict_images([bytes([n]) for n in range(8)]) == [of(n) for n in range(8)]
    assert sorted(model.sizes) == [2, 3, 3]


def test_batches_fall_to_the_server_s_limit_once_and_for_all() -> None:
    model = Model(largest=5)
    client, pictures = model.client(), [bytes([n]) for n in range(12)]
    assert client.predict_images(pictures) == [of(n) for n in range(12)]
    assert model.sizes == [12, 5, 5, 2]
    client.predict_images(pictures)
    assert sorted(model.sizes[4:]) == [2, 5, 5]


def test_batches_are_halved_if_the_server_does_not_name_its_limit(model: Model) -> None:
    text = "Task size 8 is larger than maximum input batch size"
    model.failures = [TransportError("INVALID_ARGUMENT", text)] * 2
    assert len(model.client().predict_images([b"x"] * 8)) == 8
    assert model.sizes == [8, 4, 2, 2, 2, 2]


def test_batches_are_bounded_in_bytes(model: Model) -> None:
    client = model.client(max_message_bytes=2000)
    client.predict_images([b"x" * 400] * 5)
    assert sorted(model.sizes) == [1, 2, 2]
    text = r"a picture of 3000 bytes, more than fit into a request \(2000\) \(images\[0\]\)"
    with pytest.raises(InvalidPicture, match=text):
        client.predict_images([b"x" * 3000])
    assert len(model.sizes) == 3


def test_a_bad_picture_is_found_and_the_others_are_answered(model: Model) -> None:
    pictures = [bytes([n]) for n in range(64)]
    pictures[13] = pictures[40] = b"bad"
    client = model.client()
    answers = list(client.predict_each([*pictures, "/no/such.png"]))
    assert [number for number, one in enumerate(answers) if isinstance(one, InvalidPicture)] == [13, 40, 64]
    assert [one for one in answers if isinstance(one, Prediction)] == [of(p[0]) for p in pictures if p != b"bad"]
    assert str(answers[13]) == "the server at test:8500 refused the request: Unknown image file format. (images[13])"
    assert isinstance(answers[64], clients.UnreadablePicture)
    assert len(model.sizes) < 30
    with pytest.raises(InvalidPicture, match=r"\(images\[13\]\)"):
        client.predict_images(pictures)


def test_a_fault_of_the_request_blames_no_picture(model: Model) -> None:
    text = "input size does not match signature: 1!=2 len({image_bytes}) != len({a,b}). Sent extra: {image_bytes}."
    model.failures = [TransportError("INVALID_ARGUMENT", text)]
    with pytest.raises(InvalidRequest, match="does not match") as caught:
        model.client().predict_images([b"x"] * 64)
    assert not isinstance(caught.value, InvalidPicture)
    assert len(model.sizes) == 1


def test_pictures_are_read_only_as_they_are_needed(model: Model) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    answers = model.client(max_batch=10).predict_each(endless(), in_flight=3)
    for _ in range(25):
        next(answers)
    assert 25 < taken <= 25 + 10 * 4
    answers.close()  # type: ignore[attr-defined]


def test_requests_are_in_flight_together(model: Model) -> None:
    model.together = threading.Barrier(4)  # fails, and with it the request, if fewer come
    answers = model.client(max_batch=1).predict_each([b"x"] * 12, in_flight=4)
    assert list(answers) == [of(ord("x"))] * 12


def test_unavailable_is_tried_again_and_nothing_else_is(model: Model) -> None:
    client = model.client(retries=2)
    model.failures = [TransportError("UNAVAILABLE", QUEUE)] * 2
    assert client.predict_images([b"\x05"]) == [of(5)]
    assert len(model.sizes) == 3
    model.failures = [TransportError("UNAVAILABLE", QUEUE)] * 3
    with pytest.raises(Overloaded, match="is overloaded: The batch scheduling queue"):
        client.predict_images([b"x"])
    assert len(model.sizes) == 6 and not model.failures
    for code in grpc.StatusCode:
        if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
            model.transport.requests.clear()
            is_of_rows = code == grpc.StatusCode.INVALID_ARGUMENT  # is sent once more, alone
            model.failures = [TransportError(code.name, "words")] * (1 + is_of_rows)
            with pytest.raises(ServingError):
                client.predict_images([b"x"])
            assert len(model.sizes) == 1 + is_of_rows and not model.failures, code


@pytest.mark.parametrize(
    ("code", "details", "kind", "text"),
    [
        ("UNAVAILABLE", "Model labels does not init yet.x", Unavailable, "cannot answer now: Model labels"),
        ("UNAVAILABLE", "", Unavailable, "no server answers at test:8500$"),
        ("DEADLINE_EXCEEDED", "", DeadlineExceeded, "did not answer in 30 s"),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", Overloaded, "failed with RESOURCE_EXHAUSTED"),
        ("RESOURCE_EXHAUSTED", "no memory\nat all", Overloaded, "failed with RESOURCE_EXHAUSTED: no memory$"),
        ("INVALID_ARGUMENT", "Unrecognized servable version label: x", NotFound, "version label: x"),
        ("NOT_FOUND", "Servable not found for request: Specific(m, 9)", NotFound, r"Specific\(m, 9\)"),
        ("FAILED_PRECONDITION", 'Serving signature key "x" not found.', InvalidRequest, "refused the request"),
        ("INTERNAL", "oh", ServerFailure, "failed with INTERNAL: oh"),
    ],
)
def test_answers_by_kind(model: Model, code: str, details: str, kind: type[ServingError], text: str) -> None:
    model.failures = [TransportError(code, details)]
    with pytest.raises(kind, match=text) as caught:
        model.client(retries=0).predict_images([b"x"])
    assert type(caught.value) is kind and caught.value.hint


def test_retries_stay_within_the_timeout(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test: four pauses from 0.05 s on, each twice as long, do not fit into half a second."""
    now, pauses = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    model.failures = [TransportError("UNAVAILABLE", QUEUE)] * 99
    with pytest.raises(Overloaded):
        model.client(timeout=0.5, retries=99).predict_images([b"x"])
    assert len(model.sizes) == len(pauses) + 1 and 2 <= len(pauses) <= 3
    assert all(0.05 * 2**n <= pause <= 0.1 * 2**n for n, pause in enumerate(pauses))
    left = [request.timeout for request in model.transport.requests]
    assert left == pytest.approx([0.5 - sum(pauses[:n]) for n in range(len(left))])


def test_a_refusal_counts_only_if_it_comes_again(model: Model) -> None:
    """A server that batches refuses all of a batch because of another caller's bad picture."""
    client = model.client()
    model.failures = [REJECTED] * 2
    with pytest.raises(InvalidPicture, match=r"\(images\[0\]\)"):
        client.predict_images(b"x")
    assert model.sizes == [1, 1]
    for refusals in (1, 4):  # the first shows that there are others; from then on rows are sent more often
        model.transport.requests.clear()
        model.failures = [REJECTED] * refusals
        assert client.predict_images(b"x") == [of(ord("x"))]
        assert model.sizes == [1] * (refusals + 1)
    model.transport.requests.clear()
    model.failures = [REJECTED]
    assert client.predict_images([b"x", b"y"]) == [of(ord("x")), of(ord("y"))]
    assert model.sizes == [2, 1, 1]
    model.failures = [REJECTED]
    assert client.predict({"image_bytes": [b"x"]})["scores"].shape == (1, 3)


def answering(answer: Callable[[MockRequest], Any], **options: Any) -> Client:
    return Client("test:8500", "m", transport=MockTransport(answer), **options)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"outputs": [1.0]}, "model 'm' at test:8500 returns outputs, not classes and scores"),
        (
            {"classes": [["a", "b"]], "scores": [[0.5]]},
            r"returns classes string \[1, 2\] and scores float32 \[1, 1\]",
        ),
        ({"classes": [["a", "b"]] * 2, "scores": [[0.5, 0.5]] * 2}, "returned 2 answers for 1 rows"),
    ],
)
def test_answers_that_are_not_class_scores(outputs: dict[str, Any], text: str) -> None:
    with pytest.raises(ServerFailure, match=text) as caught:
        answering(lambda _: outputs).predict_images([b"x"])
    assert caught.value.hint


def test_mock_transport_gives_the_request_to_the_function() -> None:
    seen: list[MockRequest] = []

    def answer(request: MockRequest) -> Any:
        seen.append(request)
        if request.method == "predict":
            return {"y": [1.5, 2.5], "z": Tensor("int64", (0,), b"")}
        return [[("ant", 0.25), ("bee", 0.75)]] if request.method == "classify" else [3]

    transport = MockTransport(answer)
    with Client("anything", "m", 5, label="canary", transport=transport) as client:
        outputs = client.predict({"x": [1.0, 2.0]}, "sig", outputs=["y"])
        assert {name: tensor.tolist() for name, tensor in outputs.items()} == {"y": [1.5, 2.5]}
        assert client.classify([{"a": 1}]) == [Prediction({"ant": 0.25, "bee": 0.75})]
        assert client.regress([[1.0, 2.0]]) == [3.0]
    assert seen == transport.requests
    assert [request.method for request in seen] == ["predict", "classify", "regress"]
    assert all(request.model == ModelSpec("m", label="canary") and 0 < request.timeout <= 5 for request in seen)
    first, second, third = seen
    assert (first.signature, first.outputs, first.inputs["x"].tolist()) == ("sig", ("y",), [1.0, 2.0])
    assert (second.signature, second.examples) == ("serving_examples", [{"a": [1]}])
    assert third.examples == [{"features": [1.0, 2.0]}]
    with pytest.raises(ServerFailure, match="CANCELLED: the client is closed"):
        client.predict({"x": [1.0]})


def test_mock_transport_s_versions() -> None:
    with answering(lambda _: {}) as client:
        client.wait_until_available(1)
    versions = [VersionStatus(1, "AVAILABLE"), VersionStatus(3, "END", "no file\nat all"), VersionStatus(2, "LOADING")]
    transport = MockTransport(lambda _: {}, versions)
    assert [one.version for one in Client("a", "m", transport=transport).status()] == [3, 2, 1]
    client = Client("a", "m", version=3, transport=transport)
    with pytest.raises(Unavailable, match=r"version 3 is END \(no file\)"):
        client.wait_until_available(0.1)
    transport.versions[1] = VersionStatus(3, "AVAILABLE")
    client.wait_until_available(1)


def test_errors_of_the_function_itself_pass_unchanged() -> None:
    def fail(_: MockRequest) -> Any:
        raise AssertionError("a test's own")

    client = answering(fail)
    for call in (
        lambda: client.predict({"x": [1.0]}),
        lambda: client.predict_images([b"x", b"y"]),
        lambda: client.predict_numbers([1.0]),
        lambda: client.classify([b"x"]),
        lambda: client.regress([[1.0]]),
    ):
        with pytest.raises(AssertionError, match="a test's own"):
            call()
