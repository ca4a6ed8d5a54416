"""The server as a process: its error texts, its versions, its command line."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving.server.rpc_error import Fault
from serving.server.saved_model.saved_model_bundle import SavedModelBundle
from tests.serving.server.helpers import publish, refused, wait_until

Code = grpc.StatusCode
Shape = tensor_shape_pb2.TensorShapeProto
ONE = tf.make_tensor_proto([1.0])
VALUES = np.array([0.0, 1.0, 100.0], np.float32)


class ServerClient:
    """Calls one server through its gRPC port."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.prediction, self.model = server.stubs()

    def predict(
        self,
        inputs: dict[str, tensor_pb2.TensorProto] | None = None,
        outputs: tuple[str, ...] = (),
        timeout: float = 20,
        **spec: Any,
    ) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest(output_filter=outputs)
        number = spec.pop("version", None)
        for key, value in ({"name": "m"} | spec).items():
            setattr(request.model_spec, key, value)
        if number is not None:
            request.model_spec.version.value = number
        for alias, tensor in ({"x": ONE} if inputs is None else inputs).items():
            request.inputs[alias].CopyFrom(tensor)
        return self.prediction.Predict(request, timeout=timeout)

    def status(self, name: str = "m", number: int | None = None) -> list[tuple[int, str, int, str]]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if number is not None:
            request.model_spec.version.value = number
        state = get_model_status_pb2.ModelVersionStatus.State.Name
        return [
            (entry.version, state(entry.state), entry.status.error_code, entry.status.error_message)
            for entry in self.model.GetModelStatus(request, timeout=20).model_version_status
        ]

    def await_states(self, **expected: str) -> None:
        """Wait until `v1="END"` and so on hold for exactly these versions."""
        wait_until(lambda: self._states() == expected, self._states)

    def _states(self) -> dict[str, str]:
        return {f"v{number}": state for number, state, *_ in self.status()}


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerClient]:
    """A server of 2x + 1, version 5, that practically never polls."""
    base = tmp_path_factory.mktemp("client")
    publish(numbers(1.0), base, 5)
    yield ServerClient(serve(base, poll=1000))


def proto(**fields: Any) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(**fields)


def shape(*sizes: int) -> Any:
    return Shape(dim=[Shape.Dim(size=size) for size in sizes])


# --- finding the model ---


