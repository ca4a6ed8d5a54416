"""The REST port as a client sees it: bodies, texts, codes, compression, and the metrics page for Prometheus."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.server.lifecycle.model_manager import ModelManager
from serving.server.rest import server as server_rest
from serving.server.services.predictor import Predictor
from tests.serving.server.helpers import wait_until

MODEL = "/v1/models/half_plus_two"
CLASSIFY, REGRESS = f"{MODEL}:classify", f"{MODEL}:regress"


@pytest.fixture(scope="module")
def plain(
    serve_rest: Callable[..., Any], numbers: Callable[[float], Path], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A TF2 model whose name must be percent-encoded, without CORS and Prometheus, and with a short timeout."""
    base = tmp_path_factory.mktemp("rest_numbers")
    (base / "7").symlink_to(numbers(1.0))
    return serve_rest(base, "my model", "--rest_api_timeout_in_ms=400")


# --- the run ---


def test_faults_of_the_run_and_of_the_result(rest: Any, plain: Any) -> None:
    path = "/v1/models/my%20model:predict"
    reply = plain.post({"instances": [1, 2]}, path)
    assert (reply.status, reply.error) == (400, "Tensor name: total has no shape information ")
    reply = plain.post({"signature_name": "product", "instances": [[1, 2]]}, path)
    assert (reply.status, reply.error.split("\n")[0]) == (
        400,
        "Matrix size-incompatible: In[0]: [1,2], In[1]: [4,2]",
    )
    reply = plain.post({"signature_name": "typed", "inputs": 2.0}, path)
    assert reply.error == "Failed to write JSON value for tensor type: bfloat16"
    reply = rest.predict("both", instances=[{"a": "", "b": [1, 2]}] * 2)
    assert reply.json["predictions"][1]["total"] == [2.5, 3.0]


def test_a_run_beyond_the_timeout_is_504(plain: Any) -> None:
    start = time.monotonic()
    reply = plain.post({"signature_name": "spin", "inputs": [10**12]}, "/v1/models/my%20model:predict")
    assert reply.status == 504 and reply.error
    assert time.monotonic() - start < 5


# --- paths ---


def test_versions_labels_and_names_in_the_path(rest: Any, plain: Any) -> None:
    body = {"instances": [1.0]}
    assert rest.post(body, "/V1/Models/half_plus_two/VERSIONS/0123:predict").json == {"predictions": [2.5]}
    reply = rest.post(body, f"{MODEL}/versions/9:predict")
    text = "Servable not found for request: Specific(half_plus_two, 9)"
    assert (reply.status, reply.error) == (404, text)
    reply = rest.post(body, f"{MODEL}/labels/old%2Fer:predict")
    assert (reply.status, reply.error) == (400, "Unrecognized servable version label: old/er")
    reply = rest.post(body, "/v1/models/nosuch:predict")
    assert (reply.status, reply.error) == (404, "Servable not found for request: Latest(nosuch)")
    for path in ("/v1/models/my%20model/metadata", "/v1/models/m%79%20model/versions/7"):
        assert plain.ask("GET", path).status == 200
    reply = rest.post(body, f"{MODEL}/versions/{2**63}:predict")
    assert (reply.status, reply.body) == (400, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/default:predict"),
        ("POST", MODEL),
        ("POST", f"{MODEL}:nosuch"),
        ("POST", f"{MODEL}:PREDICT"),
        ("POST", f"{MODEL}:predict?x=1"),
        ("POST", f"{MODEL}/version/50:predict"),
        ("POST", f"{MODEL}/versions/-1:predict"),
        ("PUT", f"{MODEL}:predict"),
        ("DELETE", MODEL),
        ("GET", "/v1/"),
        ("GET", f"{MODEL}/"),
    ],
)
def test_malformed_requests(rest: Any, method: str, path: str) -> None:
    reply = rest.ask(method, path)
    assert (reply.status, reply.error) == (400, f"Malformed request: {method} {path}")


def test_other_paths_are_html(rest: Any) -> None:
    for path in ("/", "/v2/models/m", "/v1", "/monitoring/prometheus/metrics"):
        reply = rest.ask("GET", path)
        assert (reply.status, reply.headers["Content-Type"]) == (404, "text/html")
    assert rest.ask("GET", "/v1/models").error == "Missing model name in request."
    assert rest.ask("GET", "/v1/models/metadata").status == 404  # a model of that name


