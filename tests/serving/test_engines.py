"""`skewless serve`: the server it chooses, the reason it prints, and the server's command line.

These tests have neither tensorflow_model_server nor a Docker engine. A stub of the same name on a separate PATH
replaces them: it shows that the look-up and the command line are right, but not what the real programs do with it. The
embedded server is started and called for real.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import ServingError
from serving import engines
from serving.client import Client
from serving.engines import ServeOptions
from tests.pipeline.conftest import COMMAND, environment

DOCKER = 'case "$1" in info) echo 24.0.7;; *) printf "%s\\n" "$0" "$@";; esac'


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def stub(folder: Path, name: str, script: str = 'printf "%s\\n" "$0" "$@"') -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_auto_prefers_the_program_then_docker_then_the_embedded_server(on_path: Path) -> None:
    def chosen() -> engines.Engine:
        return engines.choose_engine("auto", "m", "/models/m", ServeOptions())

    embedded = chosen()
    assert embedded.command[:3] == (sys.executable, "-m", "serving.server")
    assert embedded.about == "the embedded server (tensorflow_model_server is not on PATH; docker is not on PATH)"
    docker = stub(on_path, "docker", "echo cannot connect >&2; exit 1")
    assert chosen().command == embedded.command
    assert chosen().about == (
        "the embedded server (tensorflow_model_server is not on PATH; no Docker engine is running)"
    )
    stub(on_path, "docker", DOCKER)
    assert chosen().command[0] == docker
    assert chosen().about == (
        "tensorflow/serving:2.21.0 in Docker (tensorflow_model_server is not on PATH; Docker 24.0.7 is running)"
    )
    program = stub(on_path, "tensorflow_model_server")
    assert chosen().command[0] == program
    assert chosen().about == f"{program} (found on PATH); it listens on all addresses"


def test_a_docker_that_does_not_answer_is_not_waited_for(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(on_path, "docker", "exec /bin/sleep 60")
    monkeypatch.setattr(engines, "INFO_TIMEOUT_S", 0.2)
    with pytest.raises(ServingError, match="no Docker engine is running"):
        engines.choose_engine("docker", "m", "/models/m", ServeOptions())


@pytest.mark.parametrize(
    ("engine", "line"),
    [("binary", "tensorflow_model_server is not on PATH"), ("docker", "docker is not on PATH")],
)
def test_an_engine_asked_for_that_is_not_there(on_path: Path, engine: engines.EngineName, line: str) -> None:
    with pytest.raises(ServingError, match=f"^{line}$") as caught:
        engines.choose_engine(engine, "m", "/models/m", ServeOptions())
    assert caught.value.exit_code == 6 and "--engine embedded" in caught.value.hint


def test_the_same_flags_for_each(on_path: Path) -> None:
    options = ServeOptions(8700, 8701, "127.0.0.2", ("--enable_batching", "--batching_parameters_file=/etc/b.txt"))
    served = ("--port=8700", "--rest_api_port=8701", "--model_name=m", "--model_base_path=/models/m")
    program = stub(on_path, "tensorflow_model_server")
    assert engines.choose_engine("binary", "m", "/models/m", options).command == (program, *served, *options.flags)
    embedded = engines.choose_engine("embedded", "m", "/models/m", options)
    assert set(embedded.command[3:]) == {*served, "--bind=127.0.0.2", *options.flags}
    assert embedded.about == "the embedded server (requested)"
    docker = stub(on_path, "docker", DOCKER)
    found = engines.choose_engine("docker", "m", "/root of all/m", options)
    assert found.about == "tensorflow/serving:2.21.0 in Docker (requested)"
    assert found.command == (
        docker,
        *("run", "--rm", "--init", "--publish=127.0.0.2:8700:8500", "--publish=127.0.0.2:8701:8501"),
        *("--volume=/root of all/m:/models/m:ro", "--env=MODEL_NAME=m", "--volume=/etc/b.txt:/etc/b.txt:ro"),
        *("tensorflow/serving:2.21.0", *options.flags),
    )


def test_a_model_in_a_bucket_is_named_and_not_mounted(on_path: Path) -> None:
    stub(on_path, "docker", DOCKER)
    command = engines.choose_engine("docker", "m", "gs://bucket/serving/m", ServeOptions()).command
    assert {"--env=MODEL_BASE_PATH=gs://bucket/serving", "--env=MODEL_NAME=m"} < set(command)
    assert not [one for one in command if one.startswith("--volume")]


def test_a_file_named_from_here_is_found_in_the_container(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(on_path)
    stub(on_path, "docker", DOCKER)
    command = engines.choose_engine(
        "docker", "m", "/m", ServeOptions(flags=("--monitoring_config_file=m.txt",))
    ).command
    assert f"--volume={on_path}/m.txt:{on_path}/m.txt:ro" in command
    assert command[-1] == f"--monitoring_config_file={on_path}/m.txt"


@pytest.mark.parametrize("engine", ["binary", "docker"])
def test_port_0_is_a_free_one_and_no_rest_is_none(on_path: Path, engine: engines.EngineName) -> None:
    """To tensorflow_model_server, port 0 would mean none."""
    for name in ("tensorflow_model_server", "docker"):
        stub(on_path, name, DOCKER)
    text = " ".join(engines.choose_engine(engine, "m", "/m", ServeOptions(port=0)).command)
    found = re.search(r"--port=(\d+) |127.0.0.1:(\d+):8500", text)
    assert found and int(found[1] or found[2]) >= 1024
    assert "--rest_api_port=0" in text if engine == "binary" else ":8501" not in text


class CatModel(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def answer(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(image_bytes)[0]
        return {"classes": tf.fill([rows, 1], "cat"), "scores": tf.fill([rows, 1], 0.5)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which a version of `digits` is pushed."""
    folder = tmp_path_factory.mktemp("root")
    module = CatModel()
    signatures = {"serving_default": module.answer}
    tf.saved_model.save(module, str(folder / "digits" / "serving" / "digits" / "1"), signatures=signatures)
    return folder


