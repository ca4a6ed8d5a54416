"""The client over REST, against a peer with the formats of TensorFlow Serving, and against a real server."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import keras
import numpy as np
import pytest

from data.errors import ServingError
from serving.client import (
    Client,
    DeadlineExceeded,
    InvalidPicture,
    InvalidRequest,
    NotFound,
    Overloaded,
    Prediction,
    ServerFailure,
    Tls,
    Unavailable,
    VersionStatus,
    retry,
)

CLASSES = ["ant", "bee", "cow"]
SCORELESS = b'{"outputs": {"classes": ["ant", "bee"], "scores": [0.5, 0.5]}}'
RAGGED = b'{"outputs": {"classes": [["ant", "bee"], ["ant"]], "scores": [[0.5, 0.5], [1.0]]}}'
METADATA = {
    "model_spec": {"name": "m", "signature_name": "", "version": "3"},
    "metadata": {"signature_def": {"signature_def": {"serving_default": {"outputs": {"y": {"dtype": "DT_FLOAT"}}}}}},
}
STATUS = {
    "model_version_status": [
        {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
        {"version": "3", "state": "END", "status": {"error_code": "NOT_FOUND", "error_message": "no file"}},
    ]
}


class Peer(http.server.ThreadingHTTPServer):
    """Answers as TensorFlow Serving does.

    Attributes:
      asked: Method, path and body of each request so far.
      answers: Status and body of the next answers, instead of the right ones.
      connections: Number of connections so far.
      header: A header to add to each answer.
      drop_after_answer: Whether to close each connection after one answer, without notice.
      together: Waited for before each answer, if there is one.
      arrived: Set when a request has arrived.
      may_answer: Waited for before each answer.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.connections = 0
        self.header = ("X-Test", "none")
        self.drop_after_answer = False
        self.together: threading.Barrier | None = None
        self.arrived, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Peer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802
        self._answer(None)

    def do_POST(self) -> None:  # noqa: N802
        assert self.headers["Content-Type"] == "application/json"
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.command, self.path, body))
        self.server.arrived.set()
        self.server.may_answer.wait(timeout=30)
        if self.server.together:
            self.server.together.wait(timeout=30)
        status, content = self.server.answers.pop(0) if self.server.answers else _right(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(*self.server.header)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if self.server.drop_after_answer:  # unannounced, as a server with too many idle connections does
            self.close_connection = True


def _right(path: str, body: Any) -> tuple[int, bytes]:
    if body is None:
        return 200, json.dumps(METADATA if path.endswith("/metadata") else STATUS, indent=1).encode()
    if path.endswith(":classify"):
        return 200, json.dumps({"results": [[["ant", 0.25], ["bee", 0.75]] for _ in body["examples"]]}).encode()
    if path.endswith(":regress"):
        return 200, json.dumps({"results": [sum(row["features"]) for row in body["examples"]]}).encode()
    inputs = body["inputs"]
    if "features" in inputs:
        return 200, json.dumps({"outputs": [sum(row) for row in inputs["features"]]}).encode()
    if "x" in inputs:
        return 200, b'{"outputs": [1.0, NaN, -Infinity, 5e+09]}'
    pictures = [base64.b64decode(one["b64"], validate=True) for one in inputs["image_bytes"]]
    if len(pictures) > 4:
        return _error(400, f"Task size {len(pictures)} is larger than maximum input batch size 4")
    if b"bad" in pictures:
        return _error(400, "Unknown image file format.\n\t [[node]]")
    scores = [[one[0] / 256, 0.5, 0.25] for one in pictures]
    return 200, json.dumps({"outputs": {"scores": scores, "classes": [CLASSES] * len(pictures)}}).encode()


def _error(status: int, words: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": words}, indent="\t").encode()


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[Peer]:
    peer = Peer(port)
    threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield peer
    peer.shutdown()
    peer.server_close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with running() as peer:
        yield peer


def of(first: int) -> Prediction:
    return Prediction({"ant": first / 256, "bee": 0.5, "cow": 0.25})


def test_pictures(peer: Peer) -> None:
    with Client(peer.address, "m") as client:
        assert client.predict_images([b"\xff\xd8", b"\x07"]) == [of(255), of(7)]
    body = {"signature_name": "serving_default", "inputs": {"image_bytes": [{"b64": "/9g="}, {"b64": "Bw=="}]}}
    assert peer.asked == [("POST", "/v1/models/m:predict", body)]


@pytest.mark.parametrize(
    ("which", "path"),
    [
        ({}, "/v1/models/a%2Fb%20c"),
        ({"version": 0}, "/v1/models/a%2Fb%20c/versions/0"),
        ({"label": "x/y"}, "/v1/models/a%2Fb%20c/labels/x%2Fy"),
    ],
)
def test_paths(peer: Peer, which: dict[str, Any], path: str) -> None:
    with Client(f"{peer.address}/behind/", "a/b c", **which) as client:
        client.status()
        client.predict_images([b"x"])
    assert [asked[1] for asked in peer.asked] == [f"/behind{path}", f"/behind{path}:predict"]


def test_numbers_classify_and_regress(peer: Peer) -> None:
    with Client(peer.address, "m") as client:
        assert client.predict_numbers([[1, 2.5], [3, 4]]) == [3.5, 7.0]
        assert client.predict_numbers(np.array([1, 2], np.float32)) == [1.0, 2.0]
        assert client.regress([[1.0, 2.0], {"features": [3, 4]}]) == [3.0, 7.0]
        assert client.classify([b"\xff"]) == [Prediction({"ant": 0.25, "bee": 0.75})]
    bodies = [asked[2] for asked in peer.asked]
    assert bodies[1]["inputs"] == {"features": [[1.0], [2.0]]}
    assert bodies[2] == {
        "signature_name": "serving_examples",
        "examples": [{"features": [1.0, 2.0]}, {"features": [3, 4]}],
    }
    assert bodies[3]["examples"] == [{"image": [{"b64": "/w=="}]}]
    assert {len(asked[2]) for asked in peer.asked} == {2}


def test_the_only_output_has_its_name_from_the_metadata_asked_once(peer: Peer) -> None:
    with Client(peer.address, "m") as client:
        for _ in range(2):
            outputs = client.predict({"x": [1.0, 2.0]})
            assert list(outputs) == ["y"] and outputs["y"].dtype == "float64"
            np.testing.assert_array_equal(np.asarray(outputs["y"]), [1.0, np.nan, -np.inf, 5e9])
        assert set(client.predict({"image_bytes": [b"a"]}, outputs=["scores"])) == {"scores"}
    assert [asked[1] for asked in peer.asked].count("/v1/models/m/metadata") == 1


def test_status(peer: Peer) -> None:
    with Client(peer.address, "m") as client:
        assert client.status() == [VersionStatus(3, "END", "no file"), VersionStatus(2, "AVAILABLE")]
        client.wait_until_available(5)


def test_limits_and_bad_pictures_as_over_grpc(peer: Peer) -> None:
    pictures = [bytes([n]) for n in range(8)]
    with Client(peer.address, "m") as client:
        assert client.predict_images(pictures) == [of(n) for n in range(8)]
        answers = list(client.predict_each([*pictures[:3], b"bad", *pictures[3:]]))
    assert answers[:3] + answers[4:] == [of(n) for n in range(8)]
    assert isinstance(answers[3], InvalidPicture) and "Unknown image file format. (images[3])" in str(answers[3])


def test_a_connection_is_kept_and_one_that_was_dropped_is_replaced(peer: Peer) -> None:
    with Client(peer.address, "m", retries=0) as client:
        for _ in range(5):
            client.predict_images([b"x"])
        assert peer.connections == 1
        peer.drop_after_answer = True
        for _ in range(3):
            client.predict_images([b"x"])
        assert peer.connections == 3
    assert len(peer.asked) == 8


def test_a_connection_that_the_server_announces_to_close_is_replaced(peer: Peer) -> None:
    peer.header = ("Connection", "close")
    with Client(peer.address, "m", retries=0) as client:
        for number in range(3):
            assert client.predict_images([bytes([number])]) == [of(number)]
    assert peer.connections == 3


def test_no_proxy_of_the_environment_is_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(peer.address, "m", retries=0) as client:
        assert client.predict_images([b"\x05"]) == [of(5)]


def test_a_redirect_is_not_followed(peer: Peer) -> None:
    peer.header = ("Location", f"{peer.address}/elsewhere")
    peer.answers = [(302, b"{}")]
    with Client(peer.address, "m", retries=0) as client, pytest.raises(ServerFailure, match="HTTP status 302"):
        client.predict_images([b"x"])
    assert len(peer.asked) == 1


def test_one_client_in_several_threads(peer: Peer) -> None:
    peer.together = threading.Barrier(4)  # fails, and with it the request, if fewer come
    with Client(peer.address, "m", max_batch=1) as client:
        assert list(client.predict_each([bytes([n]) for n in range(16)], in_flight=4)) == [of(n) for n in range(16)]
    assert peer.connections == 4


@pytest.mark.parametrize(
    ("status", "words", "kind", "text"),
    [
        (400, "Unknown image file format", InvalidPicture, "refused the request: Unknown image file format"),
        (400, 'Serving signature name: "x" not found in signature def', InvalidRequest, "refused the request: Serving"),
        (400, "Missing named input: a in 'inputs' object.", InvalidRequest, "Missing named input"),
        (400, "Unrecognized servable version label: x", NotFound, "version label: x"),
        (404, "Servable not found for request: Latest(m)", NotFound, "has no model 'm' available"),
        (429, "Run() timeout exceeded while waiting in batching queue", Overloaded, "failed with RESOURCE_EXHAUSTED"),
        (500, "oh", ServerFailure, "failed with INTERNAL: oh"),
        (503, "The batch scheduling queue to which ... is full", Overloaded, "is overloaded"),
        (503, "starting", Unavailable, "cannot answer now: starting"),
        (504, "", DeadlineExceeded, "did not answer in 30 s"),
    ],
)
def test_answers_by_kind(peer: Peer, status: int, words: str, kind: type[ServingError], text: str) -> None:
    asked = 2 if kind is InvalidPicture else 1  # once more, alone
    peer.answers = [_error(status, words)] * asked
    with Client(peer.address, "m", retries=0) as client, pytest.raises(kind, match=text) as caught:
        client.predict_images([b"x"])
    assert type(caught.value) is kind and caught.value.hint and len(peer.asked) == asked


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, b"[1]"), (404, b"<html>"), (400, b""), (418, b"{}")])
def test_answers_that_are_not_of_tensorflow_serving(peer: Peer, answer: tuple[int, bytes]) -> None:
    peer.answers = [answer] * 2
    kind = {200: ServerFailure, 404: NotFound, 400: InvalidPicture, 418: ServerFailure}[answer[0]]
    with Client(peer.address, "m") as client, pytest.raises(kind):
        client.predict_images([b"x"])


