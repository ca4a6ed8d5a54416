"""The gRPC server around the services, called through its ports: limits, sockets, certificates, health and load."""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.server.rpc import health
from serving.server.rpc import server as transport
from serving.server.rpc_error import Fault
from tests.serving.server.helpers import publish, refused, wait_until

Code = grpc.StatusCode
EXHAUSTED = (Code.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")


class Slow(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Counts the calls that have arrived, and answers them after `let` is set."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.let = threading.Event()

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.inside.release()
        assert self.let.wait(20)
        return predict_pb2.PredictResponse()

    def add(self, server: grpc.Server) -> None:
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, server)


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Slow, transport.RunningServer]]]:
    started: list[tuple[Slow, transport.RunningServer]] = []

    def make(**options: Any) -> tuple[Slow, transport.RunningServer]:
        slow = Slow()
        started.append(
            (slow, transport.start_grpc_server([slow.add], transport.TransportOptions("127.0.0.1:0", **options)))
        )
        return started[-1]

    yield make
    for slow, running in started:
        slow.let.set()
        running.stop(5)


def stub(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_a_call_above_the_limit_is_refused_at_once(start: Callable[..., Any]) -> None:
    slow, running = start(max_threads=3)
    with grpc.insecure_channel(running.addresses[0]) as channel:
        calls = [stub(channel).Predict.future(predict_pb2.PredictRequest(), timeout=20) for _ in range(3)]
        for _ in calls:
            assert slow.inside.acquire(timeout=10)
        begin = time.monotonic()
        for _ in range(50):
            assert refused(stub(channel).Predict, predict_pb2.PredictRequest(), timeout=20) == EXHAUSTED
        assert time.monotonic() - begin < 5
        slow.let.set()
        assert all(call.result() is not None for call in calls)
        assert stub(channel).Predict(predict_pb2.PredictRequest(), timeout=20) is not None


def test_as_many_callers_as_threads_are_never_refused(start: Callable[..., Any]) -> None:
    slow, running = start(max_threads=4)
    slow.let.set()

    def call(_: int) -> int:
        with grpc.insecure_channel(running.addresses[0], [("grpc.use_local_subchannel_pool", 1)]) as channel:
            return sum(stub(channel).Predict(predict_pb2.PredictRequest(), timeout=20) is not None for _ in range(200))

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(call, range(4))) == [200] * 4


def test_stopping_waits_for_the_calls_under_way_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    slow = Slow()
    running = transport.start_grpc_server([slow.add], transport.TransportOptions("127.0.0.1:0", max_threads=2))
    with grpc.insecure_channel(running.addresses[0]) as channel:
        call = stub(channel).Predict.future(predict_pb2.PredictRequest(), timeout=20)
        assert slow.inside.acquire(timeout=10)
        with ThreadPoolExecutor(1) as stopping:
            stopped = stopping.submit(running.stop, 10)
            wait_until(lambda: _is_closed(running.addresses[0]))
            assert not call.done() and not stopped.done()
            slow.let.set()
            stopped.result()
        assert call.result() is not None
    wait_until(lambda: set(threading.enumerate()) <= before, threading.enumerate)


def _is_closed(address: str) -> bool:
    """Return whether a new connection gets no call through."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            channel.unary_unary("/no.Service/Method")(b"", timeout=5)
        except grpc.RpcError as error:
            return error.code() is Code.UNAVAILABLE
    return False


def test_unix_socket(start: Callable[..., Any], tmp_path: Path) -> None:
    slow, running = start(socket_path=str(tmp_path / "grpc.sock"))
    slow.let.set()
    assert running.addresses[1] == f"unix:{tmp_path}/grpc.sock"
    for address in running.addresses:
        with grpc.insecure_channel(address) as channel:
            assert stub(channel).Predict(predict_pb2.PredictRequest(), timeout=20) is not None


def test_a_port_in_use_is_a_fault(start: Callable[..., Any]) -> None:
    _, running = start()
    with pytest.raises(Fault) as caught:
        transport.start_grpc_server([], transport.TransportOptions(running.addresses[0]))
    assert caught.value.code is Code.UNKNOWN


def test_channel_arguments(start: Callable[..., Any]) -> None:
    assert transport.parse_channel_arguments("") == []
    assert transport.parse_channel_arguments("grpc.a=1,grpc.b=x=y,grpc.c=-2") == [
        ("grpc.a", 1),
        ("grpc.b", "x=y"),
        ("grpc.c", -2),
    ]
    with pytest.raises(Fault, match="grpc_channel_arguments: expected key=value, got nothing"):
        transport.parse_channel_arguments("grpc.a=1,nothing")
    slow, running = start(channel_arguments="grpc.max_receive_message_length=100")
    slow.let.set()
    with grpc.insecure_channel(running.addresses[0]) as channel:
        request = predict_pb2.PredictRequest(output_filter=["x" * 200])
        assert refused(stub(channel).Predict, request, timeout=20)[0] is Code.RESOURCE_EXHAUSTED


# --- keys ---


def _certified(name: str, signer: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """Return a key and its certificate, self-signed or signed by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[1].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    return key, builder.sign(signer[0] if signer else key, hashes.SHA256())


