"""The servers that `skewless serve` can become: TensorFlow Serving, as a program or in Docker, or the embedded one."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import ServingError
from data.files.remote import is_remote
from serving import program as real
from serving.program import BINARY, free_port

Name = Literal["auto", "embedded", "binary", "docker"]
NAMES: tuple[Name, ...] = ("auto", "embedded", "binary", "docker")
IMAGE = "tensorflow/serving:2.21.0"  # the newer family's TensorFlow: it knows the ops of both families' graphs
INFO_TIMEOUT_S = 5.0  # an engine that takes longer to say its version would not serve soon either


@dataclass(frozen=True)
class Options:
    """How it is to be served.

    Attributes:
      port, rest_port: of gRPC and REST; port 0 takes a free one, rest_port 0 serves no REST.
      bind: the address to listen on.
      flags: further flags of the server, as they are.
    """

    port: int = 8500
    rest_port: int = 0
    bind: str = "127.0.0.1"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A server to become.

    Attributes:
      command: its command line.
      about: which it is and why, one line.
    """

    command: tuple[str, ...]
    about: str


def choose(engine: Name, name: str, base: str, options: Options) -> Engine:
    """The engine asked for; `auto` takes the first that is there: the program, Docker, the embedded server.

    Args:
      engine: which one.
      name: of the options.
      base: absolute path, or URI, of the folder of its versions.
      options: ports, address, flags.

    Raises:
      ServingError: it is not there.
    """
    if engine == "embedded":
        return Engine(_embedded(name, base, options), "embedded server, as asked for")
    program = real.installed() if engine in ("auto", "binary") else None
    if program:
        about = f"{program}, {_why(engine, 'found on PATH')}; it listens on all addresses"
        return Engine(_binary(program, name, base, options), about)
    if engine == "binary":
        raise ServingError(f"no {BINARY} on PATH", hint="Install it, or serve with --engine embedded.")
    docker, version = shutil.which("docker"), _docker_version()
    if docker and version:
        why = _why(engine, f"no {BINARY} is on PATH and Docker {version} answers")
        return Engine(_docker(docker, name, base, options), f"{IMAGE} in Docker, {why}")
    missing = "no Docker engine answers" if docker else "no docker is on PATH"
    if engine == "docker":
        raise ServingError(missing, hint="`docker info` tells why; or serve with --engine embedded.")
    return Engine(_embedded(name, base, options), f"embedded server, as no {BINARY} is on PATH and {missing}")


def _why(engine: Name, found: str) -> str:
    return f"as {found}" if engine == "auto" else "as asked for"


def _embedded(name: str, base: str, options: Options) -> tuple[str, ...]:
    command = [sys.executable, "-m", "serving.server", f"--port={options.port}", f"--bind={options.bind}"]
    command += [f"--rest_api_port={options.rest_port}"] if options.rest_port else []
    return (*command, f"--model_name={name}", f"--model_base_path={base}", *options.flags)


def _binary(program: str, name: str, base: str, options: Options) -> tuple[str, ...]:
    # To the real server, a port of 0 means none.
    command = [program, f"--port={options.port or free_port(options.bind)}", f"--rest_api_port={options.rest_port}"]
    return (*command, f"--model_name={name}", f"--model_base_path={base}", *options.flags)


def _docker(docker: str, name: str, base: str, options: Options) -> tuple[str, ...]:
    """The image's entry point has the ports and the path from the environment; the last of a repeated flag counts."""
    host = f"[{options.bind}]" if ":" in options.bind else options.bind
    # The entry point is a shell, which as the first process of a container would ignore SIGTERM: hence --init.
    command = [docker, "run", "--rm", "--init", f"--publish={host}:{options.port or free_port(options.bind)}:8500"]
    command += [f"--publish={host}:{options.rest_port}:8501"] if options.rest_port else []
    where = (
        f"--env=MODEL_BASE_PATH={posixpath.dirname(base)}" if is_remote(base) else f"--volume={base}:/models/{name}:ro"
    )
    command += [where, f"--env=MODEL_NAME={name}"]
    command += [f"--volume={path}:{path}:ro" for path in _files(options.flags)]
    return (*command, IMAGE, *(_absolute(flag) for flag in options.flags))


def _files(flags: Sequence[str]) -> list[str]:
    """Absolute paths of the files that flags name (`--batching_parameters_file=...`): the container must see them."""
    values = [flag.partition("=")[2] for flag in flags if flag.partition("=")[0].endswith("_file")]
    return sorted({os.path.abspath(value) for value in values if value})


def _absolute(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return f"{name}={os.path.abspath(value)}" if name.endswith("_file") and value else flag


def _docker_version() -> str:
    """Of the engine that answers; empty where none does."""
    try:
        command = ["docker", "info", "--format", "{{.ServerVersion}}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INFO_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