def test_status(rest: Any) -> None:
    for path in (MODEL, f"{MODEL}/versions/123"):
        reply = rest.ask("GET", path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        assert reply.json == {
            "model_version_status": [
                {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
    reply = rest.ask("GET", f"{MODEL}/versions/9")
    assert (reply.status, reply.error) == (404, "Could not find version 9 of model half_plus_two")
    reply = rest.ask("GET", "/v1/models/nosuch")
    assert (reply.status, reply.error) == (404, "Could not find any versions of model nosuch")


def test_metadata(rest: Any, plain: Any) -> None:
    found = rest.ask("GET", f"{MODEL}/metadata").json
    assert found["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert signatures["regress_x_to_y"]["method_name"] == "tensorflow/serving/regress"
    assert signatures["regress_x_to_y"]["inputs"]["inputs"] == {
        "dtype": "DT_STRING",
        "name": "tf_example:0",
        "tensor_shape": {"dim": [{"name": "", "size": "-1"}], "unknown_rank": False},
    }
    signatures = plain.ask("GET", "/v1/models/my%20model/metadata").json["metadata"]["signature_def"]["signature_def"]
    assert "__saved_model_init_op" in signatures  # every TF2 export has it
    assert rest.ask("GET", "/v1/models/nosuch/metadata").error == "Servable not found for request: Latest(nosuch)"


# --- HTTP ---


def test_gzip_both_ways(rest: Any) -> None:
    body = gzip.compress(b'{"instances": [1.0]}')
    reply = rest.ask("POST", f"{MODEL}:predict", body, {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(reply.body)) == {"predictions": [2.5]}
    assert "Content-Encoding" not in rest.post({"instances": [1.0]}).headers
    empty = "JSON Parse error: The document is empty"
    reply = rest.ask("POST", f"{MODEL}:predict", b"no gzip", {"Content-Encoding": "gzip"})
    assert (reply.status, reply.error) == (400, empty)
    bomb = gzip.compress(bytes(101 << 20), 1)
    assert rest.ask("POST", f"{MODEL}:predict", bomb, {"Content-Encoding": "gzip"}).error == empty


def test_cors_if_enabled(rest: Any, plain: Any) -> None:
    wanted = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST, GET",
        "Access-Control-Allow-Headers": "Content-Type",
    }
    preflight = rest.ask("OPTIONS", f"{MODEL}:predict", headers={"Origin": "https://page.example"})
    assert preflight.status == 200
    for reply in (preflight, rest.post({"instances": [1]}), rest.post("")):
        assert wanted.items() <= reply.headers.items()
    for headers in ({}, {"Origin": "file://x"}):
        reply = rest.ask("OPTIONS", f"{MODEL}:predict", headers=headers)
        assert (reply.status, reply.error) == (400, "Origin header is missing in CORS preflight")
    reply = plain.ask("OPTIONS", "/v1/models/m", headers={"Origin": "https://page.example"})
    assert reply.error == "Malformed request: OPTIONS /v1/models/m"
    assert not wanted.keys() & reply.headers.keys()


def test_connections_are_kept_alive_and_vanishing_clients_do_no_harm(rest: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", rest.port, timeout=30)
    for value in (1.0, 2.0, 3.0):
        connection.request("POST", f"{MODEL}:predict", json.dumps({"instances": [value]}))
        assert json.loads(connection.getresponse().read()) == {"predictions": [value / 2 + 2]}
    connection.close()
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    for sent in (b"POST", head, head + b"{", b"\x00\xff\r\n\r\n", head.replace(b"1000", b"9" * 12) + b"{"):
        with socket.create_connection(("127.0.0.1", rest.port)) as client:
            client.sendall(sent)
    assert rest.post({"instances": [1.0]}).status == 200
    body = b'{"signature_name": "string", "inputs": "%s"}' % (b"a" * 20_000_000)
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", rest.port)) as client:
        client.sendall(head + body)
        assert client.recv(9) == b"HTTP/1.1 "  # and never reads the rest of the answer
        assert rest.post({"instances": [1.0]}).status == 200


# --- Prometheus ---


def _metrics(rest: Any) -> dict[str, float]:
    reply = rest.ask("GET", "/metrics")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_every_request_once(rest: Any) -> None:
    before = _metrics(rest)
    stub, _ = rest.server.stubs()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}] * 3}
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(stub.Predict, request, 30) for _ in range(40)]
        asked += [pool.submit(rest.post, {"instances": [1]}) for _ in range(40)]
        for _ in range(5):
            asked += [pool.submit(rest.post, body, REGRESS), pool.submit(rest.post, "{}")]
            asked.append(pool.submit(rest.ask, "GET", MODEL))
    for one in asked:
        one.result()
    after = _metrics(rest)

    def grown(name: str, labels: str) -> float:
        key = f":tensorflow:serving:{name}{{{labels}}}"
        return after.get(key, 0) - before.get(key, 0)

    model = 'model_name="half_plus_two"'
    assert grown("request_count", f'{model},status="OK"') == 85
    assert grown("request_count", f'{model},status="INVALID_ARGUMENT"') == 5
    assert grown("request_latency_count", f'{model},API="Predict",entrypoint="GRPC"') == 40
    assert grown("request_latency_count", f'{model},API="predict",entrypoint="REST"') == 40
    assert grown("request_latency_count", f'{model},API="regress",entrypoint="REST"') == 5
    assert grown("request_latency_bucket", f'{model},API="predict",entrypoint="REST",le="+Inf"') == 40
    assert grown("request_latency_sum", f'{model},API="predict",entrypoint="REST"') > 40
    assert grown("runtime_latency_count", f'{model},API="Predict",runtime="TF1"') == 80
    assert grown("runtime_latency_count", f'{model},API="Regress",runtime="TF1"') == 5
    assert grown("request_example_count_total", 'model="half_plus_two"') == 15
    assert grown("request_example_counts_bucket", 'model="half_plus_two",le="4"') == 5
    assert grown("request_example_counts_bucket", 'model="half_plus_two",le="2"') == 0


def test_the_page_of_metrics(rest: Any) -> None:
    page = rest.ask("GET", "/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    assert kinds[":tensorflow:serving:request_count"] == "counter"
    assert kinds[":tensorflow:serving:request_latency"] == "histogram"
    assert list(kinds) == sorted(kinds)
    reply = rest.ask("GET", "/metrics?x=1")
    assert (reply.status, reply.body) == (400, b"Unexpected path: /metrics?x=1. Should be /metrics")


# --- robustness ---


def test_mutated_requests_are_answered(rest: Any) -> None:
    draw = np.random.default_rng(11)
    odd = b'{}[]",:\\0123456789.eE-+tfnNIu\x00\xff '
    whole = [
        '{"instances": [1, [2.5], {"x": NaN}]}',
        '{"inputs": {"x": [[1e3], [-2]]}}',
        json.dumps({"signature_name": "both", "instances": [{"a": {"b64": "YQ=="}, "b": [1.5, 2]}] * 3}),
        json.dumps({"signature_name": "classify_both", "context": {"x": 1}, "examples": [{"x": [2.5], "y": "z"}]}),
    ]
    for turn in range(400):
        body = bytearray(whole[turn % len(whole)].encode())
        for _ in range(draw.integers(0, 4)):
            at = int(draw.integers(0, len(body) + 1))
            body[at : at + int(draw.integers(0, 3))] = bytes([draw.choice(list(odd))])
        path = (f"{MODEL}:predict", CLASSIFY, REGRESS)[turn % 3]
        assert rest.post(bytes(body), path).status in (200, 400, 501), bytes(body)


def test_slow_clients_are_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_rest, "IDLE_S", 0.3)
    monkeypatch.setattr(server_rest, "BODY_S", 0.6)
    models: ModelManager[Any] = ModelManager(Path)  # loads nothing
    server = server_rest.RestServer(Predictor(models), models, 0, "127.0.0.1", 2, None)
    port = server.start()
    try:
        for sent in (b"", b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(sent)
                assert client.recv(1000) == b""  # closed by the server
    finally:
        server.stop(1.0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_request_in_progress_ends_before_the_server(
    serve_rest: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    (tmp_path / "1").symlink_to(numbers(1.0))
    one = serve_rest(tmp_path, "m", "--rest_api_timeout_in_ms=1500")
    with ThreadPoolExecutor(1) as pool:
        before = cpu_seconds(one.server.process.pid)
        asked = pool.submit(one.post, {"signature_name": "spin", "inputs": [10**12]}, "/v1/models/m:predict")
        wait_until(lambda: cpu_seconds(one.server.process.pid) > before + 0.2)  # the request runs
        assert one.server.stop() == 0
        assert asked.result().status == 504


def test_a_port_in_use_ends_the_start(serve: Callable[..., Any], half_plus_two: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(half_plus_two, "m", f"--rest_api_port={taken.getsockname()[1]}")
        assert "Address already in use" in server.error_line("Failed to start server. Error: UNKNOWN: ")
        assert server.process.wait(timeout=30) == 255
