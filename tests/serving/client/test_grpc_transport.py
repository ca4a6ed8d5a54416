"""The client over gRPC, against a peer built with tensorflow-serving-api, and against a real server."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
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

from serving.client import (
    Client,
    InvalidPicture,
    InvalidRequest,
    ModelSpec,
    NotFound,
    Prediction,
    ServerFailure,
    Tls,
    TransportError,
    Unavailable,
    retry,
)
from serving.client.address import parse_address
from serving.client.grpc_transport import GrpcTransport
from serving.client.tensor import string_tensor
from serving.client.transport import MAX_MESSAGE_BYTES

CLASSES = ("ant", "bee", "cow")


class Peer(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Scores a picture by its first byte; keeps the requests.

    Attributes:
      requests: All Predict requests so far.
      refusal: The status and text to fail with, if any.
    """

    def __init__(self) -> None:
        self.requests: list[predict_pb2.PredictRequest] = []
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        self.requests.append(request)
        if self.refusal:
            context.abort(*self.refusal)
        pictures = tf.make_ndarray(request.inputs["image_bytes"])
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


def test_status_is_sorted(started: Callable[..., str]) -> None:
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


def test_a_request_above_the_client_s_own_limit_is_not_sent(started: Callable[..., str]) -> None:
    peer = Peer()
    with (
        Client(started(peer), "m", max_message_bytes=2000) as client,
        pytest.raises(InvalidRequest, match="larger than max") as caught,
    ):
        client.predict({"image_bytes": [b"x" * 3000]})
    assert "max_message_bytes" in caught.value.hint
    assert not peer.requests


def test_batches_are_halved_if_they_have_too_many_bytes_for_the_server(started: Callable[..., str]) -> None:
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


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code != grpc.StatusCode.OK])
def test_a_status_becomes_a_transport_error(started: Callable[..., str], code: str) -> None:
    peer = Peer()
    peer.refusal = (grpc.StatusCode[code], "words")
    transport = GrpcTransport(parse_address(started(peer), tls=False), Tls(), MAX_MESSAGE_BYTES)
    with pytest.raises(TransportError) as caught:
        transport.predict(ModelSpec("m"), "serving_default", {"image_bytes": string_tensor([b"x"])}, (), 30)
    assert (caught.value.code, caught.value.details) == (code, "words")
    transport.close()


def test_a_server_that_comes_late_is_found_by_a_retry(
    started: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"unix:{tmp_path}/late.sock"

    def sleep(seconds: float) -> None:
        if not (tmp_path / "late.sock").exists():
            started(Peer(), target)
        time.sleep(seconds)

    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    with Client(target, "m", retries=6) as client:
        assert client.predict_images([b"\x01"]) == [of(1)]


def test_http_s_port_is_no_grpc() -> None:
    peer = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=peer.serve_forever, daemon=True).start()
    with (
        Client(f"127.0.0.1:{peer.server_port}", "m", retries=0) as client,
        pytest.raises(Unavailable, match="does not speak gRPC") as caught,
    ):
        client.status()
    assert "http://" in caught.value.hint
    peer.shutdown()
    peer.server_close()


def test_a_closed_client_refuses_requests(started: Callable[..., str]) -> None:
    client = Client(started(Peer()), "m")
    client.close()
    with pytest.raises(ServerFailure, match="CANCELLED"):
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
    refused: list[tuple[str, Tls | bool]] = [(plain, True), (mutual, known)]
    for address, other in refused:
        with Client(address, "m", tls=other, retries=0) as client, pytest.raises(Unavailable):
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
        assert client.predict({"x": np.array([[1], [2]], np.float32)})["y"].shape == (2, 1)
        every = client.predict({"x": [1.0, 2.0]}, "typed")
        for dtype in ("float16", "float32", "float64", "int8", "int64", "uint32", "uint64", "bool"):
            assert every[dtype].dtype == dtype
            np.testing.assert_array_equal(np.asarray(every[dtype]), np.array([1, 2]).astype(dtype))
        assert every["string"].tolist() == [b"1", b"2"]
        with pytest.raises(InvalidRequest, match="Expects arg.* to be float but double is provided"):
            client.predict({"x": np.array([1], np.float64)})


def test_a_bad_picture_of_another_caller_is_not_ours(
    serve: Callable[..., Any],
    pictures_model: tuple[Path, keras.Model],
    picture_files: tuple[np.ndarray, list[bytes]],
    tmp_path: Path,
) -> None:
    """Two callers without this client and one with it share the batches of a real server; one sends a bad picture."""
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