def _command(root: Path, *arguments: str) -> list[str]:
    return [*COMMAND, "serve", "digits", "--root", str(root), *arguments]


def test_the_embedded_server_is_served_and_asked(root: Path) -> None:
    command = _command(root, "--port", "0", "--engine", "embedded", "--", "--file_system_poll_wait_seconds=0.1")
    server = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None and server.stderr is not None
        assert server.stderr.readline() == "serving digits with the embedded server (requested)\n"
        address = next(line for line in server.stdout if "Running gRPC" in line).split()[4]
        with Client(address, "digits") as client:
            assert client.predict_images([b"any"])[0].scores == {"cat": 0.5}
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0


def test_from_the_command_line_it_becomes_the_program(root: Path, on_path: Path) -> None:
    program = stub(on_path, "tensorflow_model_server")
    done = subprocess.run(
        _command(root, "--rest-port", "8501", "--", "--enable_batching", "-x"),
        env={**environment(), "PATH": f"{on_path}{os.pathsep}/bin"},
        capture_output=True,
        text=True,
    )
    base = root / "digits" / "serving" / "digits"
    expected = ["--port=8500", "--rest_api_port=8501", "--model_name=digits", f"--model_base_path={base}"]
    assert done.stdout.splitlines() == [program, *expected, "--enable_batching", "-x"]
    assert done.stderr == f"serving digits with {program} (found on PATH); it listens on all addresses\n"


def test_from_the_command_line_one_line_says_what_is_missing(root: Path, on_path: Path) -> None:
    done = subprocess.run(_command(root, "--engine", "binary"), env=environment(), capture_output=True, text=True)
    assert done.returncode == 6 and done.stdout == ""
    assert done.stderr.splitlines()[0] == "error: tensorflow_model_server is not on PATH"
