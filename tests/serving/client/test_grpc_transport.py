"""The client over gRPC: what it sends, what it does with each answer; peers built of tensorflow-serving-api."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import client as clients
from serving.client import Client, InvalidPicture, InvalidRequest, NotFound, Overloaded, Prediction, Tls, Unavailable

QUEUE = (
    "The batch scheduling queue to which this task was submitted is full; currently 10 batches enqueued and "
    "max_enqueued_batches is 10"
)
CLASSES = ("ant", "bee", "cow")


class Peer(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Scores a picture by its first byte; refuses as the reference says; remembers what it was asked."""

    def __init__(self, largest: int = 1000) -> None:
        self.largest = largest
        self.refusals: list[tuple[grpc.StatusCode, str]] = []
        self.requests: list[predict_pb2.PredictRequest] = []
        self.together: threading.Barrier | None = None
        self.lock = threading.Lock()

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        with self.lock:
            self.requests.append(request)
            refusal = self.refusals.pop(0) if self.refusals else None
        if self.together:
            self.together.wait(timeout=30)
        if refusal:
            context.abort(*refusal)
        pictures = tf.make_ndarray(request.inputs["image_bytes"])
        if len(pictures) > self.largest:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Task size {len(pictures)} is larger than maximum input batch size {self.largest}",
            )
        if b"bad" in pictures:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Unknown image file format.\n\t [[node]]")
        response = predict_pb2.PredictResponse()
        scores = [[one[0] / 256, 0.5, 0.25] for one in pictures]
        response.outputs["scores"].CopyFrom(tf.make_tensor_proto(scores, tf.float32))
        response.outputs["classes"].CopyFrom(tf.make_tensor_proto([CLASSES] * len(pictures)))
        return response

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in ((2, 20), (3, 50), (1, 30)):
            if request.model_spec.HasField("version") and request.model_spec.version.value != version:
                continue
            one = response.model_version_status.add(version=version, state=state)
            if state == 50:
                one.status.error_code, one.status.error_message = 5, "no file\nat all"
        return response


@pytest.fixture
def started() -> Iterator[Callable[..., str]]:
    servers = []

    def start(peer: Peer, target: str = "127.0.0.1:0", credentials: Any = None) -> str:
        server = grpc.server(ThreadPoolExecutor(8))
        servers.append(server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(peer, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(peer, server)
        port = server.add_secure_port(target, credentials) if credentials else server.add_insecure_port(target)
        server.start()
        return target if target.startswith("unix:") else f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(0)


def of(first: int) -> Prediction:
    return Prediction({"ant": first / 256, "bee": 0.5, "cow": 0.25})


def sizes(peer: Peer) -> list[int]:
    return [request.inputs["image_bytes"].tensor_shape.dim[0].size for request in peer.requests]


def test_request_is_what_tensorflow_would_send(started: Callable[..., str]) -> None:
    peer = Peer()
    with Client(started(peer), "m") as client:
        assert client.predict_images([b"\x08a", b"\x09b"]) == [of(8), of(9)]
    wanted = predict_pb2.PredictRequest()
    wanted.model_spec.name, wanted.model_spec.signature_name = "m", "serving_default"
    wanted.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"\x08a", b"\x09b"]))
    assert peer.requests == [wanted]


def test_version_or_label(started: Callable[..., str]) -> None:
    peer = Peer()
    address = started(peer)
    for which, field in (({"version": 0}, "version"), ({"version": 7}, "version"), ({"label": "a"}, "version_label")):
        with Client(address, "m", **which) as client:
            client.predict_images([b"x"])
        spec = peer.requests[-1].model_spec
        assert spec.WhichOneof("version_choice") == field
        assert (spec.version.value, spec.version_label) == (which.get("version", 0), which.get("label", ""))


def test_status_is_sorted_and_told(started: Callable[..., str]) -> None:
    address = started(Peer())
    with Client(address, "m") as client:
        assert [(one.version, one.state, one.error) for one in client.status()] == [
            (3, "END", "no file\nat all"),
            (2, "LOADING", ""),
            (1, "AVAILABLE", ""),
        ]
        client.wait_until_available(5)
    with Client(address, "m", version=3) as client, pytest.raises(Unavailable, match=r"version 3 is END \(no file\)"):
        client.wait_until_available(0.1)


def test_batches_within_the_client_s_own_limit(started: Callable[..., str]) -> None:
    peer = Peer()
    with Client(started(peer), "m", max_batch=3) as client:
        assert client.predict_images([bytes([n]) for n in range(8)]) == [of(n) for n in range(8)]
    assert sorted(sizes(peer)) == [2, 3, 3]


