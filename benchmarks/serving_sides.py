"""The models of `benchmarks.serving`, a plain servicer around them, and the model without a server.

    python -m benchmarks.serving_sides models DIR
    python -m benchmarks.serving_sides plain BASE THREADS
    python -m benchmarks.serving_sides inside BASE ROWS SECONDS WARM_SECONDS

`plain` is the servicer of the tutorials around a session of version 1 below BASE; it announces its port as our server
does. `inside` prints one line of JSON: the rows/s of the model in batches of ROWS, after a warm-up as of the callers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.timing import time_side

SMALL, HEAVY = "small", "heavy"
WIDTHS = {SMALL: 784, HEAVY: 2048}
LAYERS = 128
KEY = "serving_default"


class _Small(tf.Module):
    """A dense network as for Fashion-MNIST: 784, 128, 10."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = tf.Variable(tf.random.stateless_normal([WIDTHS[SMALL], 128], [1, 2]) * 0.05)
        self.last = tf.Variable(tf.random.stateless_normal([128, 10], [3, 4]) * 0.1)

    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.nn.softmax(tf.nn.relu(x @ self.hidden) @ self.last)}


class _Heavy(tf.Module):
    """A network of 1.1 billion operations per row that uses the same 16 MB of weights in each layer.

    MobileNetV2 has 0.6 billion, InceptionV3 11. A single row waits for memory, a batch computes.
    """

    def __init__(self) -> None:
        super().__init__()
        width = WIDTHS[HEAVY]
        self.weights = tf.Variable(tf.random.stateless_normal([width, width], [5, 6]) / width**0.5)

    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        for _ in range(LAYERS):
            x = tf.nn.relu(x @ self.weights) * 1.4
        return {"y": tf.reduce_mean(x, axis=1)}


class _Plain(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, folder: str) -> None:
        self._session, self._signature = _session(folder)

    def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> predict_pb2.PredictResponse:  # noqa: N802
        feeds = {self._signature.inputs[name].name: tf.make_ndarray(sent) for name, sent in request.inputs.items()}
        found = self._session.run({name: info.name for name, info in self._signature.outputs.items()}, feeds)
        response = predict_pb2.PredictResponse()
        for name, value in found.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


def request(name: str) -> bytes:
    """Return a serialized PredictRequest for one row of a model."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    row = np.random.default_rng(1).random([1, WIDTHS[name]], np.float32)
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(row))
    return bytes(message.SerializeToString())


def _write(folder: Path) -> None:
    for name, module in ((SMALL, _Small()), (HEAVY, _Heavy())):
        spec = tf.TensorSpec([None, WIDTHS[name]], tf.float32, name="x")
        signature = tf.function(module.call).get_concrete_function(spec)
        tf.saved_model.save(module, str(folder / name / "1"), signatures={KEY: signature})
        (folder / f"{name}.request").write_bytes(request(name))


def _session(base: str) -> tuple[tf.compat.v1.Session, meta_graph_pb2.SignatureDef]:
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(Path(base) / "1"))
    return session, loaded.signature_def[KEY]


def _serve(base: str, threads: int) -> None:
    server = grpc.server(ThreadPoolExecutor(threads))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Plain(base), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"Running gRPC ModelServer at 127.0.0.1:{port} ...", flush=True)
    server.wait_for_termination()


def _inside(base: str, rows: int, seconds: float, warm_s: float) -> dict[str, float]:
    session, signature = _session(base)
    (info,), fetches = signature.inputs.values(), [output.name for output in signature.outputs.values()]
    batch = np.random.default_rng(1).random([rows, info.tensor_shape.dim[1].size], np.float32)

    def calls() -> Generator[int, None, None]:
        while True:
            session.run(fetches, {info.name: batch})
            yield rows

    return {"requests_s": time_side(calls, warm_s, seconds).rate}


if __name__ == "__main__":
    if sys.argv[1] == "models":
        _write(Path(sys.argv[2]))
    elif sys.argv[1] == "plain":
        _serve(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(_inside(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))))
