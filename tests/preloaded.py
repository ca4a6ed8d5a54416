"""`python -m MODULE` in a fork of a process that has TensorFlow and TFX loaded: Python's own forkserver.

An import takes 5 to 15 seconds of a processor, and the tests start some two hundred processes. What a process prints
while it imports is not seen here: a test of that starts Python itself.
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
        "components.training.trainer",
        "components.release.skew_check",
        "serving.server.serve",
    ]
)


class Process:
    """As much of `subprocess.Popen` as the tests call.

    Attributes:
      args: the command line that it stands for.
      stdout, stderr: what it prints, as text.
      pid: the process's.
    """

    def __init__(
        self, module: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.args = [sys.executable, "-m", module, *arguments]
        (out, its_out), (err, its_err) = _forks.Pipe(duplex=False), _forks.Pipe(duplex=False)
        place = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
        self._process = _forks.Process(target=_become, args=(module, arguments, *place, its_out, its_err), daemon=False)
        self._process.start()
        self.stdout, self.stderr = _text(out), _text(err)
        its_out.close()
        its_err.close()
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
        """All that it prints; a process that lasts longer is killed.

        Raises:
          TimeoutExpired: it lasted longer.
        """
        with ThreadPoolExecutor(2) as threads:
            streams = [threads.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (one.result() for one in streams)
        return out, err


def _text(connection: Connection) -> TextIO:
    stream = os.fdopen(os.dup(connection.fileno()), encoding="utf-8", errors="replace")
    connection.close()
    return stream


def _become(
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