@pytest.mark.parametrize(
    "answer", [b'{"outputs": {"classes": [], "scores": []}}', b'{"outputs": {"a": 1}}', b"{}", SCORELESS, RAGGED]
)
def test_answers_without_scores(peer: Peer, answer: bytes) -> None:
    peer.answers = [(200, answer)]
    with Client(peer.address, "m") as client, pytest.raises(ServerFailure):
        client.predict_images([b"x"])


def test_503_is_tried_again_and_nothing_else_is(peer: Peer) -> None:
    with Client(peer.address, "m", retries=2) as client:
        peer.answers = [_error(503, "full")] * 2
        assert client.predict_images([b"\x05"]) == [of(5)]
        assert len(peer.asked) == 3
        for status in (400, 404, 409, 429, 500, 501, 504):
            peer.asked.clear()
            asked = 2 if status == 400 else 1  # once more, alone
            peer.answers = [_error(status, "words")] * asked
            with pytest.raises((InvalidRequest, NotFound, Overloaded, ServerFailure, DeadlineExceeded)):
                client.predict_images([b"x"])
            assert len(peer.asked) == asked, status


def test_no_server_and_one_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with Client(address, "m", retries=1) as client, pytest.raises(Unavailable) as caught:
        client.predict_images([b"x"])
    assert str(caught.value) == f"no server answers at {address}" and "skewless serve" in caught.value.hint
    with contextlib.ExitStack() as stack:

        def sleep(seconds: float) -> None:
            stack.enter_context(running(port))

        monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        with Client(address, "m", retries=1) as client:
            assert client.predict_images([b"\x01"]) == [of(1)]


