"""Servers that `skewless serve` can start: TensorFlow Serving as a program or in Docker, or the embedded server."""

from __future__ import annotations

import os
import posixpath
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import ServingError
from data.files.remote import is_remote

EngineName = Literal["auto", "embedded", "binary", "docker"]
ENGINES: tuple[EngineName, ...] = ("auto", "embedded", "binary", "docker")
BINARY = "tensorflow_model_server"
IMAGE = "tensorflow/serving:2.21.0"  # TensorFlow of the newer family: it knows the ops of both families' graphs
INFO_TIMEOUT_S = 5.0  # a Docker engine that needs longer to report its version would be slow to serve, too


@dataclass(frozen=True)
class ServeOptions:
    """Ports, address and flags of a server.

    Attributes:
      port: Port for gRPC; 0 picks a free one.
      rest_port: Port for REST; 0 serves no REST.
      bind: Address to listen on.
      flags: Further flags, passed to the server unchanged.
    """

    port: int = 8500
    rest_port: int = 0
    bind: str = "127.0.0.1"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """A server and how to start it.

    Attributes:
      command: Command line.
      about: Which server this is and why it was chosen, in one line.
    """

    command: tuple[str, ...]
    about: str


def choose_engine(engine: EngineName, name: str, base: str, options: ServeOptions) -> Engine:
    """Return the requested engine; for `auto`, the first available of program, Docker and embedded server.

    Args:
      engine: Engine to use.
      name: Name under which to serve the model.
      base: Absolute path, or URI, of the folder that holds the model's versions.
      options: Ports, address and flags.

    Raises:
      ServingError: If the requested engine is not available.
    """
    if engine == "embedded":
        return Engine(_embedded(name, base, options), "the embedded server (requested)")
    program = installed_binary() if engine in ("auto", "binary") else None
    if program:
        about = f"{program} ({_reason(engine, 'found on PATH')}); it listens on all addresses"
        return Engine(binary_command(program, name, base, options), about)
    if engine == "binary":
        raise ServingError(f"{BINARY} is not on PATH", hint="Install it, or serve with --engine embedded.")
    docker, version = shutil.which("docker"), _docker_version()
    if docker and version:
        reason = _reason(engine, f"{BINARY} is not on PATH; Docker {version} is running")
        return Engine(docker_command(docker, name, base, options), f"{IMAGE} in Docker ({reason})")
    missing = "no Docker engine is running" if docker else "docker is not on PATH"
    if engine == "docker":
        raise ServingError(missing, hint="`docker info` shows why. Or serve with --engine embedded.")
    return Engine(_embedded(name, base, options), f"the embedded server ({BINARY} is not on PATH; {missing})")


def installed_binary() -> str | None:
    """Return the path of TensorFlow Serving's program, or None if it is not on PATH."""
    return shutil.which(BINARY)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of an address that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _reason(engine: EngineName, reason: str) -> str:
    return reason if engine == "auto" else "requested"


def _embedded(name: str, base: str, options: ServeOptions) -> tuple[str, ...]:
    command = [sys.executable, "-m", "serving.server", f"--port={options.port}", f"--bind={options.bind}"]
    command += [f"--rest_api_port={options.rest_port}"] if options.rest_port else []
    return (*command, f"--model_name={name}", f"--model_base_path={base}", *options.flags)


def binary_command(program: str, name: str, base: str, options: ServeOptions) -> tuple[str, ...]:
    """Return the command line of TensorFlow Serving's program.

    Args:
      program: Name or path of the program.
      name: Name under which to serve the model.
      base: Absolute path, or URI, of the folder that holds the model's versions.
      options: Ports, address and flags.
    """
    # For TensorFlow Serving, port 0 means no gRPC.
    command = [program, f"--port={options.port or free_port(options.bind)}", f"--rest_api_port={options.rest_port}"]
    return (*command, f"--model_name={name}", f"--model_base_path={base}", *options.flags)


def docker_command(docker: str, name: str, base: str, options: ServeOptions) -> tuple[str, ...]:
    """Return Docker's command line.

    The image's entry point reads the ports and the path from the environment. Of a repeated flag, the last one counts.

    Args:
      docker: Name or path of Docker's program.
      name: Name under which to serve the model.
      base: Absolute path, or URI, of the folder that holds the model's versions.
      options: Ports, address and flags.
    """
    host = f"[{options.bind}]" if ":" in options.bind else options.bind
    # The entry point is a shell, which ignores SIGTERM as the first process of a container: hence --init.
    command = [docker, "run", "--rm", "--init", f"--publish={host}:{options.port or free_port(options.bind)}:8500"]
    command += [f"--publish={host}:{options.rest_port}:8501"] if options.rest_port else []
    if is_remote(base):
        command.append(f"--env=MODEL_BASE_PATH={posixpath.dirname(base)}")
    else:
        command.append(f"--volume={base}:/models/{name}:ro")
    command.append(f"--env=MODEL_NAME={name}")
    command += [f"--volume={path}:{path}:ro" for path in _flag_files(options.flags)]
    return (*command, IMAGE, *(_with_absolute_path(flag) for flag in options.flags))


def _flag_files(flags: Sequence[str]) -> list[str]:
    """Return the absolute paths of files that flags name (`--batching_parameters_file=...`), to mount them."""
    values = [flag.partition("=")[2] for flag in flags if flag.partition("=")[0].endswith("_file")]
    return sorted({os.path.abspath(value) for value in values if value})


def _with_absolute_path(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return f"{name}={os.path.abspath(value)}" if name.endswith("_file") and value else flag


def _docker_version() -> str:
    """Return the version of the Docker engine that is running; empty if none is."""
    try:
        command = ["docker", "info", "--format", "{{.ServerVersion}}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INFO_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
