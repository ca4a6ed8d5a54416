"""A live server on a SavedModel as it lies: a real one in a process of its own, or the embedded one in a thread."""

from __future__ import annotations

import contextlib
import functools
import gc
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
START_S = 120.0  # for a server to load the model

_POLL_S = 0.02
# Rewriting the graph takes seconds before the first answer. The signatures that are called in this process are
# rewritten as ever.
_SESSION = "graph_options { rewrite_options { disable_meta_optimizer: true } }"

ClientFactory = Callable[[], dict[str, Client]]
Ended = Callable[[], str | None]  # its last words if it ended, None while it runs


@contextlib.contextmanager
def start_live_server(folder: str, program: Sequence[str] = ()) -> Iterator[ClientFactory]:
    """Starts to serve the SavedModel as version 1 on loopback, while the caller goes on with something else.

    Args:
      folder: of the SavedModel. The server finds a local one through a link, a remote one as a copy.
      program: TensorFlow Serving's command, without ports and model; empty: the embedded server, in this process.

    Yields:
      What waits until the model is served, and gives its clients, by "gRPC" and "REST". It raises ServingError, with
      the server's last words, where it does not come to serve the model.
    """
    with tempfile.TemporaryDirectory(prefix="skewless-gate-") as base, contextlib.ExitStack() as stack:
        _lay(folder, os.path.join(base, "models", str(VERSION)))
        grpc_port, rest_port = free_port(), free_port()
        flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_name={NAME}"]
        flags += [f"--model_base_path={base}/models", "--max_num_load_retries=0"]
        ended = stack.enter_context(_process([*program, *flags]) if program else _thread(flags, base))

        @functools.cache
        def server() -> dict[str, Client]:
            _wait(grpc_port, ended)
            clients = {
                "gRPC": Client(f"127.0.0.1:{grpc_port}", NAME),
                "REST": Client(f"http://127.0.0.1:{rest_port}", NAME),
            }
            for client in clients.values():
                stack.callback(client.close)
                client.wait_until_available(START_S)
            return clients

        yield server


def _lay(folder: str, target: str) -> None:
    os.makedirs(os.path.dirname(target))
    if not is_remote(folder):
        os.symlink(os.path.abspath(folder), target)
        return
    copy_tree(folder, target)


@contextlib.contextmanager
def _process(command: Sequence[str]) -> Iterator[Ended]:
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdout=words, stderr=words)

        def ended() -> str | None:
            if process.poll() is None:
                return None
            words.seek(0)
            return (words.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]

        try:
            yield ended
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _thread(flags: Sequence[str], folder: str) -> Iterator[Ended]:
    """TensorFlow is loaded here already: a process of its own would take seconds to do so again."""
    from serving.server.config.flags import parse
    from serving.server.rpc_error import Fault
    from serving.server.serve import serve

    session = os.path.join(folder, "session.config")
    with open(session, "w") as file:
        file.write(_SESSION)
    given = parse([*flags, f"--tensorflow_session_config_file={session}"])[0]
    stop, last = threading.Event(), []

    def run() -> None:
        try:
            serve(given, stop, say=lambda _: None)
            last.append("it stopped")
        except Fault as fault:
            last.append(fault.message)
        except BaseException as error:
            last.append(f"{type(error).__name__}: {error}")
            raise

    thread = threading.Thread(target=run, name="gate server", daemon=True)
    thread.start()
    try:
        yield lambda: last[0] if last else None
    finally:
        stop.set()
        thread.join()
        gc.unfreeze()  # what the server froze is this process's, which goes on


def _wait(port: int, ended: Ended) -> None:
    """Until it listens, which it does once the model is loaded: a client that found nobody would wait for a second.

    Raises:
      ServingError: it ended before, or took too long.
    """
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        last = ended()
        if last is not None or time.monotonic() > end:
            told = last or f"nothing in {START_S:.0f} s"
            raise ServingError(f"the server did not come to serve the model; it said: {told}")
        time.sleep(_POLL_S)