def test_no_model_spec(client: ServerClient) -> None:
    assert refused(client.prediction.Predict, predict_pb2.PredictRequest()) == (
        Code.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )
    assert refused(client.model.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()) == (
        Code.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        ({"name": "", "version": 9}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ({"version_label": "old"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: old"),
        ({"name": "n", "version_label": "a"}, Code.INVALID_ARGUMENT, "Unrecognized servable version label: a"),
        ({"name": "n"}, Code.NOT_FOUND, "Servable not found for request: Latest(n)"),
        ({"version": 0}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 0)"),
        ({"name": "n", "version": 5}, Code.NOT_FOUND, "Servable not found for request: Specific(n, 5)"),
    ],
)
def test_model_is_looked_up_before_all_else(
    client: ServerClient, spec: dict[str, Any], code: grpc.StatusCode, text: str
) -> None:
    wrong = {"inputs": {"q": ONE, "r": ONE}, "signature_name": "no", "outputs": ("no",)}
    assert refused(client.predict, **wrong, **spec) == (code, text)


# --- Predict: checks ---


def test_signature_is_looked_up_before_the_inputs(client: ServerClient) -> None:
    assert refused(client.predict, {}, ("no",), signature_name="no") == (
        Code.FAILED_PRECONDITION,
        'Serving signature key "no" not found.',
    )


def test_long_text_is_cut(client: ServerClient) -> None:
    code, text = refused(client.predict, signature_name="n" * 2000)
    assert code is Code.FAILED_PRECONDITION
    assert text == ('Serving signature key "' + "n" * 2000)[:1024] + "...TRUNCATED"


@pytest.mark.parametrize(
    ("signature", "sent", "text"),
    [
        (
            "serving_default",
            ("x", "z", "q"),
            "input size does not match signature: 3!=1 len({q,x,z}) != len({x}). Sent extra: {q,z}. "
            "Missing but required: {}.",
        ),
        (
            "two",
            ("b",),
            "input size does not match signature: 1!=2 len({b}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {a}.",
        ),
        (
            "two",
            (),
            "input size does not match signature: 0!=2 len({}) != len({a,b}). Sent extra: {}. "
            "Missing but required: {a,b}.",
        ),
        (
            "two_defaults",
            ("a", "b", "c"),
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. "
            "Missing but required: {}.",
        ),
        (
            "serving_default",
            ("z",),
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (
            "two_defaults",
            ("a",),
            "Signature input alias: b(feed name: two_b:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a}, or default input alias set: a",
        ),
        (
            "serving_default_defaults",
            ("z",),
            "Inputs contains invalid name. Used request inputs: , request input: z",
        ),
        (
            "two_defaults",
            ("b", "c"),
            "Inputs contains invalid name. Used request inputs: b, request input: b,c",
        ),
    ],
)
def test_input_names(client: ServerClient, signature: str, sent: tuple[str, ...], text: str) -> None:
    inputs = dict.fromkeys(sent, ONE)
    assert refused(client.predict, inputs, ("no",), signature_name=signature) == (Code.INVALID_ARGUMENT, text)


def test_defaults_fill_what_is_missing(client: ServerClient) -> None:
    assert client.predict({}, signature_name="serving_default_defaults").outputs["y"].float_val[:] == [15.0]
    assert client.predict(signature_name="serving_default_defaults").outputs["y"].float_val[:] == [3.0]
    assert client.predict({"b": ONE}, signature_name="two_defaults").outputs["sum"].float_val[:] == [8.0]


def test_metadata_has_the_defaults(client: ServerClient) -> None:
    """The reference omits them only in tfrt_servable.cc; the serving code is get_model_metadata_impl.cc."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert client.prediction.GetModelMetadata(request, timeout=20).metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["two_defaults"].defaults["a"] == tf.make_tensor_proto([7.0])


@pytest.mark.parametrize(
    "tensor",
    [
        proto(dtype=0, tensor_shape=shape(1), float_val=[1]),
        proto(dtype=1, tensor_shape=shape(3), tensor_content=b"12345"),
        proto(dtype=1, tensor_shape=shape(-1), float_val=[1]),
        proto(dtype=99, tensor_shape=shape(1)),
    ],
    ids=["no dtype", "content length", "open shape", "unknown dtype"],
)
def test_tensor_that_does_not_parse(client: ServerClient, tensor: tensor_pb2.TensorProto) -> None:
    assert refused(client.predict, {"x": tensor}, ("no",)) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")


def test_output_filter(client: ServerClient) -> None:
    assert refused(client.predict, outputs=("y", "no")) == (
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: no Outputs expected to be in the set {total,y}.",
    )
    assert refused(client.predict, outputs=("y", "y")) == (
        Code.INVALID_ARGUMENT,
        "duplicate output tensor alias: y",
    )
    assert set(client.predict(outputs=("y",)).outputs) == {"y"}
    assert set(client.predict().outputs) == {"total", "y"}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([b"a"], object), "string"),
        (np.array([1.0]), "double"),
        (np.array([1], np.int32), "int32"),
        (np.array([1], np.int64), "int64"),
    ],
)
def test_run_faults_of_dtype(client: ServerClient, values: NDArray[Any], dtype: str) -> None:
    assert refused(client.predict, {"x": tf.make_tensor_proto(values)}) == (
        Code.INVALID_ARGUMENT,
        f"Expects arg[0] to be float but {dtype} is provided",
    )


def test_run_faults_of_shape(client: ServerClient) -> None:
    code, text = refused(
        client.predict, {"x": tf.make_tensor_proto(np.ones([1, 2], np.float32))}, signature_name="product"
    )
    assert code is Code.INVALID_ARGUMENT
    assert text.startswith("Matrix size-incompatible: In[0]: [1,2], In[1]: [4,2]\n\t [[{{")


@pytest.mark.parametrize(
    ("example", "text"),
    [
        ({}, "Name: <unknown>, Feature: x (data type: float) is required but could not be found.\n\t [[{{"),
        (
            {"x": tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))},
            "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float"
            "\n\t [[{{",
        ),
        (b"garbage", "Could not parse example input, value: 'garbage'\n\t [[{{"),
        (b"\xff\xfe", "Could not parse example input, value: '\ufffd\ufffd'\n\t [[{{"),
    ],
    ids=["missing", "other type", "garbage", "garbage that is no text"],
)
def test_run_faults_of_examples(client: ServerClient, example: dict[str, tf.train.Feature] | bytes, text: str) -> None:
    if isinstance(example, dict):
        example = tf.train.Example(features=tf.train.Features(feature=example)).SerializeToString()
    code, details = refused(client.predict, {"inputs": tf.make_tensor_proto([example])}, signature_name="parse")
    assert code is Code.INVALID_ARGUMENT
    assert details.startswith(text)


def test_deadline_ends_the_run_and_not_the_server(client: ServerClient) -> None:
    endless = {"turns": tf.make_tensor_proto([2**62])}
    assert refused(client.predict, endless, timeout=0.3, signature_name="spin")[0] is Code.DEADLINE_EXCEEDED
    assert client.predict().outputs["y"].float_val[:] == [3.0]


# --- Predict: answers ---


@pytest.mark.parametrize(
    ("tensor", "answer", "sizes"),
    [
        (proto(dtype=1, tensor_shape=shape(3), float_val=[1, 2, 3]), [3, 5, 7], [3]),
        (proto(dtype=1, tensor_shape=shape(2), tensor_content=np.array([1, 2], np.float32).tobytes()), [3, 5], [2]),
        (proto(dtype=1, tensor_shape=shape(4), float_val=[1, 2]), [3, 5, 5, 5], [4]),
        (proto(dtype=1, tensor_shape=shape(3), float_val=[2]), [5, 5, 5], [3]),
        (proto(dtype=1, tensor_shape=shape(2)), [1, 1], [2]),
        (proto(dtype=1, tensor_shape=shape(1), float_val=[1, 2, 3]), [3], [1]),
        (proto(dtype=1, tensor_shape=Shape(unknown_rank=True), float_val=[4]), [9], []),
        (proto(dtype=1, float_val=[4]), [9], []),
        (proto(dtype=1, tensor_shape=shape(0)), [], [0]),
        (proto(dtype=1, tensor_shape=shape(1, 2), float_val=[1, 2]), [3, 5], [1, 2]),
    ],
    ids=["values", "content", "last", "one", "zeros", "surplus", "unknown rank", "scalar", "empty", "other rank"],
)
def test_tensors_are_read(
    client: ServerClient, tensor: tensor_pb2.TensorProto, answer: list[float], sizes: list[int]
) -> None:
    got = client.predict({"x": tensor}).outputs["y"]
    assert got.float_val[:] == answer
    assert [dim.size for dim in got.tensor_shape.dim] == sizes
    assert not got.tensor_shape.unknown_rank and not got.tensor_content


def test_outputs_come_as_content_with_the_flag(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    """PostProcessPredictionResult of tensorflow_serving/servables/tensorflow/predict_util.cc."""
    publish(numbers(1.0), tmp_path, 1)
    outputs = (
        ServerClient(serve(tmp_path, "m", "--enable_serialization_as_tensor_content"))
        .predict({"x": tf.make_tensor_proto([1.0, 20.0])}, signature_name="typed")
        .outputs
    )
    assert (
        outputs["float32"].tensor_content == np.array([1, 20], np.float32).tobytes()
        and not outputs["float32"].float_val
    )
    assert outputs["string"].tensor_content == b"\x01\x02" + b"120" and not outputs["string"].string_val
    assert [dim.size for dim in outputs["string"].tensor_shape.dim] == [2]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("float16", "half_val"),
        ("bfloat16", "half_val"),
        ("float32", "float_val"),
        ("float64", "double_val"),
        ("int8", "int_val"),
        ("int16", "int_val"),
        ("int32", "int_val"),
        ("int64", "int64_val"),
        ("uint8", "int_val"),
        ("uint16", "int_val"),
        ("uint32", "uint32_val"),
        ("uint64", "uint64_val"),
        ("bool", "bool_val"),
        ("complex64", "scomplex_val"),
        ("string", "string_val"),
    ],
)
def test_every_dtype_answers_in_its_typed_field(client: ServerClient, kind: str, field: str) -> None:
    got = client.predict({"x": tf.make_tensor_proto(VALUES)}, (kind,), signature_name="typed").outputs[kind]
    assert [name.name for name, _ in got.ListFields()] == ["dtype", "tensor_shape", field]
    if kind == "string":
        assert got.string_val[:] == [b"0", b"1", b"100"]
    else:
        assert got.dtype == tf.as_dtype(kind).as_datatype_enum
        np.testing.assert_array_equal(tf.make_ndarray(got), VALUES.astype(tf.as_dtype(kind).as_numpy_dtype))


def test_answer_names_model_version_and_signature(client: ServerClient) -> None:
    for options in ({}, {"version": 5}, {"signature_name": "serving_default"}):
        spec = client.predict(**options).model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("m", 5, "serving_default")
        assert spec.WhichOneof("version_choice") == "version"


def test_messages_above_grpc_s_default_of_four_megabytes(client: ServerClient) -> None:
    many = np.zeros(1_500_000, np.float32)
    assert client.predict({"x": tf.make_tensor_proto(many)}, ("total",)).outputs["total"].float_val[:] == [0.0]


# --- status, and the rest ---


def test_status(client: ServerClient) -> None:
    assert client.status() == client.status(number=5) == [(5, "AVAILABLE", 0, "")]
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version_label = "m", "ignored"
    (entry,) = client.model.GetModelStatus(request).model_version_status
    assert entry.version == 5 and entry.HasField("status")


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("n", None, "Could not find any versions of model n"),
        ("", None, "Could not find any versions of model "),
        ("m", 4, "Could not find version 4 of model m"),
        ("n", 5, "Could not find version 5 of model n"),
    ],
)
def test_status_of_what_is_not_there(client: ServerClient, name: str, number: int | None, text: str) -> None:
    assert refused(client.status, name, number) == (Code.NOT_FOUND, text)


def test_taken_port(
    client: ServerClient, serve: Callable[..., Any], tmp_path: Path, numbers: Callable[[float], Path]
) -> None:
    publish(numbers(1.0), tmp_path / "base", 1)
    port = client.server.address().rsplit(":", 1)[1]
    second = serve(tmp_path / "base", "m", f"--port={port}")
    assert second.process.wait(timeout=60) == 255
    assert second.is_silent()
    second.error_line("Failed to start server. Error: UNKNOWN: ")


def test_ends_cleanly_on_ctrl_c_and_logs_no_request(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    publish(numbers(1.0), tmp_path / "base", 5)
    client = ServerClient(serve(tmp_path / "base", poll=1000))
    assert client.predict().outputs["y"].float_val[:] == [3.0]
    endless = {"turns": tf.make_tensor_proto([2**62])}
    assert refused(client.predict, endless, timeout=0.3, signature_name="spin")[0] is Code.DEADLINE_EXCEEDED
    wrong: list[dict[str, Any]] = [
        {"name": "n"},
        {"version_label": "old"},
        {"signature_name": "no"},
        {"inputs": {"x": tf.make_tensor_proto([1])}},
        {"inputs": {"x": tf.make_tensor_proto(np.ones([1, 2], np.float32))}, "signature_name": "product"},
    ]
    for options in wrong:
        refused(client.predict, **options)
    refused(client.status, "n")
    assert client.server.stop(signal.SIGINT) == 0
    lines = client.server.remaining_lines()
    assert len(lines) == 1 and "Successfully loaded servable version {name: m version: 5}" in lines[0]


# --- the life of a server ---


@contextmanager
def under_load(client: ServerClient) -> Iterator[set[tuple[int, float]]]:
    """Send requests from three threads until the end of the block, and expect that none fails.

    Yields:
      The answers so far, each a version with its y; the set grows.
    """
    answers: set[tuple[int, float]] = set()
    faults: list[Exception] = []
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            try:
                answer = client.predict()
                answers.add((answer.model_spec.version.value, answer.outputs["y"].float_val[0]))
            except grpc.RpcError as error:
                faults.append(error)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert faults == []


def test_port_opens_with_the_first_version(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    server = serve(base, "m")
    line = server.error_line("No versions of servable m")
    assert line.strip().endswith(
        f"No versions of servable m found under base path {base}. "
        "Did you forget to name your leaf directory as a number (eg. '/1/')?"
    )
    server.error_line("No versions of servable m")
    assert server.is_silent(), "the port must not open before the first version is there"
    publish(numbers(1.0), base, 1)
    assert ServerClient(server).predict().model_spec.version.value == 1


def test_versions_come_and_go_under_load(
    serve: Callable[..., Any], numbers: Callable[[float], Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    publish(numbers(1.0), base, 1)
    server = serve(base, "m", "--max_num_load_retries=0")
    client = ServerClient(server)
    with under_load(client) as answers:
        wait_until(lambda: answers == {(1, 3.0)})
        publish(numbers(2.0), base, 2)
        client.await_states(v1="END", v2="AVAILABLE")
        (tmp_path / "broken").mkdir()
        publish(tmp_path / "broken", base, 3)
        client.await_states(v1="END", v2="AVAILABLE", v3="END")
        wait_until(lambda: (2, 4.0) in answers)
        (base / "3").rmdir()
        shutil.rmtree(base / "2")
        client.await_states(v1="AVAILABLE", v2="END", v3="END")
    assert answers == {(1, 3.0), (2, 4.0)}
    assert refused(client.predict, version=2) == (Code.NOT_FOUND, "Servable not found for request: Specific(m, 2)")
    assert client.status() == [
        (
            3,
            "END",
            5,
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`saved_model.pb`)\nSpecified file path: {base}/3",
        ),
        (2, "END", 0, ""),
        (1, "AVAILABLE", 0, ""),
    ]

    shutil.rmtree(base / "1")
    client.await_states(v1="END", v2="END", v3="END")
    assert refused(client.predict) == (Code.NOT_FOUND, "Servable not found for request: Latest(m)")
    assert server.stop(signal.SIGTERM) == 0


def test_broken_saved_models(numbers: Callable[[float], Path], tmp_path: Path) -> None:
    for name in ("garbage", "untagged", "no_variables"):
        shutil.copytree(numbers(1.0), tmp_path / name)
    (tmp_path / "garbage" / "saved_model.pb").write_bytes(b"\xff\xff no proto")
    (tmp_path / "untagged" / "saved_model.pb").write_bytes(b"")
    shutil.rmtree(tmp_path / "no_variables" / "variables")
    for name, text in (
        ("garbage", f"DATA_LOSS: Can't parse {tmp_path}/garbage/saved_model.pb as binary proto"),
        ("untagged", "NOT_FOUND: Could not find meta graph def matching supplied tags: { serve }"),
        ("no_variables", "NOT_FOUND: "),
    ):
        with pytest.raises(Fault) as caught:
            SavedModelBundle(str(tmp_path / name))
        assert str(caught.value).startswith(text)


def test_first_version_that_does_not_load_ends_the_server(serve: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    server = serve(tmp_path, "m", "--no_such_flag=1", "--max_num_load_retries=0")
    server.error_line("unknown argument: --no_such_flag=1")
    assert server.error_line("Failed to start server").startswith(
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: {{{name: m version: 1} due to "
        "error: NOT_FOUND: Specified file path does not appear to contain a SavedModel bundle"
    )
    assert server.process.wait(timeout=30) == 255
    assert server.is_silent()


def test_waiting_server_stops_on_sigterm(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve(tmp_path, poll=1000)
    server.error_line("No versions of servable m")
    assert server.stop(signal.SIGTERM) == 0


def test_its_first_line_is_its_own(tmp_path: Path) -> None:
    """TensorFlow 2.21 prints lines during its import at every log level."""
    command = [sys.executable, "-m", "serving.server", "--port=0", "--model_name=m", f"--model_base_path={tmp_path}"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None and "No versions of servable m" in server.stderr.readline()
    finally:
        server.kill()
        server.wait()


def test_base_path_is_required() -> None:
    command = [sys.executable, "-m", "serving.server", "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 255
    assert done.stdout == ""
    assert done.stderr == (
        "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!\n"
    )