def _pem(pair: tuple[Any, Any]) -> tuple[bytes, bytes]:
    key, certificate = pair
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ), certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("verify", [False, True])
def test_keys(start: Callable[..., Any], verify: bool) -> None:
    authority = _certified("authority")
    (key, certificate), root = _pem(_certified("localhost", authority)), _pem(authority)[1]
    client_key, client_certificate = _pem(_certified("client", authority))
    config = SimpleNamespace(
        server_key=key.decode(), server_cert=certificate.decode(), custom_ca=root.decode(), client_verify=verify
    )
    slow, running = start(ssl=config)
    slow.let.set()
    address = "localhost:" + running.addresses[0].rsplit(":", 1)[1]

    def call(credentials: grpc.ChannelCredentials | None) -> Any:
        channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        with channel:
            return stub(channel).Predict(predict_pb2.PredictRequest(), timeout=5)

    assert call(grpc.ssl_channel_credentials(root, client_key, client_certificate)) is not None
    assert refused(call, None)[0] in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    if verify:
        assert refused(call, grpc.ssl_channel_credentials(root))[0] in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    else:
        assert call(grpc.ssl_channel_credentials(root)) is not None


def test_invalid_keys_are_a_fault() -> None:
    config = SimpleNamespace(server_key="", server_cert="", custom_ca="", client_verify=True)
    with pytest.raises(Fault, match="ssl_config_file: "):
        transport.start_grpc_server([], transport.TransportOptions("127.0.0.1:0", ssl=config))


# --- health ---


def test_health(start: Callable[..., Any]) -> None:
    _, running = start(health=True, max_threads=2)
    with grpc.insecure_channel(running.addresses[0]) as channel:
        request, response = health.HealthCheckRequest.SerializeToString, health.HealthCheckResponse.FromString
        check = channel.unary_unary("/grpc.health.v1.Health/Check", request, response)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch", request, response)
        for name in ("", "ModelService", "PredictionService"):
            assert check(health.HealthCheckRequest(service=name), timeout=20).status == 1
        unknown = health.HealthCheckRequest(service="m")
        assert refused(check, unknown, timeout=20) == (Code.NOT_FOUND, "service name unknown")
        watched = []
        for _ in range(5):  # more than the threads: a watcher needs none
            watched.append(watch(health.HealthCheckRequest(), timeout=20))
            assert next(watched[-1]).status == 1
        assert next(watch(unknown, timeout=20)).status == 3
        assert check(health.HealthCheckRequest(), timeout=20).status == 1
        # the bytes are those of grpc.health.v1: a string in field 1, an enum in field 1
        raw = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert raw(b"\x0a\x0cModelService", timeout=20) == b"\x08\x01"


def test_no_health_service_unless_asked_for(start: Callable[..., Any]) -> None:
    _, running = start()
    with grpc.insecure_channel(running.addresses[0]) as channel:
        assert refused(channel.unary_unary("/grpc.health.v1.Health/Check"), b"", timeout=20)[0] is Code.UNIMPLEMENTED


# --- the whole server ---


def predict(value: float, rows: int = 1, **spec: str) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=["y"])
    request.model_spec.name = "m"
    for key, value_of_key in spec.items():
        setattr(request.model_spec, key, value_of_key)
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.full([rows], value, np.float32)))
    return request


def spin(turns: int) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=["turns"])
    request.model_spec.name, request.model_spec.signature_name = "m", "spin"
    request.inputs["turns"].CopyFrom(tf.make_tensor_proto(np.array([turns], np.int64)))
    return request


