"""Bad clients on both ports: the server answers or drops each of them, and continues to serve the good ones."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from data.images.ops import decode_batch
from data.spec import Classes, Image
from serving.export import saved_model

SHAPE = (8, 8, 3)
CLASSES = ("dark", "light")
PREDICTION, MODELS = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
# Codes that an answer may have. UNKNOWN is not one of them: it means that a handler raised an exception.
ANSWERS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "INTERNAL", "DATA_LOSS"}


class Decoded(tf.Module):
    """Decodes pictures as every exported image model does."""

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**raw, "image": decode_batch(raw["image"], Image(*SHAPE))}


class Abused:
    """A server with both ports, batching, and a model that separates light pictures from dark ones."""

    def __init__(self, rest: Any, good: bytes) -> None:
        self.rest, self.good, self.address = rest, good, rest.server.address()
        self.channel = grpc.insecure_channel(self.address)

    def predict(self, *pictures: bytes, timeout: float = 20) -> predict_pb2.PredictResponse:
        call = self.channel.unary_unary(
            f"{PREDICTION}Predict", response_deserializer=predict_pb2.PredictResponse.FromString
        )
        return call(request(*pictures).SerializeToString(), timeout=timeout)

    def check_alive(self) -> None:
        """Check that the server still answers correctly on both ports."""
        assert self.rest.server.process.poll() is None
        scores = self.predict(self.good).outputs["scores"].float_val
        assert scores[1] > 0.5 > scores[0]
        reply = self.rest.ask("GET", "/v1/models/m")
        assert reply.status == 200 and "AVAILABLE" in reply.body.decode()

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.rest.server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def request(*pictures: bytes) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "m"
    message.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(pictures)))
    return message


@pytest.fixture(scope="module")
def abused(
    serve_rest: Callable[..., Any], encode: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Abused]:
    base = tmp_path_factory.mktemp("abused")
    layers = [keras.Input(SHAPE, dtype="uint8"), keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")])
    model.layers[-1].bias.assign([-1.5])
    saved_model.write(
        saved_model.ModelExport(model, Decoded(), Image(*SHAPE), Classes(CLASSES), CLASSES), str(base / "m" / "1")
    )
    started = Abused(
        serve_rest(base / "m", "m", "--enable_batching", "--grpc_max_threads=32"),
        encode(np.full(SHAPE, 250, np.uint8), "PNG"),
    )
    started.check_alive()
    yield started
    started.channel.close()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Cut, change, duplicate or fill with noise some part of the content."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                del data[place:]
            case 1:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 20))
            case 3:
                del data[place : place + rng.randint(1, 20)]
            case 4:
                data[place:place] = data[: rng.randint(1, 60)]
    return bytes(data)


def valid(good: bytes) -> dict[str, Any]:
    """Return a valid request for each RPC, by the RPC's path."""
    example = tf.train.Example(
        features=tf.train.Features(feature={"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[good]))})
    )

    def of_examples(kind: type) -> Any:
        message = kind()
        message.model_spec.name, message.model_spec.signature_name = "m", "serving_examples"
        message.input.example_list.examples.append(example)
        return message

    several = inference_pb2.MultiInferenceRequest()
    task = several.tasks.add(method_name="tensorflow/serving/classify")
    task.model_spec.name, task.model_spec.signature_name = "m", "serving_examples"
    several.input.example_list.examples.append(example)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "m"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    return {
        f"{PREDICTION}Predict": request(good),
        f"{PREDICTION}Classify": of_examples(classification_pb2.ClassificationRequest),
        f"{PREDICTION}Regress": of_examples(regression_pb2.RegressionRequest),
        f"{PREDICTION}MultiInference": several,
        f"{PREDICTION}GetModelMetadata": metadata,
        f"{MODELS}GetModelStatus": status,
    }


def test_fuzzed_messages_are_answered(abused: Abused) -> None:
    rng = random.Random(7)
    seen: dict[str, set[str]] = {}
    for path, message in valid(abused.good).items():
        content, call = message.SerializeToString(), abused.channel.unary_unary(path)
        for turn in range(240):  # protobuf refuses most of them before they reach a method
            try:
                call(rng.randbytes(rng.randint(0, 200)) if turn % 4 == 0 else mutated(content, rng), timeout=20)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
            seen.setdefault(path, set()).add(code)
        abused.check_alive()
    assert set().union(*seen.values()) <= ANSWERS, seen
    assert all(len(codes) > 1 for codes in seen.values()), f"the fuzz does not reach far: {seen}"


def test_reload_with_noise_changes_nothing(abused: Abused) -> None:
    rng = random.Random(8)
    wanted = model_management_pb2.ReloadConfigRequest()
    wanted.config.model_config_list.config.add(name="other", model_platform="tensorflow")  # refused: no base path
    call = abused.channel.unary_unary(f"{MODELS}HandleReloadConfigRequest")
    for content in (wanted.SerializeToString(), b"\x0a\xff", b"\x0a\x02\x0a", rng.randbytes(50)):
        with pytest.raises(grpc.RpcError):
            call(content, timeout=20)
    abused.check_alive()


def test_fuzzed_pictures_are_refused_or_answered(abused: Abused, encode: Callable[..., bytes]) -> None:
    rng, pixels = random.Random(9), np.random.default_rng(9).integers(0, 256, (20, 30, 3), np.uint8)
    files = [encode(pixels, kind) for kind in ("PNG", "JPEG", "GIF", "BMP")]
    answered = refused = 0
    for turn in range(300):
        try:
            abused.predict(mutated(files[turn % 4], rng))
            answered += 1
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
            refused += 1
    assert answered and refused
    abused.check_alive()


def test_fuzzed_json_is_answered(abused: Abused) -> None:
    rng = random.Random(10)
    content = json.dumps({"instances": [{"b64": "iVBORw0KGgo="}, {"b64": ""}], "signature_name": "serving_default"})
    for _ in range(150):
        reply = abused.rest.ask("POST", "/v1/models/m:predict", mutated(content.encode(), rng))
        assert reply.status in (200, 400) and reply.body
    abused.check_alive()


def test_pictures_that_decode_to_gigabytes(abused: Abused, encode: Callable[..., bytes]) -> None:
    bomb = encode(Pillow.new("1", (12_000, 12_000)), "PNG")
    assert len(bomb) < 30_000
    before = abused.memory_mb()
    for pictures in ([bomb], [bomb] * 20, [abused.good, bomb]):
        with pytest.raises(grpc.RpcError) as caught:
            abused.predict(*pictures)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "a picture claims more than" in caught.value.details()
    abused.check_alive()
    assert abused.memory_mb() - before < 200


def test_a_tensor_of_a_claimed_terabyte(abused: Abused) -> None:
    huge = request(abused.good)
    for sizes in ([2**40], [2**31, 2**31, 2**31], [-5], [2**62, 4]):
        huge.inputs["image_bytes"].tensor_shape.Clear()
        for size in sizes:
            huge.inputs["image_bytes"].tensor_shape.dim.add(size=size)
        with pytest.raises(grpc.RpcError) as caught:
            abused.channel.unary_unary(f"{PREDICTION}Predict")(huge.SerializeToString(), timeout=60)
        assert caught.value.code().name in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}, (sizes, caught.value)
    abused.check_alive()


def test_slow_and_vanishing_clients(abused: Abused) -> None:
    host, port = abused.address.rsplit(":", 1)
    held = []
    for number in range(40):  # nothing, half a preface, or a frame of noise; all stay connected
        peer = socket.create_connection((host, int(port)))
        peer.sendall((b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(60)))[number % 3])
        held.append(peer)
    for number in range(20):
        peer = socket.create_connection(("127.0.0.1", abused.rest.port))
        peer.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{"[: 10 + 3 * number])
        held.append(peer)
    abused.check_alive()
    call = abused.channel.unary_unary(f"{PREDICTION}Predict")
    content = request(*[abused.good] * 50).SerializeToString()
    for future in [call.future(content, timeout=20) for _ in range(20)]:
        future.cancel()
    abused.check_alive()
    for peer in held:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        peer.close()
    abused.check_alive()