def test_batches_fall_to_the_server_s_limit_once_and_for_all(started: Callable[..., str]) -> None:
    peer = Peer(largest=5)
    pictures = [bytes([n]) for n in range(12)]
    with Client(started(peer), "m") as client:
        assert client.predict_images(pictures) == [of(n) for n in range(12)]
        assert sizes(peer) == [12, 5, 5, 2]
        client.predict_images(pictures)
        assert sorted(sizes(peer)[4:]) == [2, 5, 5]


def test_batches_are_halved_where_the_server_does_not_tell_its_limit(started: Callable[..., str]) -> None:
    peer = Peer()
    text = "Task size 8 is larger than maximum input batch size"
    peer.refusals = [(grpc.StatusCode.INVALID_ARGUMENT, text)] * 2
    with Client(started(peer), "m") as client:
        assert len(client.predict_images([b"x"] * 8)) == 8
    assert sizes(peer) == [8, 4, 2, 2, 2, 2]


def test_batches_are_bounded_in_bytes(started: Callable[..., str]) -> None:
    peer = Peer()
    with Client(started(peer), "m", max_message_bytes=2000) as client:
        client.predict_images([b"x" * 400] * 5)
        assert sorted(sizes(peer)) == [1, 2, 2]
        peer.requests.clear()
        with pytest.raises(InvalidPicture, match=r"a picture of 3000 bytes; a request holds 2000 \(images\[0\]\)"):
            client.predict_images([b"x" * 3000])
        assert not peer.requests
        with pytest.raises(InvalidRequest, match="larger than max") as caught:
            client.predict({"image_bytes": [b"x" * 3000]})
    assert "max_message_bytes" in caught.value.hint


def test_batches_are_halved_where_they_are_too_many_bytes_for_the_server(started: Callable[..., str]) -> None:
    peer = Peer()  # takes 4 MiB, as gRPC's servers do by default
    pictures = [bytes([n]) + b"x" * 2**20 for n in range(7)]
    with Client(started(peer), "m") as client:
        assert client.predict_images(pictures) == [of(n) for n in range(7)]
        assert sizes(peer) == [3, 3, 1]
        assert len(client.predict_images([b"x"] * 50)) == 50
        assert sizes(peer)[3:] == [50]
        one, none, two = client.predict_each([b"\1", b"x" * 2**23, b"\2"])
        assert (one, two) == (of(1), of(2))
        assert isinstance(none, InvalidPicture) and str(none).endswith("(images[1])") and "larger than max" in str(none)


def test_a_bad_picture_is_found_and_the_others_are_answered(started: Callable[..., str]) -> None:
    peer = Peer()
    pictures = [bytes([n]) for n in range(64)]
    pictures[13] = pictures[40] = b"bad"
    with Client(started(peer), "m") as client:
        answers = list(client.predict_each([*pictures, "/no/such.png"]))
        assert [number for number, one in enumerate(answers) if isinstance(one, InvalidPicture)] == [13, 40, 64]
        assert [one for one in answers if isinstance(one, Prediction)] == [of(p[0]) for p in pictures if p != b"bad"]
        assert str(answers[13]) == (
            f"the server at {client.address} refused the request: Unknown image file format. (images[13])"
        )
        assert isinstance(answers[64], clients.UnreadablePicture)
        assert len(peer.requests) < 30
        with pytest.raises(InvalidPicture, match=r"\(images\[13\]\)"):
            client.predict_images(pictures)


def test_a_fault_of_the_request_blames_no_picture(started: Callable[..., str]) -> None:
    peer = Peer()
    text = "input size does not match signature: 1!=2 len({image_bytes}) != len({a,b}). Sent extra: {image_bytes}."
    peer.refusals = [(grpc.StatusCode.INVALID_ARGUMENT, text)]
    with Client(started(peer), "m") as client, pytest.raises(InvalidRequest, match="does not match") as caught:
        client.predict_images([b"x"] * 64)
    assert not isinstance(caught.value, InvalidPicture)
    assert len(peer.requests) == 1


def test_pictures_are_taken_as_they_are_needed(started: Callable[..., str]) -> None:
    peer, taken = Peer(), 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x"

    with Client(started(peer), "m", max_batch=10) as client:
        answers = client.predict_each(endless(), in_flight=3)
        for _ in range(25):
            next(answers)
        assert 25 < taken <= 25 + 10 * 4
        answers.close()


def test_requests_are_in_flight_together(started: Callable[..., str]) -> None:
    peer = Peer()
    peer.together = threading.Barrier(4)  # fails, and with it the request, where fewer come
    with Client(started(peer), "m", max_batch=1) as client:
        assert list(client.predict_each([b"x"] * 12, in_flight=4)) == [of(ord("x"))] * 12


