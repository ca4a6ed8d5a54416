"""A live server for a SavedModel in its folder: TensorFlow Serving as a process, or the embedded server in a thread."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from data.errors import ServingError
from data.files.copy_tree import copy_tree
from data.files.remote import is_remote
from serving.client import Client
from serving.engines import free_port

NAME, VERSION = "gate", 1
START_S = 120.0  # limit for loading the model

_POLL_S = 0.02
# Rewriting the graph takes seconds before the first answer. The parity check calls the signatures in this process with
# the usual rewriting, so that is covered there.
_SESSION = "graph_options { rewrite_options { disable_meta_optimizer: true } }"

ClientFactory = Callable[[], dict[str, Client]]
"""Waits until the server is ready, and returns its clients by transport: "gRPC" and "REST"."""
_LastMessage = Callable[[], "str | None"]
"""Returns the last message of a server that has ended, or None while it runs."""


@contextlib.contextmanager
def start_live_server(folder: str, program: Sequence[str] = ()) -> Iterator[ClientFactory]:
    """Start to serve a SavedModel as version 1 on loopback, without waiting until it is loaded.

    Args:
      folder: Folder of the SavedModel. The server reads a local one through a symbolic link, a remote one as a copy.
      program: Command line of TensorFlow Serving, without ports and model; empty for the embedded server in this
        process.

    Yields:
      A function that waits until the model is served and returns the clients, by "gRPC" and "REST". It raises
      ServingError, with the server's last message, if the model cannot be served.
    """
    with tempfile.TemporaryDirectory(prefix="skewless-gate-") as base, contextlib.ExitStack() as stack:
        _provide(folder, os.path.join(base, "models", str(VERSION)))
        grpc_port, rest_port = free_port(), free_port()
        flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_name={NAME}"]
        flags += [f"--model_base_path={base}/models", "--max_num_load_retries=0"]
        last_message = stack.enter_context(_process([*program, *flags]) if program else _thread(flags, base))

        @functools.cache
        def clients() -> dict[str, Client]:
            _wait_until_listening(grpc_port, last_message)
            found = {
                "gRPC": Client(f"127.0.0.1:{grpc_port}", NAME),
                "REST": Client(f"http://127.0.0.1:{rest_port}", NAME),
            }
            for client in found.values():
                stack.callback(client.close)
                client.wait_until_available(START_S)
            return found

        yield clients


def _provide(folder: str, target: str) -> None:
    """Make the SavedModel appear at a local path."""
    os.makedirs(os.path.dirname(target))
    if is_remote(folder):
        copy_tree(folder, target)
    else:
        os.symlink(os.path.abspath(folder), target)


@contextlib.contextmanager
def _process(command: Sequence[str]) -> Iterator[_LastMessage]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

        def last_message() -> str | None:
            if process.poll() is None:
                return None
            output.seek(0)
            return (output.read().decode(errors="replace").strip().splitlines() or ["no output"])[-1]

        try:
            yield last_message
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _thread(flags: Sequence[str], folder: str) -> Iterator[_LastMessage]:
    """Run the embedded server in a thread: a process would spend seconds on loading TensorFlow again."""
    from serving.server.config.flags import parse_flags
    from serving.server.rpc_error import Fault
    from serving.server.serve import serve

    session = os.path.join(folder, "session.config")
    with open(session, "w") as file:
        file.write(_SESSION)
    server_flags = parse_flags([*flags, f"--tensorflow_session_config_file={session}"])[0]
    stop = threading.Event()
    messages: list[str] = []

    def run() -> None:
        try:
            serve(server_flags, stop, lambda line: None)
            messages.append("it stopped")
        except Fault as fault:
            messages.append(fault.message)
        except BaseException as error:
            messages.append(f"{type(error).__name__}: {error}")
            raise

    thread = threading.Thread(target=run, name="gate server", daemon=True)
    thread.start()
    try:
        yield lambda: messages[0] if messages else None
    finally:
        stop.set()
        thread.join()


def _wait_until_listening(port: int, last_message: _LastMessage) -> None:
    """Wait until the server listens, which it does once the model is loaded.

    A client that finds nothing at the address would wait for a second before it tries again.

    Raises:
      ServingError: If the server ends, or takes too long.
    """
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        message = last_message()
        if message is not None:
            raise ServingError(f"the live server cannot serve the model: {message}", hint="Do not serve this model.")
        if time.monotonic() > end:
            problem = f"the live server did not load the model within {START_S:.0f} s"
            raise ServingError(problem, hint="Run again when this machine has less to do.")
        time.sleep(_POLL_S)
