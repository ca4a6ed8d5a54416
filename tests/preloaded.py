"""Run `python -m MODULE` in a fork of a process that has TensorFlow and TFX loaded (Python's forkserver).

The imports take 5 to 15 seconds of CPU, and the tests start about two hundred processes. The output of the imports is
not visible here: tests of it start Python itself.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "pipeline.commands.run",
        "pipeline.runners.local.run",
        "pipeline.commands.skew",
        "components.review.html_output",  # with TFX's entry point of containers
        "components.training.trainer",
        "components.release.skew_check",
        "serving.server.serve",
    ]
)


class Process:
    """The part of `subprocess.Popen` that the tests call.

    Attributes:
      args: Equivalent command line.
      stdout: Text stream of its output.
      stderr: Text stream of its error output.
      pid: Process id.
    """

    def __init__(
        self, module: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.args = [sys.executable, "-m", module, *arguments]
        (out, child_out), (err, child_err) = _forks.Pipe(duplex=False), _forks.Pipe(duplex=False)
        folder, variables = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
        self._process = _forks.Process(
            target=_run_module, args=(module, arguments, folder, variables, child_out, child_err), daemon=False
        )
        self._process.start()
        self.stdout, self.stderr = _open_text(out), _open_text(err)
        child_out.close()
        child_err.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end and return the output; kill the process after the timeout.

        Raises:
          TimeoutExpired: If the process takes longer.
        """
        with ThreadPoolExecutor(2) as threads:
            streams = [threads.submit(_read_all, stream) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (one.result() for one in streams)
        return out, err


def call_module(
    module: str, *arguments: str, cwd: Path | None = None, timeout: float | None = 300
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` to its end, as `subprocess.run` does."""
    process = Process(module, *arguments, cwd=cwd)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def _read_all(stream: TextIO) -> str:
    with stream:
        return stream.read()


def _open_text(connection: Connection) -> TextIO:
    stream = os.fdopen(os.dup(connection.fileno()), encoding="utf-8", errors="replace")
    connection.close()
    return stream


def _run_module(
    module: str, arguments: tuple[str, ...], cwd: str, env: Mapping[str, str], out: Connection, err: Connection
) -> None:
    for connection, descriptor in ((out, 1), (err, 2)):
        os.dup2(connection.fileno(), descriptor)
        connection.close()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path.insert(0, cwd)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