def test_unavailable_is_tried_again_and_nothing_else_is(started: Callable[..., str]) -> None:
    peer = Peer()
    with Client(started(peer), "m", retries=2) as client:
        peer.refusals = [(grpc.StatusCode.UNAVAILABLE, QUEUE)] * 2
        assert client.predict_images([b"\x05"]) == [of(5)]
        assert len(peer.requests) == 3
        peer.refusals = [(grpc.StatusCode.UNAVAILABLE, QUEUE)] * 3
        with pytest.raises(Overloaded, match="has too much to do: The batch scheduling queue"):
            client.predict_images([b"x"])
        assert len(peer.requests) == 6 and not peer.refusals
        for code in grpc.StatusCode:
            if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
                peer.requests.clear()
                is_of_rows = code == grpc.StatusCode.INVALID_ARGUMENT  # is asked about once more, alone
                peer.refusals = [(code, "words")] * (1 + is_of_rows)
                with pytest.raises(clients.errors.ServingError):
                    client.predict_images([b"x"])
                assert len(peer.requests) == 1 + is_of_rows and not peer.refusals, code


@pytest.mark.parametrize(
    ("code", "words", "kind", "text"),
    [
        ("UNAVAILABLE", "Model labels does not init yet.x", Unavailable, "cannot answer now: Model labels"),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", Overloaded, "failed with RESOURCE_EXHAUSTED"),
        ("INVALID_ARGUMENT", "Unrecognized servable version label: x", NotFound, "version label: x"),
        ("NOT_FOUND", "Servable not found for request: Specific(m, 9)", NotFound, r"Specific\(m, 9\)"),
        ("FAILED_PRECONDITION", 'Serving signature key "x" not found.', InvalidRequest, "refused the request"),
        ("INTERNAL", "oh", clients.ServerFailure, "failed with INTERNAL: oh"),
    ],
)
def test_answers_by_kind(started: Callable[..., str], code: str, words: str, kind: type, text: str) -> None:
    peer = Peer()
    peer.refusals = [(grpc.StatusCode[code], words)]
    with Client(started(peer), "m", retries=0) as client, pytest.raises(kind, match=text) as caught:
        client.predict_images([b"x"])
    assert type(caught.value) is kind and caught.value.hint


def test_retries_stay_within_the_timeout(started: Callable[..., str]) -> None:
    peer = Peer()
    peer.refusals = [(grpc.StatusCode.UNAVAILABLE, QUEUE)] * 99
    start = time.monotonic()
    with Client(started(peer), "m", 0.5, retries=99) as client, pytest.raises(Overloaded):
        client.predict_images([b"x"])
    assert 2 <= len(peer.requests) <= 6
    assert time.monotonic() - start < 10


def test_a_server_that_comes_late_is_found_by_a_retry(started: Callable[..., str], tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/late.sock"
    timer = threading.Timer(0.3, started, (Peer(), target))
    timer.start()
    with Client(target, "m", retries=6) as client:
        assert client.predict_images([b"\x01"]) == [of(1)]
    timer.join()


def test_http_s_port_is_no_grpc() -> None:
    import http.server

    peer = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=peer.serve_forever, daemon=True).start()
    with (
        Client(f"127.0.0.1:{peer.server_port}", "m", retries=0) as client,
        pytest.raises(Unavailable, match="is not gRPC") as caught,
    ):
        client.status()
    assert "http://" in caught.value.hint
    peer.shutdown()
    peer.server_close()


def test_a_closed_client_says_so(started: Callable[..., str]) -> None:
    client = Client(started(Peer()), "m")
    client.close()
    with pytest.raises(clients.ServerFailure, match="CANCELLED"):
        client.predict_images([b"x"])


def test_tls(started: Callable[..., str], certificates: Path) -> None:
    def file(name: str) -> str:
        return str(certificates / name)

    def content(name: str) -> bytes:
        return (certificates / name).read_bytes()

    pair = (content("server.key"), content("server.pem"))
    plain = started(Peer(), credentials=grpc.ssl_server_credentials([pair]))
    mutual = started(Peer(), credentials=grpc.ssl_server_credentials([pair], content("ca.pem"), True))
    known = Tls(ca=file("ca.pem"))
    shown = Tls(ca=file("ca.pem"), certificate=file("client.pem"), key=file("client.key"))
    for address, tls in ((plain, known), (f"grpcs://{plain}", known), (mutual, shown)):
        with Client(address, "m", tls=tls) as client:
            assert client.predict_images([b"\x03"]) == [of(3)]
    for address, tls in ((plain, True), (mutual, known)):
        with Client(address, "m", tls=tls, retries=0) as client, pytest.raises(Unavailable):
            client.predict_images([b"x"])
    with Client(plain, "m", tls=True, retries=0) as client, pytest.raises(Unavailable, match="no TLS connection to"):
        client.predict_images([b"x"])


