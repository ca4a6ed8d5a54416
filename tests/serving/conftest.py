"""Small SavedModels, and the server as a process with ports and a command line."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from data.spec import Classes, Image
from serving.export import saved_model
from tests.preloaded import Process

GRPC_LINE = re.compile(r"Running gRPC ModelServer at (\S+:\d+) \.\.\.")
REST_LINE = re.compile(r"Exporting HTTP/REST API at:\S+ \.\.\.")
# Tests another server than ours, such as tensorflow_model_server.
REAL = shlex.split(os.environ.get("SKEWLESS_MODEL_SERVER", ""))
CLASSES = ("ant", "bee", "cow")
PIXELS = (4, 5, 3)


class Server:
    """`python -m serving.server` on a free port, or the command in SKEWLESS_MODEL_SERVER.

    Attributes:
      errors: lines of stdout and stderr, except the two that announce the ports.
    """

    def __init__(self, base: Path, name: str = "m", *flags: str, poll: float = 0.1) -> None:
        if REAL:  # it accepts only whole seconds, and no port 0
            poll = max(1, round(poll))
        arguments = [f"--port={_free_port() if REAL else 0}", f"--model_name={name}"]
        arguments += [f"--model_base_path={base}", f"--file_system_poll_wait_seconds={poll}", *flags]
        environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
        self.process: Process | subprocess.Popen[str]
        if REAL:
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            self.process = subprocess.Popen([*REAL, *arguments], text=True, env=environment, **pipes)
        else:
            self.process = Process("serving.server", *arguments, env=environment)
        self.errors: queue.Queue[str] = queue.Queue()
        self._announced: queue.Queue[str] = queue.Queue()
        self._rest_is_open = threading.Event()
        self._address = ""
        streams = (self.process.stdout, self.process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(stream,), daemon=True) for stream in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if match := GRPC_LINE.search(line):
                    self._announced.put(match[1].replace("0.0.0.0", "127.0.0.1"))
                elif REST_LINE.search(line):
                    self._rest_is_open.set()
                else:
                    self.errors.put(line)

    def address(self) -> str:
        """Wait for the line that announces the gRPC port, and return its address."""
        self._address = self._address or self._announced.get(timeout=60)
        return self._address

    def await_rest(self) -> None:
        """Wait for the line that announces the REST port."""
        assert self._rest_is_open.wait(60)

    def stubs(
        self,
    ) -> tuple[prediction_service_pb2_grpc.PredictionServiceStub, model_service_pb2_grpc.ModelServiceStub]:
        channel = grpc.insecure_channel(self.address())
        return prediction_service_pb2_grpc.PredictionServiceStub(channel), model_service_pb2_grpc.ModelServiceStub(
            channel
        )

    def error_line(self, text: str) -> str:
        """Wait for a line with `text`, and return it."""
        while text not in (line := self.errors.get(timeout=60)):
            pass
        return line

    def remaining_lines(self) -> list[str]:
        """Wait until both streams end, and return the lines that nobody has read."""
        for reader in self._readers:
            reader.join(60)
        return [self.errors.get() for _ in range(self.errors.qsize())]

    def is_silent(self) -> bool:
        """Return whether no gRPC port was announced."""
        return self._announced.empty()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        return 0 if REAL and status == -number else status  # TensorFlow Serving leaves signals to the system


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*args: Any, **options: Any) -> Server:
        started.append(Server(*args, **options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


class _Numbers(tf.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = tf.Variable(offset)
        self.matrix = tf.Variable(tf.ones([4, 2]))

    def affine(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(tf.reshape(x, [-1])), "y": x * 2.0 + self.offset}

    def two(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": a + b}

    def product(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, self.matrix)}

    def typed(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64"
        return {"string": tf.strings.as_string(tf.cast(x, tf.int32))} | {k: tf.cast(x, k) for k in kinds.split()}

    def parse(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)}))

    def spin(self, turns: tf.Tensor) -> dict[str, tf.Tensor]:
        ends = tf.while_loop(lambda i: i < turns[0], lambda i: [i + 1], [tf.constant(0, tf.int64)])
        return {"turns": ends[0], "offset": self.offset}


def _write_numbers(folder: Path, offset: float) -> None:
    module = _Numbers(offset)

    def signature(method: Callable[..., dict[str, tf.Tensor]], dtype: tf.DType, *names: str, rank: int = 1) -> object:
        specs = [tf.TensorSpec([None] * rank, dtype, name=name) for name in names]
        return tf.function(method).get_concrete_function(*specs)

    signatures = {
        "serving_default": signature(module.affine, tf.float32, "x"),
        "two": signature(module.two, tf.float32, "a", "b"),
        "product": signature(module.product, tf.float32, "x", rank=2),
        "typed": signature(module.typed, tf.float32, "x"),
        "parse": signature(module.parse, tf.string, "inputs"),
        "spin": signature(module.spin, tf.int64, "turns"),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for name in ("serving_default", "two"):  # a copy of each, with a default for the first input
        copy = model.meta_graphs[0].signature_def[f"{name}_defaults"]
        copy.CopyFrom(model.meta_graphs[0].signature_def[name])
        copy.defaults[min(copy.inputs)].CopyFrom(tf.make_tensor_proto([7.0]))
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Return a SavedModel that computes 2x + offset and more; each offset is written once."""
    root = tmp_path_factory.mktemp("numbers")

    def make(offset: float) -> Path:
        folder = root / str(offset)
        if not folder.exists():
            _write_numbers(folder, offset)
        return folder

    return make