def fill(prediction: Any) -> list[Any]:
    """Send endless calls until the server holds two of them and has refused another one."""
    calls: list[Any] = []
    while not (any(call.done() for call in calls) and sum(not call.done() for call in calls) == 2):
        assert len(calls) < 8
        calls.append(prediction.Predict.future(spin(2**60), timeout=4))
        with contextlib.suppress(grpc.FutureTimeoutError):
            calls[-1].exception(timeout=0.5)
    return calls


def ends(calls: list[Any]) -> dict[grpc.StatusCode, int]:
    """Wait for calls that fail, and count their codes."""
    return dict(Counter(call.exception().code() for call in calls))


@pytest.mark.parametrize("batching", [False, True])
def test_a_push_under_twenty_callers_loses_no_request(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path, batching: bool
) -> None:
    base = tmp_path / "base"
    publish(numbers(1.0), base, 1)
    (tmp_path / "parameters").write_text("batch_timeout_micros { value: 2000 } max_batch_size { value: 32 }")
    flags = ["--enable_batching", f"--batching_parameters_file={tmp_path}/parameters"] if batching else []
    server = serve(base, "m", "--grpc_max_threads=32", *flags)
    prediction, _ = server.stubs()
    prediction.Predict(predict(0.0), timeout=20)
    seen: set[tuple[int, float]] = set()
    faults: list[str] = []
    done = threading.Event()

    def call(number: int) -> None:
        while not done.is_set():
            try:
                answer = prediction.Predict(predict(number, 1 + number % 3), timeout=20)
            except grpc.RpcError as error:
                faults.append(error.details())
                continue
            values = answer.outputs["y"].float_val[:]
            assert len(values) == 1 + number % 3
            seen.update((answer.model_spec.version.value, value - 2 * number) for value in values)

    def is_seen(version: int) -> bool:
        return version in {number for number, _ in list(seen)}

    with ThreadPoolExecutor(20) as callers:
        calls = [callers.submit(call, number) for number in range(20)]
        for version in (2, 3):
            publish(numbers(float(version)), base, version)
            try:
                wait_until(partial(is_seen, version), lambda: seen)
            except AssertionError:
                done.set()  # or the callers never end
                raise
        done.set()
        for one in calls:
            one.result()
    assert faults == []
    assert seen == {(1, 1.0), (2, 2.0), (3, 3.0)}


def test_overload_refuses_and_recovers(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    publish(numbers(1.0), tmp_path / "base", 1)
    prediction, _ = serve(tmp_path / "base", "m", "--grpc_max_threads=2").stubs()
    assert prediction.Predict(predict(2.0)).outputs["y"].float_val[:] == [5.0]  # without a deadline, too
    calls = fill(prediction)
    assert refused(prediction.Predict, predict(1.0), timeout=20) == EXHAUSTED
    assert ends(calls) == {Code.DEADLINE_EXCEEDED: 2, Code.RESOURCE_EXHAUSTED: len(calls) - 2}

    def is_refused() -> bool:
        try:
            assert prediction.Predict(predict(1.0), timeout=20).outputs["y"].float_val[:] == [3.0]
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == EXHAUSTED
            return True
        return False

    wait_until(lambda: not is_refused())  # the run ends a moment after its caller gave up


def test_a_full_batching_queue_refuses_and_recovers(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    publish(numbers(1.0), tmp_path / "base", 1)
    (tmp_path / "parameters").write_text(
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } num_batch_threads { value: 1 }"
    )
    prediction, _ = serve(
        tmp_path / "base",
        "m",
        "--grpc_max_threads=8",
        "--enable_batching=true",
        f"--batching_parameters_file={tmp_path}/parameters",
    ).stubs()
    calls = fill(prediction)  # one runs, one waits
    assert refused(prediction.Predict, spin(1), timeout=20) == (
        Code.UNAVAILABLE,
        "The batch scheduling queue to which this task was submitted is full; currently 1 batches enqueued and "
        "max_enqueued_batches is 1",
    )
    assert refused(prediction.Predict, predict(1.0, rows=2), timeout=20) == (
        Code.INVALID_ARGUMENT,
        "Task size 2 is larger than maximum input batch size 1",
    )
    assert ends(calls) == {Code.DEADLINE_EXCEEDED: 2, Code.UNAVAILABLE: len(calls) - 2}
    assert prediction.Predict(predict(1.0), timeout=20).outputs["y"].float_val[:] == [3.0]
