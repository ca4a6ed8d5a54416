"""Run the programs of `examples/client` as their README says, and compare their answers with the Python client's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_service_pb2_grpc

from data.spec import Image
from tests import PROJECT
from tests.conftest import encode_picture, smooth_pixels
from tests.exported import export_pictures
from tests.serving.conftest import Rest, Server

EXAMPLE = PROJECT / "examples" / "client"
FILES = ("rose.jpg", "tulip.jpg")
NEEDED = {"curl": ("bash", "curl", "jq"), "Node": ("node", "npm")}
ANSWER = re.compile(r"(\S+) (\w+) \(([\d.]+)\)")
Run = Callable[..., subprocess.CompletedProcess[str]]


def _commands(section: str) -> list[str]:
    """Return the commands of a section of the README, without their comments."""
    text = (EXAMPLE / "README.md").read_text().partition(f"\n## {section}\n")[2]
    block = text.partition("```bash\n")[2].partition("```")[0]
    return [line.partition("   #")[0].strip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, with pictures."""
    copy = tmp_path_factory.mktemp("work") / "client"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    for seed, name in enumerate(FILES):  # dark pictures: the model has no Rescaling, and its scores would be 0 and 1
        (copy / name).write_bytes(encode_picture(smooth_pixels(seed) // 64, "JPEG"))
    (copy / "page.jpg").write_text("<html><body>Not found</body></html>")
    return copy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    base = tmp_path_factory.mktemp("base")
    keras.utils.set_random_seed(4)  # one answer for each picture
    export_pictures(base / "1", Image(8, 8), ("daisy", "rose", "tulip"))
    rest = Rest(Server, base, "flowers")
    yield rest
    rest.server.stop()


@pytest.fixture(scope="module")
def run(folder: Path, server: Rest) -> Run:
    """Run a command of the README against the server, with some of its texts changed."""

    def call(command: str, changed: Mapping[str, str] = MappingProxyType({})) -> subprocess.CompletedProcess[str]:
        ports = {"localhost:8500": server.server.address(), "localhost:8501": f"127.0.0.1:{server.port}"}
        for old, new in (*changed.items(), *ports.items()):
            command = command.replace(old, new)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)}
        options: dict[str, Any] = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
        return subprocess.run(["bash", "-c", command], timeout=120, **options)

    return call


@pytest.fixture(scope="module", params=list(NEEDED))
def ask(request: pytest.FixtureRequest, run: Run) -> str:
    """Command of a program that asks the server, after the installation of what it needs."""
    missing = [name for name in NEEDED[request.param] if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    *install, command = [line for line in _commands(request.param) if not line.startswith("curl ")]
    for line in install:
        done = run(line)
        if re.search("ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENETUNREACH", done.stderr):
            pytest.skip(f"no network for: {line}")
        assert done.returncode == 0, done.stderr
    return command


def _read(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str, float]]:
    assert (done.returncode, done.stderr) == (0, "")
    found = [ANSWER.fullmatch(line) for line in done.stdout.splitlines()]
    return [(one[1], one[2], float(one[3])) for one in found if one]


@pytest.mark.slow
def test_the_answers_are_those_of_python(ask: str, run: Run) -> None:
    expected = _read(run(_commands("Python")[-1]))
    assert [file for file, _, _ in expected] == list(FILES)
    assert len({label for _, label, _ in expected}) == len({score for *_, score in expected}) == len(FILES)
    answers = _read(run(ask))
    assert [one[:2] for one in answers] == [one[:2] for one in expected]
    assert [one[2] for one in answers] == pytest.approx([one[2] for one in expected], abs=0.011)  # two digits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"rose.jpg": "page.jpg"}, "Unknown image file format"),
        ({"rose.jpg": "none.jpg"}, "none.jpg"),
        ({"flowers": "trees"}, "error: Servable not found for request: Latest(trees)"),
        ({"localhost:8500": "localhost:1", "localhost:8501": "localhost:1"}, "connect"),
    ],
    ids=["page", "file", "model", "server"],
)
def test_a_fault_is_one_line(ask: str, run: Run, changed: dict[str, str], text: str) -> None:
    done = run(ask, changed)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert text in line
    assert "{{" not in line


@pytest.mark.slow
def test_curl_shows_status_and_metadata(run: Run) -> None:
    if missing := [name for name in NEEDED["curl"] if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    status, metadata = (run(line) for line in _commands("curl") if line.startswith("curl "))
    assert (status.stdout, status.stderr) == ("AVAILABLE\n", "")
    assert {"serving_default", "serving_examples"} <= set(json.loads(metadata.stdout))


def test_the_proto_is_that_of_tensorflow_serving(tmp_path: Path) -> None:
    """The same fields and values by name, number and type; and the same method."""
    output = tmp_path / "compiled"
    # In a process of its own: beside TensorFlow, which has its own protobuf, the compiler crashes.
    compile_proto = [sys.executable, "-m", "grpc_tools.protoc", f"-I{EXAMPLE}", f"--descriptor_set_out={output}"]
    subprocess.run([*compile_proto, "prediction.proto"], check=True)
    (ours,) = FileDescriptorSet.FromString(output.read_bytes()).file
    theirs = [predict_pb2, model_pb2, tensor_pb2, tensor_shape_pb2, types_pb2]
    files = [FileDescriptorProto.FromString(one.DESCRIPTOR.serialized_pb) for one in theirs]
    assert _fields(ours.message_type) <= set().union(*(_fields(one.message_type) for one in files))
    assert _values(ours) <= set().union(*(_values(one) for one in files))
    (service,) = ours.service
    real = _Paths()
    prediction_service_pb2_grpc.PredictionServiceStub(real)  # the module of the service itself fails with protobuf 6
    assert {f"/{ours.package}.{service.name}/{one.name}" for one in service.method} <= real.paths


class _Paths:
    """A channel that notes the paths of a stub's methods."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def unary_unary(self, path: str, *args: object, **kwargs: object) -> None:
        self.paths.add(path)


def _fields(messages: Iterable[DescriptorProto], outer: str = "") -> set[tuple[str, str, int, int, int]]:
    found: set[tuple[str, str, int, int, int]] = set()
    for message in messages:
        name = f"{outer}{message.name}"
        found |= {(name, one.name, one.number, one.type, one.label) for one in message.field}
        found |= _fields(message.nested_type, f"{name}.")
    return found


def _values(file: FileDescriptorProto) -> set[tuple[str, str, int]]:
    return {(enum.name, one.name, one.number) for enum in file.enum_type for one in enum.value}