def test_no_answer_in_time_and_half_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with Client(address, "m", 0.2) as client, pytest.raises(DeadlineExceeded, match="did not answer in 0.2 s"):
            client.predict_images([b"x"])
        assert time.monotonic() - start < 10

        def half() -> None:
            for _ in range(2):  # the first is the connection above, still waiting
                taken, _ = silent.accept()
                with taken:
                    taken.recv(1 << 16)
                    taken.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"outputs')

        threading.Thread(target=half, daemon=True).start()
        with Client(address, "m", retries=0) as client, pytest.raises(Unavailable):
            client.predict_images([b"x"])


def test_a_slow_answer_ends_at_the_deadline() -> None:
    """Each piece comes within the timeout, but not all of them."""
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            taken, _ = listening.accept()
            with taken, contextlib.suppress(OSError):
                taken.recv(1 << 16)
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                while not stopped.wait(0.1):
                    taken.sendall(b" " * 100_000)

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(address, "m", 0.5, retries=0) as client, pytest.raises(DeadlineExceeded):
            client.predict_images([b"x"])
        assert time.monotonic() - start < 20  # all of it would take 100 s
        stopped.set()
        thread.join()


def test_message_limits(peer: Peer) -> None:
    peer.answers = [(413, b"<html>")]
    with Client(peer.address, "m") as client:
        assert client.predict_images([b"\x01", b"\x02"]) == [of(1), of(2)]
        assert [len(asked[2]["inputs"]["image_bytes"]) for asked in peer.asked] == [2, 1, 1]
    peer.asked.clear()
    with Client(peer.address, "m", max_message_bytes=400) as client:
        with pytest.raises(InvalidRequest, match="Sent message larger than max"):
            client.predict_images([b"x" * 390])
        assert not peer.asked
        peer.answers = [(200, b'{"outputs": "' + b"x" * 500 + b'"}')]
        with pytest.raises(InvalidRequest, match="Received message larger than max"):
            client.predict_images([b"x"])


