"""A live server on a SavedModel as it lies: a real one in a process of its own, or the embedded one in a thread."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from data.errors import ServingError
from serving.client import Client
from serving.program import free_port

NAME, VERSION = "gate", 1
START_S = 120.0  # for a server to load the model

Ended = Callable[[], str | None]  # its last words if it ended, None while it runs


@contextlib.contextmanager
def live(folder: str, program: Sequence[str] = ()) -> Iterator[dict[str, Client]]:
    """Serves the SavedModel as version 1 on loopback: its clients by "gRPC" and "REST".

    Args:
      folder: of the SavedModel. The server finds a local one through a link, a remote one as a copy.
      program: TensorFlow Serving's command, without ports and model; empty: the embedded server, in this process.

    Raises:
      ServingError: it does not come to serve the model; tells its last words.
    """
    with tempfile.TemporaryDirectory(prefix="skewless-gate-") as base:
        _lay(folder, os.path.join(base, str(VERSION)))
        grpc_port, rest_port = free_port(), free_port()
        flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_name={NAME}"]
        flags += [f"--model_base_path={base}", "--max_num_load_retries=0"]
        clients = {
            "gRPC": Client(f"127.0.0.1:{grpc_port}", NAME),
            "REST": Client(f"http://127.0.0.1:{rest_port}", NAME),
        }
        with _process([*program, *flags]) if program else _thread(flags) as ended, contextlib.ExitStack() as stack:
            for client in clients.values():
                stack.callback(client.close)
                _wait(client, ended)
            yield clients


def _lay(folder: str, target: str) -> None:
    if "://" not in folder:
        os.symlink(os.path.abspath(folder), target)
        return
    for path, _, names in tf.io.gfile.walk(folder):
        below = os.path.join(target, os.path.relpath(path, folder))
        os.makedirs(below, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(f"{path.rstrip('/')}/{name}", os.path.join(below, name))


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
def _thread(flags: Sequence[str]) -> Iterator[Ended]:
    """TensorFlow is loaded here already: a process of its own would take seconds to do so again."""
    from serving.server.faults import Fault
    from serving.server.flags import parse
    from serving.server.serve import serve

    stop, last = threading.Event(), []

    def run() -> None:
        try:
            serve(parse(flags)[0], stop, say=lambda _: None)
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


def _wait(client: Client, ended: Ended) -> None:
    """Until it answers, or ends."""
    waited = 0.0
    while True:
        try:
            return client.wait_until_available(1.0)
        except ServingError as error:
            waited += 1.0
            last: Any = ended()
            if last is None and waited < START_S:
                continue
            told = last or f"nothing in {START_S:.0f} s"
            raise ServingError(f"the server did not come to serve the model; it said: {told}") from error
