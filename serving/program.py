"""TensorFlow Serving as a program, where it is installed, and a port for it: to the real server, port 0 means none."""

from __future__ import annotations

import shutil
import socket

BINARY = "tensorflow_model_server"


def installed() -> str | None:
    """Its path, if it is on PATH."""
    return shutil.which(BINARY)


def free_port(host: str = "127.0.0.1") -> int:
    """A port of an address that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