def test_a_port_that_does_not_speak_http() -> None:
    server = grpc.server(None)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"http://127.0.0.1:{port}", "m", 5, retries=0) as client, pytest.raises(ServerFailure, match="HTTP"):
        client.status()
    server.stop(0)


def test_closing_ends_a_request_in_progress(peer: Peer) -> None:
    peer.may_answer.clear()
    client = Client(peer.address, "m")
    caught: list[BaseException] = []

    def predict() -> None:
        try:
            client.predict_images([b"x"])
        except (Unavailable, ServerFailure) as error:
            caught.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    assert peer.arrived.wait(timeout=30)
    client.close()
    thread.join(timeout=10)
    peer.may_answer.set()
    assert not thread.is_alive() and len(caught) == 1


def test_a_closed_client_refuses_requests(peer: Peer) -> None:
    client = Client(peer.address, "m")
    client.predict_images([b"x"])
    client.close()
    with pytest.raises(ServerFailure, match="CANCELLED: the client is closed"):
        client.predict_images([b"x"])


def use_tls(peer: Peer, certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    """Make the peer speak TLS, and return its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    peer.socket = context.wrap_socket(peer.socket, server_side=True)
    return peer.address.replace("http:", "https:")


def test_tls(peer: Peer, tmp_path: Path) -> None:
    """Of a certificate for an IP address, but not for localhost."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    address = use_tls(peer, tmp_path / "cert.pem", tmp_path / "key.pem")
    known = Tls(ca=str(tmp_path / "cert.pem"))
    with Client(address, "m", tls=known) as client:
        assert client.predict_images([b"\x09"]) == [of(9)]
    with Client(address, "m", retries=0) as client, pytest.raises(Unavailable, match="no TLS connection to") as caught:
        client.predict_images([b"x"])
    assert "ca=FILE" in caught.value.hint
    other = address.replace("127.0.0.1", "localhost")
    with Client(other, "m", tls=known, retries=0) as client, pytest.raises(Unavailable, match="no TLS connection to"):
        client.predict_images([b"x"])


def test_tls_with_a_certificate_of_the_client(peer: Peer, certificates: Path) -> None:
    address = use_tls(peer, certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    ca, certificate, key = (str(certificates / name) for name in ("ca.pem", "client.pem", "client.key"))
    for host in ("127.0.0.1", "localhost"):
        with Client(address.replace("127.0.0.1", host), "m", tls=Tls(ca, certificate, key)) as client:
            assert client.predict_images([b"\x09"]) == [of(9)]
    with Client(address, "m", tls=Tls(ca), retries=0) as client, pytest.raises(Unavailable):
        client.predict_images([b"x"])


def test_a_server_without_tls(peer: Peer) -> None:
    address = peer.address.replace("http:", "https:")
    with Client(address, "m", retries=0) as client, pytest.raises(Unavailable, match="no TLS connection to"):
        client.status()


@pytest.fixture(scope="module")
def serve_rest(serve: Callable[..., Any]) -> Callable[[Path, str], str]:
    """Return a function that starts the server on a base path and returns the address of its REST port."""

    def start(base: Path, name: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        serve(base, name, f"--rest_api_port={port}").address()
        return f"http://127.0.0.1:{port}"

    return start


def test_real_server_answers_rest_as_grpc(
    serve_rest: Callable[[Path, str], str],
    pictures_model: tuple[Path, keras.Model],
    picture_files: tuple[np.ndarray, list[bytes]],
) -> None:
    rest_address = serve_rest(pictures_model[0], "pictures")
    pixels, files = picture_files
    wanted = pictures_model[1].predict(pixels, verbose=0)
    with Client(rest_address, "pictures") as client:
        client.wait_until_available(10)
        for answers in (client.predict_images(pixels), client.predict_images(files), client.classify(files)):
            assert [tuple(answer.scores) for answer in answers] == [tuple(CLASSES)] * len(files)
            scores = [list(answer.scores.values()) for answer in answers]
            np.testing.assert_allclose(scores, wanted, rtol=1e-6)
        assert client.status() == [VersionStatus(1, "AVAILABLE")]
        each = list(client.predict_each([files[0], b"no picture", files[1]]))
        assert [type(one) for one in each] == [Prediction, InvalidPicture, Prediction]
        assert re.search("Unknown image file format", str(each[1]))
    with Client(rest_address, "pictures", version=9) as client, pytest.raises(NotFound):
        client.predict_images(files)


def test_real_server_s_numbers(
    serve_rest: Callable[[Path, str], str], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    (tmp_path / "1").symlink_to(numbers(0.5))
    with Client(serve_rest(tmp_path, "m"), "m") as client:
        assert client.predict({"x": [1.0, 2.0]}, outputs=["y"])["y"].tolist() == [2.5, 4.5]
        only = client.predict({"a": [1.0], "b": np.array([2], np.float32)}, "two")
        assert {name: tensor.tolist() for name, tensor in only.items()} == {"sum": [3.0]}
        with pytest.raises(InvalidRequest, match="not found in signature def"):
            client.predict({"x": [1.0]}, "none")