def test_pixels_paths_and_classify_on_a_real_server(
    serve: Callable[..., Any],
    pictures_model: tuple[Path, keras.Model],
    picture_files: tuple[np.ndarray, list[bytes]],
    tmp_path: Path,
) -> None:
    pixels, files = picture_files
    (tmp_path / "a.png").write_bytes(files[0])
    wanted = pictures_model[1].predict(pixels, verbose=0)
    with Client(serve(pictures_model[0], "pictures").address(), "pictures", version=1) as client:
        for images in (pixels, files, [str(tmp_path / "a.png"), *pixels[1:]]):
            for ask in (client.predict_images, client.classify):
                scores = [list(one.scores.values()) for one in ask(images)]
                np.testing.assert_allclose(scores, wanted, rtol=1e-6)
        outputs = client.predict({"image_bytes": files}, outputs=("scores",))
        assert list(outputs) == ["scores"]
        np.testing.assert_allclose(np.asarray(outputs["scores"]), wanted, rtol=1e-6)
    with (
        Client(client.address, "pictures", version=2) as client,
        pytest.raises(NotFound, match=r"Specific\(pictures, 2"),
    ):
        client.predict_images(files)


def test_numbers_on_a_real_server(serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to(numbers(0.5))
    with Client(serve(tmp_path, "m").address(), "m") as client:
        assert client.predict({"x": [1.0, 2.0]})["y"].tolist() == [2.5, 4.5]
        assert client.predict({"x": np.float32([[1], [2]])})["y"].shape == (2, 1)
        every = client.predict({"x": [1.0, 2.0]}, "typed")
        for dtype in ("float16", "float32", "float64", "int8", "int64", "uint32", "uint64", "bool"):
            assert every[dtype].dtype == dtype
            np.testing.assert_array_equal(np.asarray(every[dtype]), np.array([1, 2]).astype(dtype))
        assert every["string"].tolist() == [b"1", b"2"]
        with pytest.raises(InvalidRequest, match="Expects arg.* to be float but double is provided"):
            client.predict({"x": np.float64([1])})


def test_a_refusal_is_believed_when_it_came_again(started: Callable[..., str]) -> None:
    """As of a server that batches, where the bad picture of another caller fails all of a batch."""
    others = (grpc.StatusCode.INVALID_ARGUMENT, "Unknown image file format.")
    peer = Peer()
    with Client(started(peer), "m") as client:
        peer.refusals = [others] * 2
        with pytest.raises(InvalidPicture, match=r"\(images\[0\]\)"):
            client.predict_images(b"x")
        assert sizes(peer) == [1, 1]
        for refusals in (1, 4):  # the first tells that there are others; from then on it asks more often
            peer.requests.clear()
            peer.refusals = [others] * refusals
            assert client.predict_images(b"x") == [of(ord("x"))]
            assert sizes(peer) == [1] * (refusals + 1)
        peer.requests.clear()
        peer.refusals = [others]
        assert client.predict_images([b"x", b"y"]) == [of(ord("x")), of(ord("y"))]
        assert sizes(peer) == [2, 1, 1]
        peer.refusals = [others]
        assert client.predict({"image_bytes": [b"x"]})["scores"].shape == (1, 3)


def test_a_bad_picture_of_another_caller_is_not_ours(
    serve: Callable[..., Any],
    pictures_model: tuple[Path, keras.Model],
    picture_files: tuple[np.ndarray, list[bytes]],
    tmp_path: Path,
) -> None:
    """Two callers without and one with this client, and a bad picture beside them in the batches of a real server."""
    (tmp_path / "batching.txt").write_text("batch_timeout_micros { value: 50000 }")
    server = serve(pictures_model[0], "m", "--enable_batching", f"--batching_parameters_file={tmp_path}/batching.txt")
    stub, barrier = server.stubs()[0], threading.Barrier(3)

    def bare(content: bytes) -> int:
        refused = 0
        for _ in range(10):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([content]))
            barrier.wait(timeout=60)
            try:
                stub.Predict(request, timeout=30)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                refused += 1
        return refused

    def ours(content: bytes) -> int:
        with Client(server.address(), "m") as client:
            client.wait_until_available(30)
            for _ in range(10):
                barrier.wait(timeout=60)
                assert len(client.predict_images(content)) == 1
        return 0

    good = picture_files[1][0]
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(call, one) for call, one in ((bare, good), (bare, b"no picture"), (ours, good))]
        beside, bad, none = (one.result() for one in found)
    assert bad == 10 and beside > 0 and none == 0