class _Decode(tf.Module):
    """A stand-in for the TransformGraph's layer: decodes the pictures and keeps the label."""

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(self._decode, raw["image"], fn_output_signature=tf.TensorSpec(PIXELS, tf.uint8))
        return {**raw, "image": pixels}

    def _decode(self, content: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.io.decode_image(content, channels=3, expand_animations=False), PIXELS)


@pytest.fixture(scope="session")
def pictures_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    """The base path of an exported image model, version 1, and its Keras model: [N, 4, 5, 3] to [N, 3]."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input(PIXELS), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )

    base = tmp_path_factory.mktemp("pictures")
    saved_model.write(
        saved_model.ModelExport(model, _Decode(), Image(*PIXELS), Classes(CLASSES), CLASSES), str(base / "1")
    )
    return base, model


@pytest.fixture(scope="session")
def picture_files(encode: Callable[..., bytes]) -> tuple[NDArray[np.uint8], list[bytes]]:
    """Pixels uint8 [4, 4, 5, 3], and the same pictures as PNG files."""
    pixels = np.random.default_rng(5).integers(0, 256, (4, *PIXELS), np.uint8)
    return pixels, [encode(picture, "PNG") for picture in pixels]


def _tf1_signatures() -> dict[str, object]:
    """Return half_plus_two (0.5x + 2, as in TF Serving's own tests), and signatures with one fault each."""
    v1, build = tf.compat.v1, tf.compat.v1.saved_model.build_signature_def
    info = v1.saved_model.build_tensor_info
    predict, classify, regress = (f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))
    half, two = tf.Variable(0.5, use_resource=False), tf.Variable(2.0, use_resource=False)
    serialized = v1.placeholder(tf.string, [None], name="tf_example")
    more = v1.placeholder(tf.string, [None], name="more")
    x = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
    y = half * x + two
    pair, words = tf.concat([y, y + 1.0], 1), tf.tile([["low", "high"]], [tf.shape(y)[0], 1])
    examples = {"inputs": info(serialized)}

    def of(method: str, inputs: dict[str, object] = examples, **outputs: tf.Tensor) -> object:
        return build(inputs, {alias: info(tensor) for alias, tensor in outputs.items()}, method)

    signatures = {
        "regress_x_to_y": of(regress, outputs=y),
        "regress_x_to_y3": of(regress, outputs=y + 1.0),
        "regress_flat": of(regress, outputs=y[:, 0]),
        "classify_x_to_y": of(classify, scores=y),
        "classify_both": of(classify, classes=words, scores=pair),
        "no_method": of("", scores=y),
        "two_inputs": of(classify, {**examples, "more": info(more)}, scores=y),
        "three_outputs": of(classify, scores=y, classes=words, more=y),
        "input_x": of(classify, {"x": info(serialized)}, scores=y),
        "output_y": of(classify, y=y),
        "scores_flat": of(classify, scores=y[:, 0]),
        "scores_double": of(classify, scores=tf.cast(y, tf.float64)),
        "scores_twice": of(classify, scores=tf.concat([y, y], 0)),
        "classes_int": of(classify, classes=tf.cast(y, tf.int32)),
        "widths": of(classify, classes=words, scores=y),
        "regress_wide": of(regress, outputs=pair),
        "regress_twice": of(regress, outputs=tf.concat([y, y], 0)),
        "regress_double": of(regress, outputs=tf.cast(y, tf.float64)),
    }
    free = v1.placeholder(tf.float32, name="x")
    signatures["serving_default"] = of(predict, {"x": info(free)}, y=half * free + two)
    kinds = "half double int8 int16 int32 int64 uint8 uint32 uint64 bool string"
    for kind in kinds.split():
        typed = v1.placeholder(kind, name=f"{kind}_in")
        signatures[kind] = of(predict, {"v": info(typed)}, v=tf.identity(typed))
    signatures["bytes"] = of(predict, {"v": info(typed)}, v_bytes=tf.identity(typed))
    both = {"b": info(free), "a": info(typed)}
    signatures["both"] = of(predict, both, a_bytes=tf.identity(typed), total=half * free + two)
    return signatures


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 123, which TF1's SavedModelBuilder wrote, with method names."""
    base = tmp_path_factory.mktemp("half_plus_two")
    builder = tf.compat.v1.saved_model.Builder(str(base / "123"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = _tf1_signatures()
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
    builder.save()
    return base


class Reply(NamedTuple):
    """An answer of the REST port."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert self.headers["Content-Type"] == "application/json"
        body = self.json
        assert set(body) == {"error"}
        return str(body["error"])


class Rest:
    """A server with a REST port in addition to its gRPC port."""

    def __init__(self, serve: Callable[..., Any], base: Path, name: str, *flags: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.server = serve(base, name, f"--rest_api_port={self.port}", *flags)
        self.server.await_rest()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        content = body if isinstance(body, bytes | str | None) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, body: Any, path: str = "/v1/models/half_plus_two:predict", **headers: str) -> Reply:
        return self.ask("POST", path, body, headers)

    def predict(self, signature: str, **body: Any) -> Reply:
        return self.post({"signature_name": signature, **body})


@pytest.fixture(scope="module")
def serve_rest(serve: Callable[..., Server]) -> Callable[..., Rest]:
    """Start a server with a REST port: `(base path, name, *flags)`."""
    return lambda base, name, *flags: Rest(serve, base, name, *flags)


@pytest.fixture(scope="module")
def rest(serve_rest: Callable[..., Rest], half_plus_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Rest:
    """The TF1-style model behind REST, with CORS and Prometheus."""
    config = tmp_path_factory.mktemp("monitoring") / "config.txt"
    config.write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = (f"--monitoring_config_file={config}", "--rest_api_enable_cors_support=true")
    return serve_rest(half_plus_two, "half_plus_two", *flags)
